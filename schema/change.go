package schema

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Change is what one WAL edit, or one scan, says about one row.
//
// The byte slices of a decoded Change alias the bytes it was decoded from.
type Change struct {
	// Table is the full name, "namespace:qualifier", also for the namespace default.
	Table string
	// Row is the row key.
	Row []byte
	// Cells are in the order HBase wrote them.
	Cells []Cell
	// Sequence is HBase's log sequence number. It rises along a row's life
	// within one epoch of the table, over region moves, splits and merges. 0
	// for scan records.
	Sequence uint64
	// Timestamp is the WAL write time, or the time of the scan's read, in
	// milliseconds since 1970.
	Timestamp int64
	// Source says where the change was captured.
	Source Source
}

// Cell is one HBase cell or delete marker.
type Cell struct {
	Family, Qualifier []byte
	// Timestamp is HBase's version: milliseconds by convention, any int64 in truth.
	Timestamp int64
	Type      CellType
	Value     []byte
	// Tags is HBase's serialised list, at most 65535 bytes:
	// (uint16 big-endian length of type and value, byte type, value)*.
	Tags []byte
}

// Source says where, when in the table's life and by whom a change was captured.
type Source struct {
	// Version and Connector are the program's version and the connector's name.
	Version, Connector string
	// ClusterID is the id of the HBase cluster the change was read from.
	ClusterID UUID
	// Region is the encoded name of the region that held the row.
	Region string
	Kind   Kind
	// Origins are the clusters the change went through before, as its WAL entry
	// lists them. Empty for a write made at the source cluster itself.
	Origins []UUID
	// Epoch is raised at each gap in capture and each re-scan of the table.
	// Sequences compare only within one epoch.
	Epoch int64
}

// Op classes the change: OpPut when every cell is a put, OpDelete when every
// cell deletes a family, OpUpdate otherwise (also for a change without cells).
func (c *Change) Op() Op {
	if len(c.Cells) == 0 {
		return OpUpdate
	}
	first := c.Cells[0].Type
	if first != Put && first != DeleteFamily {
		return OpUpdate
	}
	for i := range c.Cells {
		if c.Cells[i].Type != first {
			return OpUpdate
		}
	}
	if first == Put {
		return OpPut
	}
	return OpDelete
}

// Clone is a copy that shares no memory with c.
func (c *Change) Clone() Change {
	size := len(c.Row)
	for i := range c.Cells {
		k := &c.Cells[i]
		size += len(k.Family) + len(k.Qualifier) + len(k.Value) + len(k.Tags)
	}
	memory := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		n := len(memory)
		memory = append(memory, b...)
		return memory[n:len(memory):len(memory)]
	}
	out := *c
	out.Row, out.Cells, out.Source.Origins = own(c.Row), slices.Clone(c.Cells), slices.Clone(c.Source.Origins)
	for i := range out.Cells {
		k := &out.Cells[i]
		k.Family, k.Qualifier, k.Value, k.Tags = own(k.Family), own(k.Qualifier), own(k.Value), own(k.Tags)
	}
	return out
}

// Validate reports what AppendAvro cannot write so that it reads back the same:
// a cell type HBase does not store, tags over 65535 bytes, a table without a
// namespace, a string that is not UTF-8. All faults are joined.
func (c *Change) Validate() error {
	var errs []error
	if _, _, ok := cutTable(c.Table); !ok {
		errs = append(errs, fmt.Errorf("check change: table %q is not a full name (namespace:table)", c.Table))
	}
	for _, s := range []struct{ field, value string }{
		{"table", c.Table}, {"source.version", c.Source.Version},
		{"source.connector", c.Source.Connector}, {"source.region", c.Source.Region},
	} {
		if !utf8.ValidString(s.value) {
			errs = append(errs, fmt.Errorf("check change: %s %q is not UTF-8", s.field, s.value))
		}
	}
	if c.Source.Kind > KindWAL {
		errs = append(errs, fmt.Errorf("check change: source kind %d is unknown", byte(c.Source.Kind)))
	}
	for i := range c.Cells {
		k := &c.Cells[i]
		if !k.Type.Valid() {
			errs = append(errs, fmt.Errorf("check change: cell %d: HBase stores no cells of type %d", i, byte(k.Type)))
		}
		if len(k.Tags) > math.MaxUint16 {
			errs = append(errs, fmt.Errorf("check change: cell %d: %d bytes of tags, the limit is %d", i, len(k.Tags), math.MaxUint16))
		}
	}
	return errors.Join(errs...)
}

// CellType is the type code of a stored cell, as in HBase's KeyValue.Type.
type CellType byte

// The types of cells that HBase stores, with their codes on its wire.
const (
	Put                 CellType = 4  // a value
	Delete              CellType = 8  // deletes the one version at the timestamp
	DeleteFamilyVersion CellType = 10 // deletes the family's cells at exactly the timestamp
	DeleteColumn        CellType = 12 // deletes all versions up to the timestamp
	DeleteFamily        CellType = 14 // deletes all of the family's cells up to the timestamp
)

// cellTypes are the symbols of the Avro enum CellType, in its order.
var cellTypes = [...]CellType{Put, Delete, DeleteColumn, DeleteFamily, DeleteFamilyVersion}

// typeTexts are HBase's names of cellTypes.
var typeTexts = [...]string{"Put", "Delete", "DeleteColumn", "DeleteFamily", "DeleteFamilyVersion"}

// Valid reports whether HBase stores cells of this type.
func (t CellType) Valid() bool { return t.symbol() < int64(len(cellTypes)) }

// symbol is the type's index in the Avro enum, one past its end when invalid.
func (t CellType) symbol() int64 {
	switch t {
	case Put:
		return 0
	case Delete:
		return 1
	case DeleteColumn:
		return 2
	case DeleteFamily:
		return 3
	case DeleteFamilyVersion:
		return 4
	}
	return int64(len(cellTypes))
}

// String is HBase's name of the type, "CellType(n)" for an unknown one.
func (t CellType) String() string {
	if i := t.symbol(); i < int64(len(typeTexts)) {
		return typeTexts[i]
	}
	return fmt.Sprintf("CellType(%d)", byte(t))
}

// ParseCellType is the inverse of CellType.String.
func ParseCellType(s string) (CellType, error) {
	for _, t := range cellTypes {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("parse cell type: %q is none of Put, Delete, DeleteColumn, DeleteFamily, DeleteFamilyVersion", s)
}

// Op classes a change for consumers that only want to know that much.
type Op byte

// The classes of changes, in the order of the Avro enum Op.
const (
	OpPut    Op = iota // every cell is a put
	OpUpdate           // anything that is neither OpPut nor OpDelete
	OpDelete           // every cell deletes a family
)

// String is "put", "update" or "delete".
func (o Op) String() string {
	switch o {
	case OpPut:
		return "put"
	case OpUpdate:
		return "update"
	case OpDelete:
		return "delete"
	}
	return fmt.Sprintf("Op(%d)", byte(o))
}

// Kind says by which way a change was captured.
type Kind byte

// The ways of capture, in the order of the Avro enum Kind.
const (
	KindScan Kind = iota // read by a scan of the table
	KindWAL              // shipped by HBase's replication
)

var kindNames = [...]string{"scan", "wal"}

// String is "scan" or "wal".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", byte(k))
}
