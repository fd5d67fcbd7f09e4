package hfile

import (
	"encoding/binary"

	"github.com/waltap/waltap/internal/hbase/cell"
)

// A cell of a FAST_DIFF block is
//
//	byte flags | [length of the key] | [length of the value] | length of what its key without timestamp and type has in common with the
//	last one | what it has not | the timestamp's last bytes | [byte type] | [value] | [length of tags | tags] | [vlong sequence]
//
// What stands in brackets is left out when it is as in the last cell, as flags say; so are as many of the timestamp's first bytes as
// flags say. The first cell is whole. (FastDiffDeltaEncoder)
const (
	fastTimeLenMask  = 7
	fastSameKeyLen   = 1 << 3
	fastSameValueLen = 1 << 4
	fastSameType     = 1 << 5
	fastSameValue    = 1 << 6
)

func (d *cells) nextFastDiff(c *Cell) error {
	flags := d.b[d.p]
	d.p++
	if d.first && flags != 0 {
		return errKey
	}
	keyLen := len(d.key)
	if flags&fastSameKeyLen == 0 {
		keyLen = d.length() - timestampType
	}
	if flags&fastSameValueLen == 0 {
		d.valueLen = d.length()
	}
	if err := d.nextFastKey(keyLen, d.length()); err != nil {
		return err
	}
	rest := 8 - int(flags&fastTimeLenMask)
	b, ok := d.take(rest)
	if !ok {
		return errCutOff
	}
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], d.timestamp)
	copy(be[8-rest:], b)
	d.timestamp = binary.BigEndian.Uint64(be[:])
	if flags&fastSameType == 0 {
		typ, ok := d.take(1)
		if !ok {
			return errCutOff
		}
		d.typ = cell.Type(typ[0])
	}
	if !d.setParts(c) {
		return errKey
	}
	if flags&fastSameValue == 0 {
		if d.value, ok = d.take(d.valueLen); !ok {
			return errCutOff
		}
	} else if d.valueLen != len(d.value) {
		return errKey
	}
	c.Value = d.value
	return d.nextTags(c)
}

// nextFastKey is nextKey with the family of the last key; the first key of a block is whole.
func (d *cells) nextFastKey(n, common int) error {
	if !d.first {
		return d.nextKey(n, common, d.key[d.rowEnd:d.familyEnd])
	}
	if common != 0 {
		return errKey
	}
	key, ok := d.take(n)
	if !ok {
		return errCutOff
	}
	d.key = append(d.key[:0], key...)
	return nil
}
