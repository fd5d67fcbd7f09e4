package hfile

import (
	"encoding/binary"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// A DIFF block begins with its family, byte length and bytes. A cell is
//
//	byte flags | [length of the key] | [length of the value] | length of what its key without timestamp and type has in common with the
//	last one | what it has not | timestamp | [byte type] | value | [length of tags | tags] | [vlong sequence]
//
// What stands in brackets is left out when it is as in the last cell, as flags say. The timestamp, of as many bytes as flags say, is the
// one thing in a file that is little-endian; it can be what is to be taken from the last one. (DiffKeyDeltaEncoder)
const (
	diffSameKeyLen   = 1 << 0
	diffSameValueLen = 1 << 1
	diffSameType     = 1 << 2
	diffTimestamp    = 1 << 3 // to be taken from the last one
	diffTimeLenShift = 4
	diffTimeLenMask  = 7
	diffNegative     = 1 << 7

	diffNotFirst = diffSameKeyLen | diffSameValueLen | diffSameType | diffTimestamp
)

func (d *cells) startDiff() error {
	if len(d.b) < 1 {
		return errCutOff
	}
	n := 1 + int(d.b[0])
	family, ok := d.take(n)
	if !ok {
		return errCutOff
	}
	d.family = family
	return nil
}

func (d *cells) nextDiff(c *Cell) error {
	flags := d.b[d.p]
	d.p++
	if d.first && flags&diffNotFirst != 0 {
		return errKey
	}
	keyLen := len(d.key)
	if flags&diffSameKeyLen == 0 {
		keyLen = d.length() - timestampType
	}
	if flags&diffSameValueLen == 0 {
		d.valueLen = d.length()
	}
	if err := d.nextKey(keyLen, d.length(), d.family); err != nil {
		return err
	}
	b, ok := d.take(1 + int(flags>>diffTimeLenShift&diffTimeLenMask))
	if !ok {
		return errCutOff
	}
	var le [8]byte
	copy(le[:], b)
	t := binary.LittleEndian.Uint64(le[:])
	if flags&diffNegative != 0 {
		t = -t
	}
	if flags&diffTimestamp != 0 {
		t = d.timestamp - t
	}
	d.timestamp = t
	if flags&diffSameType == 0 {
		typ, ok := d.take(1)
		if !ok {
			return errCutOff
		}
		d.typ = cell.Type(typ[0])
	}
	if !d.setParts(c) {
		return errKey
	}
	if c.Value, ok = d.take(d.valueLen); !ok {
		return errCutOff
	}
	return d.nextTags(c)
}

// timestampType is the length of what a key ends with.
const timestampType = 8 + 1

// nextKey makes d.key, without timestamp and type, the next one, of n bytes. The first common bytes are those of the last key. When
// they are less than its row, the rest of the row comes first, then, behind the family, which is left out, the qualifier.
func (d *cells) nextKey(n, common int, family []byte) error {
	if n < 3 || common < 0 || common > len(d.key) || common > n {
		return errKey
	}
	if common >= d.rowEnd && !d.first {
		rest, ok := d.take(n - common)
		if !ok {
			return errCutOff
		}
		d.resizeKey(n)
		copy(d.key[common:], rest)
		return nil
	}
	var head [2]byte // length of the row
	rowEnd, from := d.rowEnd, common
	if common < 2 {
		copy(head[:], d.key[:common])
		rest, ok := d.take(2 - common)
		if !ok {
			return errCutOff
		}
		copy(head[common:], rest)
		rowEnd, from = 2+int(binary.BigEndian.Uint16(head[:])), 2
	}
	row, ok := d.take(rowEnd - from)
	if !ok {
		return errCutOff
	}
	qualifier := rowEnd + len(family)
	rest, ok := d.take(n - qualifier)
	if !ok {
		return errCutOff
	}
	d.resizeKey(n)
	copy(d.key[rowEnd:], family) // which may be where the row comes
	if common < 2 {
		copy(d.key, head[:])
	}
	copy(d.key[from:], row)
	copy(d.key[qualifier:], rest)
	return nil
}
