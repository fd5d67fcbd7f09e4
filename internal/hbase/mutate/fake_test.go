package mutate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCluster has region servers that keep the cells they are given, one per column and timestamp.
type fakeCluster struct {
	t  *testing.T
	mu sync.Mutex

	regions []admin.Region
	looked  int // calls of Regions
	conns   map[admin.ServerName]*rpc.Conn
	cells   map[string]string // by row, column, timestamp and type
	log     []string          // each mutation that was applied
	calls   []string          // "server: rows" of each Multi

	// fail is asked before a mutation is applied: an exception's class, or "". silent: the answer says nothing of a row.
	fail       func(server, row string) string
	silent     string
	attributes map[string][]byte
	// raced is a column that somebody else writes between the look and the write.
	raced       string
	unprocessed bool // conditions are not known
}

// newCluster serves the table t: rows below m on server a, the others on b. The test holds its lock but for calls of write and
// putAbsent.
func newCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, conns: make(map[admin.ServerName]*rpc.Conn), cells: make(map[string]string), fail: func(string, string) string { return "" }}
	for _, name := range []string{"a", "b"} {
		server := admin.ServerName{Host: name, Port: 1, StartCode: 1}
		f.conns[server] = f.serve(name)
	}
	f.regions = []admin.Region{f.region("", "m", "a"), f.region("m", "", "b")}
	f.mu.Lock()
	t.Cleanup(f.mu.Unlock)
	return f
}

func (f *fakeCluster) write(ctx context.Context, w *Writer, b Batch) error {
	f.mu.Unlock()
	defer f.mu.Lock()
	return w.Write(ctx, b)
}

func (f *fakeCluster) putAbsent(w *Writer, b Columns) (int, error) {
	f.mu.Unlock()
	defer f.mu.Lock()
	return w.PutAbsent(f.t.Context(), b)
}

func (f *fakeCluster) region(start, end, server string) admin.Region {
	return admin.Region{Table: "default:t", Name: fmt.Appendf(nil, "t,%s,%s,%s", start, end, server), Encoded: start + "-" + end, Start: []byte(start), End: []byte(end),
		Server: admin.ServerName{Host: server, Port: 1, StartCode: 1}}
}

func (f *fakeCluster) serve(name string) *rpc.Conn {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	srv := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{"ClientService": func(_ context.Context, c *rpc.Call) { f.handle(name, c) }}, Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	conn, err := rpc.Dial(f.t.Context(), l.Addr().String(), rpc.DialOptions{Service: "ClientService", Codec: Codec})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		conn.Close()
		if err := errors.Join(srv.Shutdown(context.Background()), <-served); err != nil {
			f.t.Error(err)
		}
	})
	return conn
}

func (f *fakeCluster) Regions(_ context.Context, table string) ([]admin.Region, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	if table != "default:t" {
		return nil, admin.ErrTableNotFound
	}
	return slices.Clone(f.regions), nil
}

func (f *fakeCluster) Client(_ context.Context, s admin.ServerName) (*rpc.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.conns[s]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: %s", admin.ErrUnreachable, s)
}

func (f *fakeCluster) handle(server string, c *rpc.Call) {
	block, err := io.ReadAll(c.Cells)
	if err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch c.Method {
	case "Multi":
		f.multi(server, c, block)
	case "Mutate":
		f.mutate(c, block)
	default:
		c.Unsupported()
	}
}

func (f *fakeCluster) multi(server string, c *rpc.Call, block []byte) {
	var req pb.MultiRequest
	if err := proto.Unmarshal(c.Param, &req); err != nil {
		f.t.Error(err)
	}
	resp, back, rows := &pb.MultiResponse{}, []byte(nil), []string(nil)
	for _, ra := range req.RegionAction {
		result := &pb.RegionActionResult{}
		resp.RegionActionResult = append(resp.RegionActionResult, result)
		served := slices.ContainsFunc(f.regions, func(r admin.Region) bool {
			return string(r.Name) == string(ra.Region.Value) && r.Server.Host == server
		})
		if !served {
			result.Exception = exception("org.apache.hadoop.hbase.NotServingRegionException")
		}
		for _, a := range ra.Action {
			if a.Get != nil {
				cells := f.get(a.Get)
				for i := range cells {
					back = Codec.Append(back, &cells[i])
				}
				result.ResultOrException = append(result.ResultOrException, &pb.ResultOrException{Index: a.Index, Result: &pb.Result{AssociatedCellCount: proto.Int32(int32(len(cells)))}})
				continue
			}
			var m Cells
			m, block = f.take(a.Mutation, block)
			row := string(a.Mutation.Row)
			rows = append(rows, row)
			if !served {
				continue
			}
			if class := f.fail(server, row); class != "" {
				result.ResultOrException = append(result.ResultOrException, &pb.ResultOrException{Index: a.Index, Exception: exception(class)})
				continue
			}
			f.apply(m)
			f.attributes = make(map[string][]byte)
			for _, x := range a.Mutation.Attribute {
				f.attributes[x.GetName()] = x.Value
			}
			if row != f.silent {
				result.ResultOrException = append(result.ResultOrException, &pb.ResultOrException{Index: a.Index, Result: &pb.Result{}})
			}
		}
	}
	if len(block) > 0 {
		f.t.Errorf("%d bytes behind the last cell", len(block))
	}
	f.calls = append(f.calls, server+": "+strings.Join(rows, " "))
	c.ReplyCells(resp, back)
}

func (f *fakeCluster) mutate(c *rpc.Call, block []byte) {
	var req pb.MutateRequest
	if err := proto.Unmarshal(c.Param, &req); err != nil {
		f.t.Error(err)
	}
	m, _ := f.take(req.Mutation, block)
	if class := f.fail("", string(m.Row())); class != "" {
		c.Fail(class, "", false)
		return
	}
	if req.Condition.GetCompareType() != pb.CompareType_EQUAL || req.Condition.Qualifier == nil || string(req.Condition.Row) != string(m.Row()) {
		f.t.Errorf("condition %v", req.Condition)
	}
	if column(&m[0]) == f.raced {
		f.apply(Cells{{Row: m.Row(), Family: m[0].Family, Qualifier: m[0].Qualifier, Timestamp: 1, Type: cell.Put, Value: []byte("raced")}})
	}
	absent := len(f.get(&pb.Get{Row: req.Condition.Row, Column: []*pb.Column{{Family: req.Condition.Family, Qualifier: [][]byte{req.Condition.Qualifier}}}})) == 0
	if absent || f.unprocessed {
		f.apply(m)
	}
	if f.unprocessed {
		c.Reply(&pb.MutateResponse{})
		return
	}
	c.Reply(&pb.MutateResponse{Processed: &absent})
}

func (f *fakeCluster) take(p *pb.MutationProto, block []byte) (Cells, []byte) {
	m := make(Cells, p.GetAssociatedCellCount())
	for i := range m {
		n, err := Codec.Decode(block, &m[i])
		if err != nil {
			f.t.Error(err)
			return m, nil
		}
		block = block[n:]
		if (m[i].Type == cell.Put) != (p.GetMutateType() == pb.MutationProto_PUT) || string(m[i].Row) != string(p.Row) {
			f.t.Errorf("%s of row %q holds %+v", p.GetMutateType(), p.Row, m[i])
		}
	}
	return m, block
}

func (f *fakeCluster) apply(m Cells) {
	for i := range m {
		k := &m[i]
		f.cells[fmt.Sprintf("%s %s %d %s", k.Row, column(k), k.Timestamp, k.Type)] = string(k.Value)
		f.log = append(f.log, fmt.Sprintf("%s=%s", k.Row, k.Value))
	}
}

// get returns a cell of each column that has one.
func (f *fakeCluster) get(g *pb.Get) (found []cell.Cell) {
	for _, key := range slices.Sorted(maps.Keys(f.cells)) {
		for _, c := range g.Column {
			for _, q := range c.Qualifier {
				if strings.HasPrefix(key, string(g.Row)+" "+string(c.Family)+":"+string(q)+" ") {
					found = append(found, cell.Cell{Row: g.Row, Family: c.Family, Qualifier: q, Type: cell.Put})
				}
			}
		}
	}
	return found
}

func exception(class string) *pb.NameBytesPair {
	return &pb.NameBytesPair{Name: &class, Value: []byte(class + ": a message\n\tat org.apache.hadoop.hbase.Somewhere")}
}

func put(row, qualifier string, timestamp int64, value string) cell.Cell {
	return cell.Cell{Row: []byte(row), Family: []byte("f"), Qualifier: []byte(qualifier), Timestamp: timestamp, Type: cell.Put, Value: []byte(value)}
}
