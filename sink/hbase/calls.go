package hbase

import (
	"errors"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/walentry"
	"github.com/waltap/waltap/schema"
)

const (
	// maxMutations of one call. A region server makes a mutation of each run of cells with one row and one
	// type, and HBase 2.5 and later splits more than 5000 of them (hbase.rpc.rows.warning.threshold) into
	// parts that it applies in parallel, out of order.
	maxMutations = 4000
	// maxCallBytes of cells in one call; a single change larger than it goes alone.
	maxCallBytes = 8 << 20
)

// call is one ReplicateWALEntry request.
type call struct {
	param     []byte // the request message: entries
	cells     []byte
	entries   int
	mutations int
	origins   []schema.UUID
}

// request is the call's message. Its entries are encoded already, which a message has as fields that it does not know.
func (c *call) request() *pb.ReplicateWALEntryRequest {
	req := &pb.ReplicateWALEntryRequest{}
	req.ProtoReflect().SetUnknown(c.param)
	return req
}

// callBuilder packs changes, in their order, into as few calls as the limits allow. All changes of a
// call have one list of origins: HBase groups a call's mutations by it, and what is in two groups has no order.
//
// It is used again after reset, with the memory of its calls. With messages made of an object for each part, and memory of its own for
// each call, a cell took 1381 ns of CPU time instead of 174, or 494 instead of 69 in rows of 20 (BenchmarkCalls).
type callBuilder struct {
	calls   []*call
	free    []*call // of a former use
	at      *call
	origins []schema.UUID // of the change at hand
	entry   walentry.Entry
	region  []byte
	table   []byte
	cell    cell.Cell
}

// reset forgets the calls, which must be done with.
func (b *callBuilder) reset() {
	for _, k := range b.calls {
		*k = call{param: k.param[:0], cells: k.cells[:0], origins: k.origins[:0]}
		if cap(k.cells) > 2*maxCallBytes {
			k.cells = nil // there was a very large change in it
		}
	}
	b.free, b.calls, b.at = append(b.free, b.calls...), b.calls[:0], nil
}

func (b *callBuilder) begin(origins []schema.UUID) {
	if n := len(b.free); n > 0 {
		b.at, b.free = b.free[n-1], b.free[:n-1]
	} else {
		b.at = &call{}
	}
	b.at.origins = append(b.at.origins, origins...)
	b.calls = append(b.calls, b.at)
}

func (b *callBuilder) add(c mapped) {
	b.origins = append(append(b.origins[:0], c.Source.Origins...), c.Source.ClusterID) // its source last
	if b.at == nil || !slices.Equal(b.at.origins, b.origins) || b.at.entries > 0 && b.at.mutations+c.mutations > maxMutations {
		b.begin(b.origins)
	}
	start := len(b.at.cells)
	b.at.cells = b.appendCells(b.at.cells, c)
	if b.at.entries > 0 && len(b.at.cells) > maxCallBytes {
		full := b.at
		b.begin(b.origins)
		b.at.cells = append(b.at.cells, full.cells[start:]...)
		full.cells = full.cells[:start]
	}
	b.at.mutations += c.mutations
	b.at.entries++
	b.region, b.table = append(b.region[:0], c.Source.Region...), append(b.table[:0], c.to.wire...)
	b.entry = walentry.Entry{Region: b.region, Table: b.table, Sequence: c.Sequence, WriteTime: uint64(c.Timestamp),
		Clusters: b.entry.Clusters[:0], Cells: int32(len(c.Cells))}
	for _, id := range b.origins {
		b.entry.Clusters = append(b.entry.Clusters, id)
	}
	b.at.param = walentry.Append(b.at.param, &b.entry)
}

// appendCells appends the cells of c as they go over the wire.
func (b *callBuilder) appendCells(dst []byte, c mapped) []byte {
	for i := range c.Cells {
		fillCell(c.Change, c.to, i, &b.cell)
		dst = cell.KeyValueCodecWithTags.Append(dst, &b.cell)
	}
	return dst
}

func (b *callBuilder) finish() []*call { return b.calls }

// passed lists the clusters that c has passed, its source last.
func passed(c *schema.Change) []schema.UUID {
	return append(slices.Clip(c.Source.Origins), c.Source.ClusterID)
}

// fillCell makes k cell i of c as it goes over the wire.
func fillCell(c *schema.Change, to *table, i int, k *cell.Cell) {
	from := &c.Cells[i]
	*k = cell.Cell{Row: c.Row, Family: to.family(from.Family), Qualifier: from.Qualifier, Timestamp: from.Timestamp,
		Type: cell.Type(from.Type), Value: from.Value, Tags: from.Tags}
}

// tableName is HBase's text form, in which the default namespace is left out.
func tableName(full string) string {
	ns, q := schema.SplitTable(full)
	if ns == schema.DefaultNamespace {
		return q
	}
	return full
}

// mentions tells whether a remote error is of class or was caused by it; the causes stand in the stack trace.
func mentions(err error, class string) bool {
	if rpc.IsRemote(err, class) {
		return true
	}
	var remote *rpc.RemoteError
	return errors.As(err, &remote) && strings.Contains(remote.Message, class)
}
