package sinktest

import (
	"bytes"
	"hash/fnv"

	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
)

// model is what a table must hold: of each row, column, timestamp and type the cell that was written last.
type model struct {
	at map[place]schema.Cell
}

type place struct {
	row, family, qualifier string
	timestamp              int64
	typ                    schema.CellType
}

func newModel() *model { return &model{at: make(map[place]schema.Cell)} }

func (m *model) apply(b *sink.Batch) {
	for i := range b.Changes {
		m.change(&b.Changes[i])
	}
}

func (m *model) change(c *schema.Change) {
	for _, k := range c.Cells {
		m.at[place{string(c.Row), string(k.Family), string(k.Qualifier), k.Timestamp, k.Type}] = k
	}
}

func (m *model) cells() []Cell {
	var list []Cell
	for p, k := range m.at {
		k.Value, k.Tags = bytes.Clone(k.Value), bytes.Clone(k.Tags)
		list = append(list, Cell{Row: p.row, Cell: k})
	}
	return list
}

func hash(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}
