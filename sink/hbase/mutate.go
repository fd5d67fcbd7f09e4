package hbase

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/mutate"
	"github.com/waltap/waltap/schema"
)

// mutate writes changes by puts and deletes, in as few chunks as the limits allow, one after the other.
func (a *Applier) mutate(ctx context.Context, changes []mapped) error {
	k := a.chunks.Get().(*chunk)
	defer func() {
		k.reset()
		a.chunks.Put(k)
	}()
	k.room(changes)
	for _, c := range changes {
		if !k.takes(c) {
			if err := a.writeChunk(ctx, k); err != nil {
				return err
			}
			k.reset()
		}
		k.add(c)
	}
	return a.writeChunk(ctx, k)
}

func (a *Applier) writeChunk(ctx context.Context, k *chunk) error {
	for i := range k.tables {
		if err := a.writer.Write(ctx, k.tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// chunk is what is written at once: changes of one list of origins, and not too many of them. It is used again after reset, with
// the memory of its mutations.
type chunk struct {
	origins   []schema.UUID
	ids       map[string][]byte // the attribute that says so
	tables    []mutate.Batch
	runs      []run // the mutations
	mutations int
	bytes     int
}

func (k *chunk) reset() {
	clear(k.runs)
	for i := range k.tables {
		clear(k.tables[i].Mutations)
		k.tables[i].Mutations = k.tables[i].Mutations[:0]
	}
	*k = chunk{origins: k.origins[:0], tables: k.tables[:0], runs: k.runs[:0]}
}

// run is a mutation: cells of a change, which stay where they are. A copy of each cell was a fifth of the sink's CPU time, with rows of 20
// cells, and 60 MiB.
type run struct {
	*schema.Change
	to        *table
	from, end int32
	put       bool
}

// Row implements mutate.Mutation.
func (r *run) Row() []byte { return r.Change.Row }

// Len implements mutate.Mutation.
func (r *run) Len() int { return int(r.end - r.from) }

// Put implements mutate.Mutation.
func (r *run) Put() bool { return r.put }

// Append implements mutate.Mutation.
func (r *run) Append(dst []byte) []byte {
	var k cell.Cell
	for i := r.from; i < r.end; i++ {
		fillCell(r.Change, r.to, int(i), &k)
		dst = mutate.Codec.Append(dst, &k)
	}
	return dst
}

// takes tells whether there is room for c, and it has passed the same clusters; an empty chunk takes all.
func (k *chunk) takes(c mapped) bool {
	if k.mutations == 0 {
		return true
	}
	n := len(c.Source.Origins)
	return len(k.origins) == n+1 && slices.Equal(k.origins[:n], c.Source.Origins) && k.origins[n] == c.Source.ClusterID &&
		k.mutations+c.mutations <= maxMutations && k.bytes+c.size <= maxCallBytes
}

// add makes a mutation of each run of puts and each run of delete markers.
func (k *chunk) add(c mapped) {
	if k.mutations == 0 {
		k.origins = append(append(k.origins[:0], c.Source.Origins...), c.Source.ClusterID)
	}
	k.mutations += c.mutations
	k.bytes += c.size
	b := k.of(c.to)
	b.Bytes += c.size
	for begin, i := 0, 1; i <= len(c.Cells); i++ {
		if i == len(c.Cells) || (c.Cells[i].Type == schema.Put) != (c.Cells[begin].Type == schema.Put) {
			k.runs = append(k.runs, run{c.Change, c.to, int32(begin), int32(i), c.Cells[begin].Type == schema.Put})
			b.Mutations = append(b.Mutations, &k.runs[len(k.runs)-1])
			begin = i
		}
	}
}

// room makes room for what changes become, most of which have one run.
func (k *chunk) room(changes []mapped) { k.runs = slices.Grow(k.runs, min(len(changes), maxMutations)) }

// of is what is written to t.
func (k *chunk) of(t *table) *mutate.Batch {
	for i := range k.tables {
		if b := &k.tables[i]; b.Table == t.name {
			return b
		}
	}
	if k.ids == nil {
		k.ids = map[string][]byte{mutate.ClusterIDs: clusterIDsAttribute(k.origins)}
	}
	if n := len(k.tables); n < cap(k.tables) {
		k.tables = k.tables[:n+1] // with the memory of what was there
	} else {
		k.tables = append(k.tables, mutate.Batch{})
	}
	b := &k.tables[len(k.tables)-1]
	b.Table, b.Attributes, b.Bytes = t.name, k.ids, 0
	return b
}

// clusterIDsAttribute is the value of mutate.ClusterIDs.
func clusterIDsAttribute(ids []schema.UUID) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(ids)))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}
