package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/scan/regionscan"
	"github.com/waltap/waltap/internal/hbase/scan/replaytest"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

func TestRecordedMeta(t *testing.T) {
	c, _ := clusterAt(t, replaytest.Serve(t, "testdata/meta.frames"))
	regions, err := c.Regions(t.Context(), "shop:cap")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range regions {
		fmt.Fprintf(&got, "%s %q-%q %s offline=%v split=%v\n", r.Encoded, r.Start, r.End, r.Server, r.Offline, r.Split)
		if r.Table != "shop:cap" || !bytes.Contains(r.Name, []byte(r.Encoded)) {
			t.Errorf("region %+v", r)
		}
	}
	const want = `38fd935eb4a9ff9337eaa1593ad8dcba ""-"f" localhost,41343,1795223337042 offline=false split=false
6c9aa31b0658ed212c7687ddbf208dea "f"-"m" localhost,41343,1795223337042 offline=false split=false
a539f033d199a93ea870abfb8a0fdd12 "m"-"t" localhost,41343,1795223337042 offline=false split=false
82e0c49d30f1827968efc4bb6e6e606a "t"-"" localhost,46851,1795223337133 offline=false split=false
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// metaTableOf serves scans of hbase:meta, one row a call.
type metaTableOf struct {
	t     *testing.T
	mu    sync.Mutex
	rows  []metaRow
	fails []string // classes of exceptions, thrown once each, before every second row
	next  int
	calls int
}

func (m *metaTableOf) scan(c *rpc.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := decode[pb.ScanRequest](m.t, c)
	if req.GetCloseScanner() {
		c.Reply(&pb.ScanResponse{})
		return
	}
	if scan := req.GetScan(); scan != nil {
		if string(req.GetRegion().GetValue()) != metaRegionName {
			m.t.Errorf("open %q", req.GetRegion().GetValue())
		}
		for m.next = 0; m.next < len(m.rows) && bytes.Compare(m.rows[m.next].row, scan.GetStartRow()) < 0; {
			m.next++
		}
	}
	if m.calls++; m.calls%2 == 0 && len(m.fails) > 0 {
		class := m.fails[0]
		m.fails = m.fails[1:]
		fail(class, "")(c)
		return
	}
	resp := &pb.ScanResponse{ScannerId: proto.Uint64(1), MoreResults: proto.Bool(true)}
	var block []byte
	if m.next < len(m.rows) {
		r := m.rows[m.next]
		m.next++
		n := uint32(0)
		for qualifier, value := range map[string][]byte{
			"regioninfo": r.regionInfo, "server": r.server, "serverstartcode": r.startCode, "state": r.state,
		} {
			if value != nil {
				block = regionscan.Codec.Append(block, &cell.Cell{
					Row: r.row, Family: []byte("info"), Qualifier: []byte(qualifier), Type: cell.Put, Value: value,
				})
				n++
			}
		}
		resp.CellsPerResult = []uint32{n}
	}
	resp.MoreResultsInRegion = proto.Bool(m.next < len(m.rows))
	c.ReplyCells(resp, block)
}

func metaRowOf(t testing.TB, table, start, end, state string) metaRow {
	t.Helper()
	info := &pb.RegionInfo{
		RegionId: proto.Uint64(9), TableName: tableNameProto(table), StartKey: []byte(start), EndKey: []byte(end),
	}
	hash := fmt.Sprintf("%032x", len(start)*256+len(end))
	return metaRow{
		row:        []byte(metaName(table) + "," + start + ",9." + hash + "."),
		regionInfo: payload(t, info),
		server:     []byte("H1:16020"),
		startCode:  []byte{0, 0, 0, 0, 0, 0, 0, 5},
		state:      []byte(state),
	}
}

func TestMetaScanGoesOnAfterErrors(t *testing.T) {
	meta := &metaTableOf{t: t, rows: []metaRow{
		metaRowOf(t, "t", "", "b", "OPEN"),
		metaRowOf(t, "t", "b", "c", "OPENING"),
		metaRowOf(t, "t", "c", "", "OPEN"),
	}, fails: []string{"NotServingRegionException", "UnknownScannerException"}}
	c, _ := clusterAt(t, master{"Scan": meta.scan}.serve(t))
	regions, err := c.Regions(t.Context(), "t")
	meta.mu.Lock()
	defer meta.mu.Unlock()
	if err != nil || len(regions) != 3 || len(meta.fails) != 0 {
		t.Fatalf("%v, %v", regions, err)
	}
	if regions[0].Offline || !regions[1].Offline || regions[0].Server != (ServerName{"h1", 16020, 5}) {
		t.Errorf("regions %+v", regions)
	}
}

func TestRegionsWaitForACompleteCover(t *testing.T) {
	t.Parallel()
	meta := &metaTableOf{t: t, rows: []metaRow{metaRowOf(t, "t", "", "b", "OPEN")}}
	c, _ := clusterAt(t, master{"Scan": meta.scan}.serve(t))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := c.Regions(ctx, "t")
	if err == nil || !strings.Contains(err.Error(), `no region begins at "b"`) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	meta.mu.Lock()
	meta.rows = append(meta.rows, metaRowOf(t, "t", "b", "", "OPEN"))
	meta.mu.Unlock()
	if regions, err := c.Regions(t.Context(), "t"); err != nil || len(regions) != 2 {
		t.Errorf("%v, %v", regions, err)
	}
}

func TestRegionsOfNoTable(t *testing.T) {
	meta := &metaTableOf{t: t}
	c, _ := clusterAt(t, master{"Scan": meta.scan}.serve(t))
	if _, err := c.Regions(t.Context(), "t"); !errors.Is(err, ErrTableNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestMetaNotOpen(t *testing.T) {
	t.Parallel()
	c, zk := clusterAt(t, "127.0.0.1:1")
	zk.set("/hbase/meta-region-server", payload(t, &pb.MetaRegionServer{
		Server: serverAt(t, "127.0.0.1:1"), State: pb.RegionState_OPENING.Enum(),
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Regions(ctx, "t")
	if err == nil || !strings.Contains(err.Error(), "hbase:meta is OPENING") {
		t.Errorf("error %v", err)
	}
	zk.set("/hbase/meta-region-server", znodeFile(t, "meta-region-server.znode"))
	regions, err := c.Regions(t.Context(), "hbase:meta")
	if err != nil || len(regions) != 1 || regions[0].Encoded != "1588230740" || regions[0].Server.Host != "localhost" {
		t.Errorf("%v, %v", regions, err)
	}
}

func TestMetaRow(t *testing.T) {
	row := func(change func(*metaRow, *pb.RegionInfo)) metaRow {
		r := metaRowOf(t, "ns:t", "a", "b", "OPEN")
		info := &pb.RegionInfo{}
		if err := zookeeper.UnmarshalPayload(r.regionInfo, info); err != nil {
			t.Fatal(err)
		}
		change(&r, info)
		if r.regionInfo != nil {
			r.regionInfo = payload(t, info)
		}
		return r
	}
	for _, tt := range []struct {
		name   string
		change func(*metaRow, *pb.RegionInfo)
		skip   bool
		err    string
	}{
		{"plain", func(*metaRow, *pb.RegionInfo) {}, false, ""},
		{"split parent", func(_ *metaRow, i *pb.RegionInfo) { i.Split, i.Offline = proto.Bool(true), proto.Bool(true) }, true, ""},
		{"state split", func(r *metaRow, _ *pb.RegionInfo) { r.state = []byte("SPLIT") }, true, ""},
		{"state merged", func(r *metaRow, _ *pb.RegionInfo) { r.state = []byte("MERGED") }, true, ""},
		{"replica", func(_ *metaRow, i *pb.RegionInfo) { i.ReplicaId = proto.Int32(1) }, true, ""},
		{"no region info", func(r *metaRow, _ *pb.RegionInfo) { r.regionInfo = nil }, true, ""},
		{"bad row", func(r *metaRow, _ *pb.RegionInfo) { r.row = []byte("ns:t,a,9.") }, false, "32 hexadecimal digits"},
		{"bad server", func(r *metaRow, _ *pb.RegionInfo) { r.server = []byte("h1") }, false, "info:server"},
		{"bad port", func(r *metaRow, _ *pb.RegionInfo) { r.server = []byte("h1:99999") }, false, "info:server"},
		{"negative start code", func(r *metaRow, _ *pb.RegionInfo) { r.startCode = bytes.Repeat([]byte{0xFF}, 8) }, false, "startcode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := row(tt.change)
			r, skip, err := m.region()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil || skip != tt.skip {
				t.Errorf("skip %v, error %v", skip, err)
			}
			if !skip && (r.Table != "ns:t" || string(r.Start) != "a" || string(r.End) != "b" || r.Offline) {
				t.Errorf("region %+v", r)
			}
		})
	}
}

func TestCheckCover(t *testing.T) {
	for keys, want := range map[string]string{
		"-":         "",
		"-a a-b b-": "",
		"-a b-":     `begins at "b", the one before it ends at "a"`,
		"-b a-":     `begins at "a", the one before it ends at "b"`,
		"a-":        `begins at "a"`,
		"-a":        `no region begins at "a"`,
		"- a-":      `begins at "a"`,
		"- -":       `begins at ""`,
	} {
		var regions []Region
		for _, r := range strings.Fields(keys) {
			start, end, _ := strings.Cut(r, "-")
			regions = append(regions, Region{Start: []byte(start), End: []byte(end)})
		}
		err := checkCover(regions)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", keys, err, want)
		}
	}
}

func TestSplitRegionNamesItAsHBaseDoes(t *testing.T) {
	c, _ := clusterAt(t, master{"SplitRegion": func(call *rpc.Call) {
		req := decode[pb.SplitTableRegionRequest](t, call)
		if req.GetRegionInfo().GetRegionId() != 1795224606774 || string(req.GetSplitRow()) != "n" {
			t.Errorf("request %v", req)
		}
		call.Reply(&pb.SplitTableRegionResponse{})
	}}.serve(t))
	r := Region{Table: "shop:cap", Name: []byte("shop:cap,m,,1795224606774.a539f033d199a93ea870abfb8a0fdd12.")}
	if err := c.SplitRegion(t.Context(), r, []byte("n")); err != nil {
		t.Error(err)
	}
	if err := c.SplitRegion(t.Context(), Region{Name: []byte("x")}, nil); err == nil {
		t.Error("no error for a name that is none")
	}
}

func TestMoveRegion(t *testing.T) {
	requests := make(chan *pb.MoveRegionRequest, 1)
	c, _ := clusterAt(t, master{"MoveRegion": func(call *rpc.Call) {
		requests <- decode[pb.MoveRegionRequest](t, call)
		call.Reply(&pb.MoveRegionResponse{})
	}}.serve(t))
	if err := c.MoveRegion(t.Context(), "abc", ServerName{"h", 2, 3}); err != nil {
		t.Fatal(err)
	}
	got := <-requests
	if string(got.GetRegion().GetValue()) != "abc" || got.GetDestServerName().GetHostName() != "h" {
		t.Errorf("request %v", got)
	}
}

func TestServerName(t *testing.T) {
	s, err := ParseServerName("h1.example,16020,1795223337042")
	if err != nil || s.String() != "h1.example,16020,1795223337042" || s.Addr() != "h1.example:16020" || s.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "h", "h,1", ",1,2", "h,x,2", "h,70000,2", "h,1,x", "h,1,2,3"} {
		if _, err := ParseServerName(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzMetaRow(f *testing.F) {
	r := metaRowOf(f, "ns:t", "a", "b", "OPEN")
	f.Add(r.row, r.regionInfo, r.server, r.startCode, r.state)
	f.Add([]byte(metaRegionName), []byte("PBUF"), []byte("h:1"), []byte{1}, []byte("SPLIT"))
	f.Fuzz(func(t *testing.T, row, regionInfo, server, startCode, state []byte) {
		m := metaRow{row, regionInfo, server, startCode, state}
		r, skip, err := m.region()
		if err == nil && !skip && (r.Encoded == "" || r.Table == "") {
			t.Fatalf("region %+v", r)
		}
		if _, err := regionID(row); err == nil && len(row) < 34 && string(row) != metaRegionName {
			t.Fatalf("id of %q", row)
		}
	})
}

func FuzzServerName(f *testing.F) {
	f.Add("h1,16020,1795223337042")
	f.Add("h,1,-2")
	f.Fuzz(func(t *testing.T, s string) {
		name, err := ParseServerName(s)
		if err != nil {
			return
		}
		again, err := ParseServerName(name.String())
		if err != nil || again != name {
			t.Fatalf("%q became %+v, then %+v, %v", s, name, again, err)
		}
	})
}
