package replication

import (
	"bytes"
	"hash/maphash"

	"github.com/waltap/waltap/schema"
)

// rowIndex finds the change of a row among those of one edit. It is used from edit to edit again, and keeps no row: a map of rows
// for each edit of a client's batch was 7 % of the source's CPU time, and an allocation per row.
type rowIndex struct {
	seed  maphash.Seed
	slots []int32 // by hash, the place in changes and 1; 0: free. A power of two, at most half full
	used  int     // how many changes are in slots, the first ones
}

const (
	fewRows     = 8 // are compared one by one
	minRowSlots = 64
)

// reset forgets the rows: another edit begins.
func (x *rowIndex) reset() { x.used = 0 }

// find returns the place of row in changes, or -1. Since the last find or reset, changes have only become more.
func (x *rowIndex) find(row []byte, changes []schema.Change) int {
	if len(changes) <= fewRows {
		for i := range changes {
			if bytes.Equal(changes[i].Row, row) {
				return i
			}
		}
		return -1
	}
	if x.used == 0 || 2*len(changes) > len(x.slots) {
		x.rebuild(len(changes))
	}
	for ; x.used < len(changes); x.used++ {
		x.slots[x.slot(changes[x.used].Row, changes)] = int32(x.used + 1)
	}
	return int(x.slots[x.slot(row, changes)]) - 1
}

// rebuild makes room for n changes, and as many again.
func (x *rowIndex) rebuild(n int) {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
	}
	size := minRowSlots
	for size < 4*n {
		size *= 2
	}
	if cap(x.slots) < size {
		x.slots = make([]int32, size)
	}
	x.slots = x.slots[:size]
	clear(x.slots)
	x.used = 0
}

// slot is where row is, or would be.
func (x *rowIndex) slot(row []byte, changes []schema.Change) uint64 {
	mask := uint64(len(x.slots) - 1)
	for at := maphash.Bytes(x.seed, row) & mask; ; at = (at + 1) & mask {
		if i := x.slots[at]; i == 0 || bytes.Equal(changes[i-1].Row, row) {
			return at
		}
	}
}
