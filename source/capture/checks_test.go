package capture

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/source/watermark"
)

// inCheck is a checker of a configuration, of a source whose region servers are on the hosts.
func inCheck(cfg Config, hosts ...string) *checker {
	x := &admin.Examination{Status: new(admin.Status)}
	for _, h := range hosts {
		x.Servers = append(x.Servers, admin.ServerName{Host: h, Port: 16020})
	}
	return &checker{CheckConfig: CheckConfig{Config: cfg}, cluster: x, known: true, Capture: &Capture{process: &process{cfg: cfg}}}
}

func is(t *testing.T, results []check.Result, severity check.Severity, texts ...string) {
	t.Helper()
	if len(results) != 1 || results[0].Severity != severity {
		t.Errorf("%+v, want one %s", results, severity)
		return
	}
	for _, text := range texts {
		if r := results[0]; !strings.Contains(r.Subject+" "+r.Found+" "+r.Remedy, text) {
			t.Errorf("%+v does not say %q", r, text)
		}
	}
}

func TestAddressIsTried(t *testing.T) {
	here := Config{Listen: "127.0.0.1:0", AdvertisedHost: "localhost"}
	with := func(change func(*Config)) Config { c := here; change(&c); return c }
	const far = "192.0.2.7" // of no machine
	is(t, inCheck(here, "localhost").address(t.Context()), check.OK, "arrives here")
	is(t, inCheck(with(func(c *Config) { c.AdvertisedHost = "no-such-host.invalid" })).address(t.Context()), check.Failure, "cannot resolve", "hbase.peer.advertised.host")
	is(t, inCheck(with(func(c *Config) { c.Listen = far + ":0" })).address(t.Context()), check.Failure, "hbase.peer.listen")
	is(t, inCheck(here, "localhost", far).address(t.Context()), check.Failure, "other hosts: "+far)
	is(t, inCheck(with(func(c *Config) { c.SnapshotMode = SnapshotInitialOnly }), far).address(t.Context()), check.OK)
	if addr := otherAddress(t); addr != "" {
		is(t, inCheck(with(func(c *Config) { c.AdvertisedHost = addr }), far).address(t.Context()), check.Failure, "hbase.peer.listen is a loopback address")
		is(t, inCheck(with(func(c *Config) { c.AdvertisedHost = addr }), addr).address(t.Context()), check.Failure, "does not arrive here")
		is(t, inCheck(with(func(c *Config) { c.AdvertisedHost, c.Listen = addr, "0.0.0.0:0" }), far).address(t.Context()), check.OK)
	}
}

// otherAddress is one of this machine's that is no loopback address, "" when it has none.
func otherAddress(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && !ip.IsLoopback() {
			return ip.String()
		}
	}
	return ""
}

// TestAddressOfARunningConnector: its port is taken, and it may not take our connection.
func TestAddressOfARunningConnector(t *testing.T) {
	serve := func(allow func(net.Addr) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := rpc.NewServer(rpc.ServerConfig{Services: map[string]rpc.Handler{}, Allow: allow})
		go s.Serve(l)
		t.Cleanup(func() { s.Shutdown(context.Background()) })
		return l.Addr().String()
	}
	at := func(listen string) []check.Result {
		return inCheck(Config{Listen: listen, AdvertisedHost: "localhost"}, "localhost").address(t.Context())
	}
	is(t, at(serve(func(net.Addr) error { return fmt.Errorf("not allowed") })), check.Unknown, "hangs up")
	is(t, at(serve(nil)), check.OK, "the running connector answers")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	is(t, at(mute.Addr().String()), check.Failure, "another program has the port")
}

func TestConfigurationOfRegionServers(t *testing.T) {
	bulk := "false"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/conf" || r.URL.Query().Get("format") != "json" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"properties":[{"key":"hbase.replication.bulkload.enabled","value":%q,"isFinal":false,"resource":"hbase-site.xml"},{"key":"hbase.regionserver.hlog.blocksize","value":"268435456"}]}`, bulk)
	}))
	defer s.Close()
	addr := s.Listener.Addr().(*net.TCPAddr)
	k := inCheck(Config{}, "localhost")
	look := func() []check.Result {
		k.conf = readConfs(t.Context(), k.cluster)
		return k.bulkLoads(t.Context())
	}
	is(t, look(), check.Unknown, "no web interface")
	k.cluster.Info = map[admin.ServerName]admin.ServerInfo{k.cluster.Servers[0]: {InfoPort: addr.Port}}
	is(t, look(), check.OK, "nobody sees it")
	if k.conf.rollSize() != 128<<20 {
		t.Errorf("WALs are rolled at %d bytes", k.conf.rollSize())
	}
	bulk = "true"
	is(t, look(), check.Warning, "errors.tolerance: all")
	if _, err := readConf(t.Context(), s.URL+"/elsewhere"); err == nil {
		t.Error("an answer of 404 was read")
	}
}

func TestRoomInHDFS(t *testing.T) {
	summary := `{"ContentSummary":{"directoryCount":2,"fileCount":7,"length":250000000,"quota":-1,"spaceConsumed":750000000,"spaceQuota":-1}}`
	answer := `{"beans":[{"name":"Hadoop:service=NameNode,name=FSNamesystemState","CapacityTotal":1000,"CapacityUsed":5,"CapacityRemaining":500}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/webhdfs/v1/hbase/WALs" || r.URL.Path == "/webhdfs/v1/hbase/oldWALs" {
			if r.URL.RawQuery != "op=GETCONTENTSUMMARY&user.name=waltap" || summary == "" {
				http.Error(w, `{"RemoteException":{"exception":"AccessControlException"}}`, http.StatusForbidden)
				return
			}
			fmt.Fprint(w, summary)
			return
		}
		if r.URL.Query().Get("qry") != "Hadoop:service=NameNode,name=FSNamesystemState" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	k := inCheck(Config{})
	if got := k.room(t.Context(), 1); got != nil {
		t.Errorf("nobody was asked: %+v", got)
	}
	k.NameNode = s.URL + "/"
	both := func(severity check.Severity, text string) []check.Result {
		t.Helper()
		results := k.room(t.Context(), 1)
		if len(results) != 2 {
			t.Fatalf("%+v", results)
		}
		is(t, results[:1], severity, text)
		return results[1:]
	}
	is(t, both(check.OK, "/hbase/WALs holds 238 MiB in 7 files, /hbase/oldWALs holds"), check.OK)
	answer = strings.Replace(answer, "500", "99", 1)
	summary = ""
	is(t, both(check.Unknown, "403 Forbidden"), check.Warning, "Make room")
	for _, answer = range []string{`{"beans":[]}`, "no json", `{"beans":[{"CapacityTotal":0}]}`} {
		is(t, k.room(t.Context(), 1), check.Warning, "--namenode")
	}
}

func TestHeldWALsAreJudgedByTheirAge(t *testing.T) {
	k := inCheck(Config{PeerID: "ours", MaxWALHold: 2 * time.Hour})
	ago := func(d time.Duration) held {
		return held{wals: map[string]bool{"a": true, "b": true}, oldest: time.Now().Add(-d).UnixMilli()}
	}
	if got := k.judgeHeld(admin.Peer{ID: "ours"}, ago(time.Hour)); got != nil {
		t.Errorf("for an hour: %+v", got)
	}
	if got := k.judgeHeld(admin.Peer{ID: "ours"}, held{}); got != nil {
		t.Errorf("nothing: %+v", got)
	}
	long := ago(3 * time.Hour)
	is(t, k.judgeHeld(admin.Peer{ID: "ours"}, long), check.Warning, "disabled, and holds 2 WALs (at most about 256 MiB)", "waltap peer enable ours")
	is(t, k.judgeHeld(admin.Peer{ID: "ours", Enabled: true}, long), check.Warning, "Run the connector")
	is(t, k.judgeHeld(admin.Peer{ID: "theirs"}, long), check.Warning, "enable_peer 'theirs'")
	is(t, k.judgeHeld(admin.Peer{ID: "theirs", Enabled: true}, long), check.Warning, "remove_peer 'theirs'")
}

func TestPeersWithoutAList(t *testing.T) {
	k := inCheck(Config{PeerID: "ours", WatermarkMode: watermark.Heartbeat})
	is(t, k.otherPeers(t.Context()), check.OK, "no other peer")
	k.peers = []admin.Peer{{ID: "ours", ReplicateAll: true}, {ID: "listed", Tables: map[string][]string{"default:x": nil}}}
	is(t, k.otherPeers(t.Context()), check.OK, "peer listed")
	k.peers[1] = admin.Peer{ID: "all", ReplicateAll: true}
	is(t, k.otherPeers(t.Context()), check.Warning, "set_peer_replicate_all 'all', false", "'default:waltap_heartbeat_ours'", "the watermark is an estimate")
	k.peers[1] = admin.Peer{ID: "ns", Namespaces: []string{"default"}}
	is(t, k.otherPeers(t.Context()), check.Warning, "list of its namespaces")
	k.peers[1] = admin.Peer{ID: "all", ReplicateAll: true, ExcludeTables: map[string][]string{"default:waltap_heartbeat_ours": nil}}
	is(t, k.otherPeers(t.Context()), check.OK)
	k.peers[1] = admin.Peer{ID: "all", ReplicateAll: true}
	k.cfg.ScopeAllowPeers = []string{"all"}
	is(t, k.otherPeers(t.Context()), check.OK, "allowed")
	k.known = false
	is(t, k.otherPeers(t.Context()), check.Unknown)
}

func TestShippingAsItIsReported(t *testing.T) {
	k := inCheck(Config{PeerID: "ours"})
	is(t, k.shipping(t.Context()), check.Unknown, "no peer of ours")
	k.peers = []admin.Peer{{ID: "ours", Enabled: true}}
	is(t, k.shipping(t.Context()), check.Unknown, "no region server has reported")
	report := func(r admin.ReplicationLoad) []check.Result {
		k.cluster.Status.Servers = []admin.ServerStatus{{Name: admin.ServerName{Host: "rs", Port: 1}, Replication: []admin.ReplicationLoad{{PeerID: "other", LogQueue: 9, Lag: 1 << 40}, r}}}
		return k.shipping(t.Context())
	}
	is(t, report(admin.ReplicationLoad{PeerID: "ours", LogQueue: 1, LastShipped: 1}), check.OK, "rs:1")
	is(t, report(admin.ReplicationLoad{PeerID: "ours", LogQueue: 1}), check.Unknown, "nothing yet")
	is(t, report(admin.ReplicationLoad{PeerID: "ours", LogQueue: 3, Lag: 3_600_000}), check.Warning, "3 WALs wait, it is 1h0m0s behind", "advertised address")
}

func TestTableSizes(t *testing.T) {
	st := &admin.Status{Servers: []admin.ServerStatus{
		{Regions: []admin.RegionLoad{{Name: []byte("t,,1.x."), StoreFileMB: 2, UncompressedMB: 3, MemStoreMB: 1}, {Name: []byte("n:t,a,1.x."), StoreFileMB: 5}}},
		{Regions: []admin.RegionLoad{{Name: []byte("t,b,1.x."), MemStoreMB: 1}, {Name: []byte("odd")}}},
	}}
	if got := tableSizes(st); len(got) != 2 || got["default:t"] != 5<<20 || got["n:t"] != 5<<20 {
		t.Errorf("%v", got)
	}
	if got := tableSizes(nil); len(got) != 0 {
		t.Errorf("%v of a master that does not answer", got)
	}
}

// TestWALsThatAScanHolds: by what the region servers have written since they were started, for as long as the scan takes.
func TestWALsThatAScanHolds(t *testing.T) {
	bean := `{"beans":[{"name":"Hadoop:service=HBase,name=RegionServer,sub=WAL","writtenBytes":1048576000,"AppendSize_mean":NaN}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("qry") != "Hadoop:service=HBase,name=RegionServer,sub=WAL" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, bean)
	}))
	defer s.Close()
	k := inCheck(Config{MaxWALHold: time.Hour}, "localhost")
	k.cluster.Servers[0].StartCode = time.Now().Add(-1000 * time.Second).UnixMilli() // 1 MB a second
	is(t, k.scanWALs(t.Context()), check.Unknown, "the tables are not known")
	k.all = []admin.Table{{Namespace: "default", Qualifier: "t"}}
	k.cluster.Status.Servers = []admin.ServerStatus{{Regions: []admin.RegionLoad{{Name: []byte("t,,1.x."), UncompressedMB: 40 * 600}, {Name: []byte("other,,1.x."), UncompressedMB: 1 << 30}}}}
	is(t, k.scanWALs(t.Context()), check.Unknown, "likely to take 10m0s at 40 MiB/s (assumed)", "has no web interface")
	server := s.Listener.Addr().(*net.TCPAddr)
	k.cluster.Info = map[admin.ServerName]admin.ServerInfo{k.cluster.Servers[0]: {InfoPort: server.Port}}
	is(t, k.scanWALs(t.Context()), check.OK, "about 5", " MiB: the scan of 23 GiB is likely to take 10m0s", "have written 1.0 MiB/s")
	k.ScanRate = 4 << 20
	is(t, k.scanWALs(t.Context()), check.Warning, "take 1h40m0s at 4 MiB/s (snapshot.max.bytes.per.second)", "longer than snapshot.max.wal.hold (1h0m0s)")
	k.cfg.MaxWALHold = 0
	is(t, k.scanWALs(t.Context()), check.OK)
	bean = `{"beans":[{"AppendSize_num_ops":1000,"AppendSize_mean":1048576.0}]}` // as before 2.0
	is(t, k.scanWALs(t.Context()), check.OK, "have written 1.0 MiB/s")
	for _, bean = range []string{`{"beans":[]}`, `{"beans":[{}]}`, "no json"} {
		is(t, k.scanWALs(t.Context()), check.Unknown, "is not known: region server localhost:16020")
	}
	room := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"beans":[{"CapacityTotal":1000000,"CapacityRemaining":1000}]}`)
	}))
	defer room.Close()
	bean, k.NameNode = `{"beans":[{"writtenBytes":1048576000}]}`, room.URL
	is(t, k.scanWALs(t.Context()), check.Warning, "HDFS has room for 0 MiB", "snapshot.order: concurrent")
	k.cfg.SnapshotOrder = OrderConcurrent
	is(t, k.scanWALs(t.Context()), check.OK)
	k.cfg.SnapshotOrder, k.cfg.SnapshotMode = "", SnapshotNoData
	is(t, k.scanWALs(t.Context()), check.OK)
}
