package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeZK holds payloads of znodes.
type fakeZK struct {
	mu    sync.Mutex
	nodes map[string][]byte
	lists map[string]int                            // how often the children of a znode were asked for
	seen  func(z *fakeZK, znode string, there bool) // is told of what CreateTogether and DeleteTogether did; nil: nobody is
}

func (z *fakeZK) Get(ctx context.Context, znode string) ([]byte, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	data, ok := z.nodes[znode]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", znode, zookeeper.ErrNoNode)
	}
	return data, ctx.Err()
}

func (z *fakeZK) Children(_ context.Context, znode string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.lists == nil {
		z.lists = make(map[string]int)
	}
	z.lists[znode]++
	var names []string
	seen := map[string]bool{}
	for p := range z.nodes {
		if rest, ok := strings.CutPrefix(p, strings.TrimSuffix(znode, "/")+"/"); ok {
			if name, _, _ := strings.Cut(rest, "/"); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	if names == nil {
		return nil, fmt.Errorf("list %s: %w", znode, zookeeper.ErrNoNode)
	}
	return names, nil
}

func (z *fakeZK) set(znode string, data []byte) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.nodes[znode] = data
}

func (z *fakeZK) Set(_ context.Context, znode string, data []byte) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if _, ok := z.nodes[znode]; !ok {
		return fmt.Errorf("write %s: %w", znode, zookeeper.ErrNoNode)
	}
	z.nodes[znode] = data
	return nil
}

func (z *fakeZK) CreateTogether(_ context.Context, nodes ...zookeeper.Node) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, n := range nodes {
		if _, ok := z.nodes[n.Path]; ok {
			return fmt.Errorf("create %s: %w", n.Path, zookeeper.ErrNodeExists)
		}
	}
	for _, n := range nodes {
		z.nodes[n.Path] = n.Data
	}
	for _, n := range nodes {
		if z.seen != nil {
			z.seen(z, n.Path, true)
		}
	}
	return nil
}

func (z *fakeZK) DeleteTogether(_ context.Context, znodes ...string) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, name := range znodes {
		delete(z.nodes, name)
		if z.seen != nil {
			z.seen(z, name, false)
		}
	}
	return nil
}

func (z *fakeZK) asked(znode string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.lists[znode]
}

func (z *fakeZK) delete(znode string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.nodes, znode)
}

func (z *fakeZK) Servers() []string { return []string{"zk1:2181"} }
func (z *fakeZK) Close() error      { return nil }

func payload(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("PBUF"), b...)
}

func serverAt(t testing.TB, addr string) *pb.ServerName {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.ServerName{HostName: &host, Port: proto.Uint32(uint32(n)), StartCode: proto.Uint64(1)}
}

// clusterAt is a Cluster whose master and hbase:meta are at addr.
func clusterAt(t testing.TB, addr string) (*Cluster, *fakeZK) {
	t.Helper()
	server := serverAt(t, addr)
	zk := &fakeZK{nodes: map[string][]byte{
		"/hbase/hbaseid":            []byte("id-1"),
		"/hbase/master":             payload(t, &pb.Master{Master: server}),
		"/hbase/meta-region-server": payload(t, &pb.MetaRegionServer{Server: server, State: pb.RegionState_OPEN.Enum()}),
	}}
	c := newCluster(Config{}.withDefaults(), zk)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, zk
}

// master serves MasterService with a function for each method; every other method is not supported.
type master map[string]func(c *rpc.Call)

func (m master) serve(t testing.TB) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := func(_ context.Context, c *rpc.Call) {
		if f := m[c.Method]; f != nil {
			f(c)
			return
		}
		c.Unsupported()
	}
	srv := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{
		serviceMaster: handler, serviceAdmin: handler, serviceClient: handler,
	}})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		<-done
	})
	return ln.Addr().String()
}

func fail(class, message string) func(*rpc.Call) {
	return func(c *rpc.Call) { c.Fail("org.apache.hadoop.hbase."+class, message, true) }
}

func reply(m proto.Message) func(*rpc.Call) { return func(c *rpc.Call) { c.Reply(m) } }

func decode[T any, M interface {
	*T
	proto.Message
}](t testing.TB, c *rpc.Call) M {
	t.Helper()
	m := M(new(T))
	if err := proto.Unmarshal(c.Param, m); err != nil {
		t.Errorf("decode %s: %v", c.Method, err)
	}
	return m
}

func TestRecordedTables(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/tables.frames"))
	tables, err := c.Tables(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range tables {
		names = append(names, table.FullName())
		if diff := cmp.Diff(table, tableOf(table.toProto())); diff != "" {
			t.Errorf("%s is not the same after a round trip: %s", table.FullName(), diff)
		}
	}
	if diff := cmp.Diff([]string{"shop:big", "shop:cap", "shop:orders"}, names); diff != "" {
		t.Error(diff)
	}
	orders := tables[2]
	if orders.Attributes["hbase.hstore.time.to.purge.deletes"] != "86400000" {
		t.Errorf("attributes %v", orders.Attributes)
	}
	cf, d := orders.Family("cf"), orders.Family("d")
	if cf == nil || d == nil || orders.Family("x") != nil {
		t.Fatalf("families %+v", orders.Families)
	}
	if cf.Scope() != 1 || d.Scope() != 0 || cf.Attributes["VERSIONS"] != "5" || cf.Attributes["DATA_BLOCK_ENCODING"] != "FAST_DIFF" {
		t.Errorf("cf %v, d %v", cf, d)
	}
}

func TestRecordedTableExists(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/create-exists.frames"))
	err := c.CreateTable(t.Context(), Table{Namespace: "shop", Qualifier: "orders"}, nil)
	if !errors.Is(err, ErrTableExists) || !strings.HasPrefix(err.Error(), "create table shop:orders: ") {
		t.Errorf("error %v", err)
	}
}

func TestRecordedStatus(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/status.frames"))
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Version != "2.6.4-hadoop3" || st.Master.Port != 39937 || len(st.Servers) != 2 {
		t.Fatalf("status %+v", st)
	}
	regions, sources := 0, map[string]int{}
	for _, s := range st.Servers {
		regions += len(s.Regions)
		for _, r := range s.Replication {
			sources[r.PeerID]++
		}
	}
	if regions != 11 || sources["rich"] != 2 { // one on each server
		t.Errorf("%d regions, sources %v", regions, sources)
	}
}

func TestRegionServers(t *testing.T) {
	c, zk := clusterAt(t, "127.0.0.1:1")
	zk.set("/hbase/rs/h1,16020,5", nil)
	servers, err := c.RegionServers(t.Context())
	if err != nil || len(servers) != 1 || servers[0] != (ServerName{"h1", 16020, 5}) {
		t.Errorf("servers %v, %v", servers, err)
	}
	zk.set("/hbase/rs/what", nil)
	if _, err := c.RegionServers(t.Context()); err == nil || !strings.Contains(err.Error(), "/hbase/rs") {
		t.Errorf("error %v", err)
	}
}

func TestRollWAL(t *testing.T) {
	var rolled atomic.Int32
	addr := master{"RollWALWriter": func(c *rpc.Call) { rolled.Add(1); c.Reply(&pb.RollWALWriterResponse{}) }}.serve(t)
	c, _ := clusterAt(t, addr)
	server := serverNameOf(serverAt(t, addr))
	if err := c.RollWAL(t.Context(), server); err != nil || rolled.Load() != 1 {
		t.Errorf("%d rolls, %v", rolled.Load(), err)
	}
	err := c.RollWAL(t.Context(), ServerName{Host: "127.0.0.1", Port: 1})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

func TestConnectionIsSharedAndReplaced(t *testing.T) {
	addr := master{}.serve(t)
	c, _ := clusterAt(t, addr)
	server := serverNameOf(serverAt(t, addr))
	a, err := c.Client(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Client(t.Context(), server); err != nil || a != b {
		t.Errorf("a second connection: %v", err)
	}
	if b, err := c.Admin(t.Context(), server); err != nil || a == b {
		t.Errorf("services share a connection: %v", err)
	}
	a.Close()
	if b, err := c.Client(t.Context(), server); err != nil || a == b {
		t.Errorf("the broken connection came back: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Client(t.Context(), server); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOpenNamesTheKey(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"hbase", "/hbase/"} {
		_, err := Open(t.Context(), Config{Quorum: []string{"127.0.0.1:1"}, Root: root})
		if err == nil || !strings.Contains(err.Error(), "zookeeper.znode.parent") {
			t.Errorf("root %q: error %v", root, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Open(ctx, Config{Quorum: []string{"127.0.0.1:1"}, Keys: Keys{Quorum: "my.quorum"}})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "check my.quorum") {
		t.Errorf("error %v", err)
	}
}

func TestWrongRootNamesTheRightOne(t *testing.T) {
	zk := &fakeZK{nodes: map[string][]byte{"/hbase-prod/master": nil, "/zookeeper/quota": nil}}
	c := newCluster(Config{Root: "/hbase"}.withDefaults(), zk)
	_, err := c.readID(t.Context())
	want := "no HBase under hbase.zookeeper.znode.parent=/hbase of zookeeper zk1:2181; there is one under /hbase-prod"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
	delete(zk.nodes, "/hbase-prod/master")
	if _, err = c.readID(t.Context()); err == nil || !strings.Contains(err.Error(), "check hbase.zookeeper.quorum") {
		t.Errorf("error %v", err)
	}
}

func znodeFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	data, err = zookeeper.StripMetadata(data)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
