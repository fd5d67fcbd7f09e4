package mutate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// multi makes one Multi: for each region of s the actions that belong to its items. done is told of each item that came through,
// with the cells that were returned; the error is one of the others'.
func (w *Writer) multi(ctx context.Context, s *share, actions [][]*pb.Action, done func(item int, cells []cell.Cell)) error {
	req := &pb.MultiRequest{}
	for i, r := range s.regions {
		for n, a := range actions[i] {
			a.Index = proto.Uint32(uint32(n))
		}
		req.RegionAction = append(req.RegionAction, &pb.RegionAction{Region: specifier(r.region), Action: actions[i]})
	}
	return w.call(ctx, s.server, func(ctx context.Context, conn *rpc.Conn) error {
		resp := &pb.MultiResponse{}
		answer, err := conn.Call(ctx, "Multi", req, nil, resp)
		if err != nil {
			return err
		}
		return s.read(resp, answer, done)
	})
}

// read tells done of each item of s that came through by the answer to its Multi, with the cells that were returned; the error is
// one of the others'.
func (s *share) read(resp *pb.MultiResponse, block []byte, done func(item int, cells []cell.Cell)) error {
	sizes := make([]int, len(s.regions))
	for i, r := range s.regions {
		sizes[i] = r.end - r.from
	}
	outcomes, err := readMulti(resp, block, sizes)
	if err != nil {
		return err
	}
	var errs []error
	for i, r := range s.regions {
		for n := range outcomes[i] {
			if o := &outcomes[i][n]; o.err == nil {
				done(r.from+n, o.cells)
			} else {
				errs = append(errs, fmt.Errorf("region %s: %w", r.region.Encoded, o.err))
			}
		}
	}
	return worst(errs)
}

// outcome is what became of one action.
type outcome struct {
	cells []cell.Cell // they alias the answer's cell block
	err   error
}

var errNoAnswer = errors.New("the server's answer says nothing of it")

// readMulti reads the answer to a Multi with so many actions for each region. Those that the server says nothing of have failed.
func readMulti(resp *pb.MultiResponse, block []byte, sizes []int) ([][]outcome, error) {
	if n := len(resp.GetRegionActionResult()); n != len(sizes) {
		return nil, fmt.Errorf("read the answer to Multi: it is of %d regions, %d were asked", n, len(sizes))
	}
	all := make([][]outcome, len(sizes))
	for i, of := range resp.GetRegionActionResult() {
		outcomes := make([]outcome, sizes[i])
		all[i] = outcomes
		initial := errNoAnswer
		if of.GetException() != nil {
			initial = remote(of.GetException())
		}
		for n := range outcomes {
			outcomes[n].err = initial
		}
		for _, r := range of.GetResultOrException() {
			n := int(r.GetIndex())
			if n >= len(outcomes) {
				return nil, fmt.Errorf("read the answer to Multi: action %d of a region for which there were %d", n, len(outcomes))
			}
			o := &outcomes[n]
			if r.GetException() != nil {
				*o = outcome{err: remote(r.GetException())}
				continue
			}
			var err error
			if block, o.cells, err = cellsOf(r.GetResult(), block); err != nil {
				return nil, err
			}
			if of.GetException() == nil {
				o.err = nil
			}
		}
	}
	if len(block) > 0 {
		return nil, fmt.Errorf("read the answer to Multi: %d bytes are left behind the last cell", len(block))
	}
	return all, nil
}

// minCellBytes is the size of the smallest cell in a cell block: lengths, row and family lengths, timestamp, type.
const minCellBytes = 24

// cellsOf takes the cells of a result off block.
func cellsOf(r *pb.Result, block []byte) (rest []byte, cells []cell.Cell, err error) {
	n := int(r.GetAssociatedCellCount())
	if n < 0 || n > len(block)/minCellBytes {
		return nil, nil, fmt.Errorf("read the answer to Multi: %d cells are announced in %d bytes", n, len(block))
	}
	if n == 0 {
		return block, nil, nil
	}
	cells = make([]cell.Cell, n)
	for i := range cells {
		size, err := Codec.Decode(block, &cells[i])
		if err != nil {
			return nil, nil, fmt.Errorf("read the answer to Multi: %w", err)
		}
		block = block[size:]
	}
	return block, cells, nil
}

// finalClasses are the exceptions of an action that a repetition meets again. The answer to a Multi does not tell, as that to a call does.
var finalClasses = []string{
	"DoNotRetryIOException",
	"NoSuchColumnFamilyException",
	"FailedSanityCheckException",
	"AccessDeniedException",
	"TableNotFoundException",
	"IllegalArgumentException",
}

func remote(x *pb.NameBytesPair) *rpc.RemoteError {
	err := rpc.Exception("Multi", x)
	err.DoNotRetry = slices.ContainsFunc(finalClasses, func(class string) bool { return rpc.IsRemote(err, class) })
	return err
}

func typeOf(m Mutation) pb.MutationProto_MutationType {
	if m.Put() {
		return pb.MutationProto_PUT
	}
	return pb.MutationProto_DELETE
}

// mutation is m without its cells, which go into the cell block.
func mutation(m Mutation, attributes []*pb.NameBytesPair) *pb.MutationProto {
	return &pb.MutationProto{Row: m.Row(), MutateType: typeOf(m).Enum(), Attribute: attributes, AssociatedCellCount: proto.Int32(int32(m.Len()))}
}

func attributesOf(m map[string][]byte) []*pb.NameBytesPair {
	var out []*pb.NameBytesPair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &pb.NameBytesPair{Name: &name, Value: m[name]})
	}
	return out
}

func specifier(r *admin.Region) *pb.RegionSpecifier {
	return &pb.RegionSpecifier{Type: pb.RegionSpecifier_REGION_NAME.Enum(), Value: r.Name}
}
