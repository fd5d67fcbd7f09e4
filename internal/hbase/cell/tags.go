package cell

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// TagType says what a tag means: HBase's TagType codes.
type TagType byte

// The tag types HBase itself writes.
const (
	TagACL              TagType = 1
	TagVisibility       TagType = 2
	TagVisibilityFormat TagType = 4 // VISIBILITY_EXP_SERIALIZATION_FORMAT
	TagMobReference     TagType = 5
	TagMobTableName     TagType = 6
	TagStringVisibility TagType = 7
	// TagTTL holds the time to live of the one cell, int64 ms counted from the
	// cell's timestamp.
	TagTTL TagType = 8
	// TagCellValueTiering holds the time custom tiering goes by, int64 ms.
	TagCellValueTiering TagType = 9
)

// Tag is one tag of a cell.
type Tag struct {
	Type  TagType
	Value []byte
}

// Tags iterates over the tags of a cell, given its serialised list:
//
//	(uint16 length of type and value | byte type | value)*
//
// The values alias list. A list that does not follow the format ends the
// iteration with an error.
func Tags(list []byte) iter.Seq2[Tag, error] {
	return func(yield func(Tag, error) bool) {
		for len(list) > 0 {
			if len(list) < 3 {
				yield(Tag{}, fmt.Errorf("decode tags: %d bytes left for a tag", len(list)))
				return
			}
			n := int(binary.BigEndian.Uint16(list))
			if n < 1 || n > len(list)-2 {
				yield(Tag{}, fmt.Errorf("decode tags: tag length %d with %d bytes left", n, len(list)-2))
				return
			}
			t := Tag{Type: TagType(list[2]), Value: list[3 : 2+n : 2+n]}
			list = list[2+n:]
			if !yield(t, nil) {
				return
			}
		}
	}
}

// AppendTag appends one tag to a serialised list. The value has at most 65534
// bytes, the whole list at most [MaxTagsLen].
func AppendTag(list []byte, typ TagType, value []byte) []byte {
	list = binary.BigEndian.AppendUint16(list, uint16(1+len(value)))
	list = append(list, byte(typ))
	return append(list, value...)
}

// AppendTTL appends a TTL tag of ms milliseconds.
func AppendTTL(list []byte, ms int64) []byte {
	return AppendTag(list, TagTTL, binary.BigEndian.AppendUint64(nil, uint64(ms)))
}

// TTL returns the time to live in ms that a serialised list of tags holds; ok
// is false when it holds none. The cell expires at its timestamp plus ms.
func TTL(list []byte) (ms int64, ok bool, err error) {
	for t, err := range Tags(list) {
		if err != nil {
			return 0, false, err
		}
		if t.Type != TagTTL {
			continue
		}
		if len(t.Value) != 8 {
			return 0, false, fmt.Errorf("decode tags: TTL of %d bytes: 8 are expected", len(t.Value))
		}
		return int64(binary.BigEndian.Uint64(t.Value)), true, nil
	}
	return 0, false, nil
}
