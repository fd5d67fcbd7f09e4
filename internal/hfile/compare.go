package hfile

import (
	"bytes"
	"cmp"
)

// Compare orders cells as those of a user table's store: by row, family, qualifier, timestamp from the newest, type from the
// highest, sequence id from the highest. 0: no file says which of the two is the newer. (CellComparatorImpl)
func Compare(a, b *Cell) int {
	if c := CompareKeys(a, b); c != 0 {
		return c
	}
	return cmp.Compare(b.Sequence, a.Sequence)
}

// CompareKeys is Compare without the sequence id: of cells that are equal by it, HBase shows the first one only.
func CompareKeys(a, b *Cell) int {
	if c := bytes.Compare(a.Row, b.Row); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Family, b.Family); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Qualifier, b.Qualifier); c != 0 {
		return c
	}
	if c := cmp.Compare(b.Timestamp, a.Timestamp); c != 0 {
		return c
	}
	return cmp.Compare(b.Type, a.Type)
}
