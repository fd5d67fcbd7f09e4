package hbase

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"encoding/binary"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
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
	request   *pb.ReplicateWALEntryRequest
	cells     []byte
	mutations int
	origins   []schema.UUID
}

// callBuilder packs changes, in their order, into as few calls as the limits allow. All changes of a
// call have one list of origins: HBase groups a call's mutations by it, and what is in two groups has no order.
type callBuilder struct {
	calls []*call
	at    *call
}

func (b *callBuilder) add(c mapped) {
	mutations := mutationsOf(c.Change)
	size := 0
	for i := range c.Cells {
		size += cell.KeyValueCodecWithTags.Size(cellOf(c, i))
	}
	origins := passed(c.Change)
	if b.at == nil || !slices.Equal(b.at.origins, origins) || len(b.at.request.Entry) > 0 &&
		(b.at.mutations+mutations > maxMutations || len(b.at.cells)+size > maxCallBytes) {
		b.at = &call{request: &pb.ReplicateWALEntryRequest{}, origins: origins}
		b.calls = append(b.calls, b.at)
	}
	k := b.at
	k.mutations += mutations
	for i := range c.Cells {
		k.cells = cell.KeyValueCodecWithTags.Append(k.cells, cellOf(c, i))
	}
	k.request.Entry = append(k.request.Entry, &pb.WALEntry{
		Key: &pb.WALKey{
			EncodedRegionName: []byte(c.Source.Region), TableName: []byte(c.to.wire),
			LogSequenceNumber: proto.Uint64(c.Sequence), WriteTime: proto.Uint64(uint64(c.Timestamp)),
			ClusterIds: clusterIDs(origins),
		},
		AssociatedCellCount: proto.Int32(int32(len(c.Cells))),
	})
}

func (b *callBuilder) finish() []*call { return b.calls }

// passed lists the clusters that c has passed, its source last.
func passed(c *schema.Change) []schema.UUID {
	return append(slices.Clip(c.Source.Origins), c.Source.ClusterID)
}

// cellOf returns cell i of c as it goes over the wire.
func cellOf(c mapped, i int) *cell.Cell {
	k := &c.Cells[i]
	return &cell.Cell{Row: c.Row, Family: c.to.family(k.Family), Qualifier: k.Qualifier, Timestamp: k.Timestamp,
		Type: cell.Type(k.Type), Value: k.Value, Tags: k.Tags}
}

// mutationsOf counts what a region server makes of c: a mutation per run of one type.
func mutationsOf(c *schema.Change) int {
	n := 0
	for i := range c.Cells {
		if i == 0 || c.Cells[i].Type != c.Cells[i-1].Type {
			n++
		}
	}
	return n
}

func clusterIDs(ids []schema.UUID) []*pb.UUID {
	out := make([]*pb.UUID, len(ids))
	for i, id := range ids {
		out[i] = &pb.UUID{
			MostSigBits:  proto.Uint64(binary.BigEndian.Uint64(id[:8])),
			LeastSigBits: proto.Uint64(binary.BigEndian.Uint64(id[8:])),
		}
	}
	return out
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
