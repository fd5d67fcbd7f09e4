package hbase

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/mutate"
	"github.com/waltap/waltap/schema"
)

// mutate writes changes by puts and deletes.
func (a *Applier) mutate(ctx context.Context, changes []mapped) error {
	var b chunkBuilder
	for _, c := range changes {
		b.add(c)
	}
	for _, chunk := range b.chunks {
		for _, batch := range chunk.tables {
			if err := a.writer.Write(ctx, *batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// chunk is what is written at once: changes of one list of origins, and not too many of them.
type chunk struct {
	origins   []schema.UUID
	tables    []*mutate.Batch
	mutations int
	bytes     int
}

// chunkBuilder packs changes, in their order, into as few chunks as the limits allow.
type chunkBuilder struct {
	chunks []*chunk
	at     *chunk
}

func (b *chunkBuilder) add(c mapped) {
	mutations := mutationsOf(c.Change)
	size := 0
	for i := range c.Cells {
		size += mutate.Codec.Size(cellOf(c, i))
	}
	origins := passed(c.Change)
	if b.at == nil || !slices.Equal(b.at.origins, origins) || b.at.mutations > 0 && (b.at.mutations+mutations > maxMutations || b.at.bytes+size > maxCallBytes) {
		b.at = &chunk{origins: origins}
		b.chunks = append(b.chunks, b.at)
	}
	b.at.mutations += mutations
	b.at.bytes += size
	batch := b.at.of(c.to)
	batch.Mutations = append(batch.Mutations, mutationsFrom(c)...)
}

func (k *chunk) of(t *table) *mutate.Batch {
	for _, b := range k.tables {
		if b.Table == t.name {
			return b
		}
	}
	b := &mutate.Batch{Table: t.name, Attributes: map[string][]byte{mutate.ClusterIDs: clusterIDsAttribute(k.origins)}}
	k.tables = append(k.tables, b)
	return b
}

// mutationsFrom makes a mutation of each run of puts and each run of delete markers.
func mutationsFrom(c mapped) []mutate.Mutation {
	cells := make([]cell.Cell, len(c.Cells))
	for i := range cells {
		cells[i] = *cellOf(c, i)
	}
	var out []mutate.Mutation
	for begin, i := 0, 1; i <= len(cells); i++ {
		if i == len(cells) || (cells[i].Type == cell.Put) != (cells[begin].Type == cell.Put) {
			out = append(out, cells[begin:i:i])
			begin = i
		}
	}
	return out
}

// clusterIDsAttribute is the value of mutate.ClusterIDs.
func clusterIDsAttribute(ids []schema.UUID) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(ids)))
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}
