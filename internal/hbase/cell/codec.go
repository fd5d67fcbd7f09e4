package cell

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	prefixLen  = 4         // int32 length of the KeyValue
	lengthsLen = 8         // int32 keyLen, int32 valueLen
	keyOverlay = 2 + 1 + 9 // rowLen, famLen, timestamp and type
	minCellLen = lengthsLen + keyOverlay

	classPrefix = "org.apache.hadoop.hbase.codec."
)

// Codec is a format of cell blocks. The zero value is KeyValueCodec.
type Codec byte

const (
	// KeyValueCodec carries no tags: TTLs and visibility labels are lost.
	KeyValueCodec Codec = iota
	// KeyValueCodecWithTags carries everything.
	KeyValueCodecWithTags
)

// UnsupportedCodecError says that a peer asked for a codec this package does
// not know.
type UnsupportedCodecError struct {
	// Class is the Java class name the peer sent.
	Class string
}

func (e *UnsupportedCodecError) Error() string {
	return fmt.Sprintf("unsupported cell codec %q: set hbase.client.rpc.codec, or hbase.replication.rpc.codec of the peer, to %s or %s",
		e.Class, KeyValueCodecWithTags.Class(), KeyValueCodec.Class())
}

// ParseCodec returns the codec of a Java class name, as a ConnectionHeader
// has it. Any other class gives an *[UnsupportedCodecError].
func ParseCodec(class string) (Codec, error) {
	switch class {
	case KeyValueCodec.Class():
		return KeyValueCodec, nil
	case KeyValueCodecWithTags.Class():
		return KeyValueCodecWithTags, nil
	}
	return 0, &UnsupportedCodecError{Class: class}
}

// String returns the simple name of the codec's Java class.
func (c Codec) String() string {
	if c == KeyValueCodecWithTags {
		return "KeyValueCodecWithTags"
	}
	return "KeyValueCodec"
}

// Class returns the name of the codec's Java class.
func (c Codec) Class() string { return classPrefix + c.String() }

// Size returns the number of bytes Append adds for k, the length prefix
// included.
func (c Codec) Size(k *Cell) int {
	n := prefixLen + minCellLen + len(k.Row) + len(k.Family) + len(k.Qualifier) + len(k.Value)
	if c == KeyValueCodecWithTags && len(k.Tags) > 0 {
		n += 2 + len(k.Tags)
	}
	return n
}

// Append appends k to dst as one length-prefixed KeyValue and returns the
// extended slice. KeyValueCodec leaves the tags out. The fields must be within
// the bounds that [Cell.Validate] checks, as those of a decoded cell are.
func (c Codec) Append(dst []byte, k *Cell) []byte {
	keyLen := keyOverlay + len(k.Row) + len(k.Family) + len(k.Qualifier)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c.Size(k)-prefixLen))
	dst = binary.BigEndian.AppendUint32(dst, uint32(keyLen))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(k.Value)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(k.Row)))
	dst = append(dst, k.Row...)
	dst = append(dst, byte(len(k.Family)))
	dst = append(dst, k.Family...)
	dst = append(dst, k.Qualifier...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.Timestamp))
	dst = append(dst, byte(k.Type))
	dst = append(dst, k.Value...)
	if c == KeyValueCodecWithTags && len(k.Tags) > 0 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(k.Tags)))
		dst = append(dst, k.Tags...)
	}
	return dst
}

// ErrTrailing is wrapped by the error for bytes that follow a cell's value and
// are no tags of the codec: most likely the peer writes another codec than it
// announced.
var ErrTrailing = errors.New("bytes after the value are no tags")

// Decode reads the cell that b begins with into k and returns its length in b.
// All slices of k alias b. A b that ends inside the cell gives an error that
// wraps [io.ErrUnexpectedEOF]; lengths that contradict each other give another
// one. On an error k is left as it was.
func (c Codec) Decode(b []byte, k *Cell) (n int, err error) {
	if len(b) < prefixLen {
		return 0, fmt.Errorf("decode cell: %d bytes of the length prefix: %w", len(b), io.ErrUnexpectedEOF)
	}
	size, err := cellLen(b)
	if err != nil {
		return 0, err
	}
	if len(b)-prefixLen < size {
		return 0, fmt.Errorf("decode cell: %d of %d bytes: %w", len(b)-prefixLen, size, io.ErrUnexpectedEOF)
	}
	if err := c.decode(b[prefixLen:prefixLen+size:prefixLen+size], k); err != nil {
		return 0, err
	}
	return prefixLen + size, nil
}

// cellLen reads the length prefix at the start of b.
func cellLen(b []byte) (int, error) {
	size := int32(binary.BigEndian.Uint32(b))
	if size < minCellLen {
		return 0, fmt.Errorf("decode cell: length %d: a cell has at least %d bytes", size, minCellLen)
	}
	return int(size), nil
}

// decode reads the KeyValue that fills b, which has at least minCellLen bytes.
func (c Codec) decode(b []byte, k *Cell) error {
	keyLen := int64(binary.BigEndian.Uint32(b))
	valueLen := int64(binary.BigEndian.Uint32(b[4:]))
	b = b[lengthsLen:]
	if keyLen < keyOverlay || keyLen > int64(len(b)) {
		return fmt.Errorf("decode cell: key length %d: between %d and %d are possible", keyLen, keyOverlay, len(b))
	}
	key, b := b[:keyLen:keyLen], b[keyLen:]
	if valueLen > int64(len(b)) {
		return fmt.Errorf("decode cell: value length %d: %d bytes are left", valueLen, len(b))
	}
	value, b := b[:valueLen:valueLen], b[valueLen:]
	tags, err := c.tags(b)
	if err != nil {
		return err
	}

	rowLen := int(binary.BigEndian.Uint16(key))
	if rowLen > MaxRowLen || rowLen > len(key)-keyOverlay {
		return fmt.Errorf("decode cell: row length %d in a key of %d bytes", rowLen, len(key))
	}
	row, key := key[2:2+rowLen:2+rowLen], key[2+rowLen:]
	famLen := int(key[0])
	if famLen > MaxFamilyLen || famLen > len(key)-1-9 {
		return fmt.Errorf("decode cell: family length %d with %d bytes of the key left", famLen, len(key)-1-9)
	}
	qualEnd := len(key) - 9
	*k = Cell{
		Row:       row,
		Family:    key[1 : 1+famLen : 1+famLen],
		Qualifier: key[1+famLen : qualEnd : qualEnd],
		Timestamp: int64(binary.BigEndian.Uint64(key[qualEnd:])),
		Type:      Type(key[qualEnd+8]),
		Value:     value,
		Tags:      tags,
	}
	return nil
}

// tags returns the tags in b, the bytes that follow a cell's value; nil when
// there are none.
func (c Codec) tags(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if c != KeyValueCodecWithTags {
		return nil, fmt.Errorf("decode cell: %w: %d bytes with %s", ErrTrailing, len(b), c)
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return nil, fmt.Errorf("decode cell: %w: %d bytes whose tags length does not fit", ErrTrailing, len(b))
	}
	if len(b) == 2 {
		return nil, nil
	}
	return b[2:len(b):len(b)], nil
}
