// Package cell encodes and decodes HBase cells as they travel in the cell
// block of an RPC: the formats of HBase's KeyValueCodec and
// KeyValueCodecWithTags.
//
// A cell block is a plain sequence of cells; every cell is one
// length-prefixed KeyValue. All integers are big-endian:
//
//	+-----------+----------------------------------------------------------+
//	| int32 len | KeyValue, len bytes                                      |
//	+-----------+----------------------------------------------------------+
//	KeyValue:
//	+--------------+----------------+-----+-------+-------------------------+
//	| int32 keyLen | int32 valueLen | key | value | [uint16 tagsLen | tags] |
//	+--------------+----------------+-----+-------+-------------------------+
//	key:
//	+--------------+-----+--------------+--------+-----------+----------+-----------+
//	| int16 rowLen | row | int8 famLen  | family | qualifier | int64 ts | int8 type |
//	+--------------+-----+--------------+--------+-----------+----------+-----------+
//
// KeyValueCodec never has the part with the tags; KeyValueCodecWithTags has it
// when the cell has tags. (HBase: KeyValueUtil, KeyValueCodec.)
package cell

import (
	"fmt"
	"math"
)

// Type is what a cell does: HBase's KeyValue.Type codes.
type Type byte

// The types that reach a replication peer or a raw scan.
const (
	// Put sets a value.
	Put Type = 4
	// Delete hides the one version with exactly the cell's timestamp.
	Delete Type = 8
	// DeleteFamilyVersion hides, in a whole family, the versions with exactly
	// the cell's timestamp.
	DeleteFamilyVersion Type = 10
	// DeleteColumn hides all versions of a column up to the cell's timestamp.
	DeleteColumn Type = 12
	// DeleteFamily hides all versions of all columns of a family up to the
	// cell's timestamp.
	DeleteFamily Type = 14
)

// String returns HBase's name of t.
func (t Type) String() string {
	switch t {
	case Put:
		return "Put"
	case Delete:
		return "Delete"
	case DeleteFamilyVersion:
		return "DeleteFamilyVersion"
	case DeleteColumn:
		return "DeleteColumn"
	case DeleteFamily:
		return "DeleteFamily"
	}
	return fmt.Sprintf("Type(%d)", byte(t))
}

// Known reports whether t is one of the types named in this package. Decoding
// passes an unknown type through: what to do about it is the caller's choice.
func (t Type) Known() bool {
	switch t {
	case Put, Delete, DeleteFamilyVersion, DeleteColumn, DeleteFamily:
		return true
	}
	return false
}

// IsDelete reports whether t is a delete marker.
func (t Type) IsDelete() bool { return t.Known() && t != Put }

// Cell is one version of one column, or a delete marker.
type Cell struct {
	Row, Family, Qualifier []byte
	// Timestamp in ms since 1970 for cells written without an own timestamp.
	Timestamp int64
	Type      Type
	Value     []byte
	// Tags is HBase's serialised list, see [Tags]; empty without tags.
	Tags []byte
}

// The longest fields a cell can have, in bytes. A value is bounded by the
// length of the whole cell.
const (
	MaxRowLen    = math.MaxInt16
	MaxFamilyLen = math.MaxInt8
	MaxTagsLen   = math.MaxUint16
	// MaxCellLen bounds what the length prefix of a cell can say.
	MaxCellLen = math.MaxInt32
)

// Validate reports whether k can be encoded: an error names the first field
// that is longer than the format allows.
func (k *Cell) Validate() error {
	for _, f := range [...]struct {
		name     string
		len, max int
	}{
		{"row", len(k.Row), MaxRowLen},
		{"family", len(k.Family), MaxFamilyLen},
		{"tags", len(k.Tags), MaxTagsLen},
		{"cell", KeyValueCodecWithTags.Size(k) - prefixLen, MaxCellLen},
	} {
		if f.len > f.max {
			return fmt.Errorf("encode cell: %s of %d bytes: HBase allows %d", f.name, f.len, f.max)
		}
	}
	return nil
}
