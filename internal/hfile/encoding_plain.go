package hfile

import (
	"encoding/binary"
	"errors"
)

// nextPlain reads a cell of a block without encoding:
//
//	int32 keyLen | int32 valueLen | key | value | [int16 tagsLen | tags] | [vlong sequence]
func (d *cells) nextPlain(c *Cell) error {
	lengths, ok := d.take(8)
	if !ok {
		return errCutOff
	}
	key, ok := d.take(int(int32(binary.BigEndian.Uint32(lengths))))
	if !ok {
		return errCutOff
	}
	if !c.setKey(key) {
		return errKey
	}
	if c.Value, ok = d.take(int(int32(binary.BigEndian.Uint32(lengths[4:])))); !ok {
		return errCutOff
	}
	if !d.tags {
		return nil
	}
	n, ok := d.take(2)
	if !ok {
		return errCutOff
	}
	tags, ok := d.take(int(binary.BigEndian.Uint16(n)))
	if !ok {
		return errCutOff
	}
	if len(tags) > 0 {
		c.Tags = tags
	}
	return nil
}

// rowIndexCells returns the cells in a block of ROW_INDEX_V1, which are those of a block without encoding. Behind them is where rows begin:
//
//	cells | int32 rows | (int32 offset of a row in cells)* | int32 length of cells
func rowIndexCells(b []byte) ([]byte, error) {
	if len(b) < 8 {
		return nil, errCutOff
	}
	size := int64(int32(binary.BigEndian.Uint32(b[len(b)-4:])))
	if size < 0 || size > int64(len(b)-8) {
		return nil, errCutOff
	}
	rows := int64(int32(binary.BigEndian.Uint32(b[size:])))
	if rows < 0 || size+4+4*rows+4 != int64(len(b)) {
		return nil, errors.New("the index of its rows does not fit")
	}
	return b[:size:size], nil
}
