package migrate

import (
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/hbase/admin"
)

const file = `bootstrap.servers: k:9092
%WAVES%
connectors:
  - name: s
    connector.class: HBaseSource
    hbase.zookeeper.quorum: zk
    hbase.peer.listen: 0.0.0.0:16220
    hbase.peer.advertised.host: me
    topic.prefix: p
    table.include.list: default:orders, shop:.*
    value.converter: json
    errors.deadletterqueue.topic.name: dead
    %SOURCE%
  - name: c
    connector.class: HBaseSink
    hbase.zookeeper.quorum: zk2
    hbase.zookeeper.znode.parent: /other
    topics.regex: p\..*
    hbase.table.rename: shop:items=store:things
    hbase.family.rename: shop:items:a=x
`

func parse(t *testing.T, waves, source string) (*Migration, error) {
	t.Helper()
	if source == "" {
		source = "tasks.max: 8"
	}
	cfg, err := config.Parse("m.yaml", []byte(strings.NewReplacer("%WAVES%", waves, "%SOURCE%", source).Replace(file)))
	if err != nil {
		t.Fatal(err)
	}
	return New(cfg)
}

func TestOneWaveIsTheFileItself(t *testing.T) {
	m, err := parse(t, "migration.name: m", "")
	if err != nil {
		t.Fatal(err)
	}
	w := m.Waves[0]
	if m.Name != "m" || len(m.Waves) != 1 || w.Source.Name != "s" || w.Sink.Name != "c" || w.prefix() != "p" || w.Sink.Sink.GroupID != "connect-c" {
		t.Errorf("got %q, waves %+v, source %s, sink %s, prefix %s", m.Name, m.waveNames(), w.Source.Name, w.Sink.Name, w.prefix())
	}
	if got := w.Sink.Sink.LatePutWindow.Hours(); got != 7*24 {
		t.Errorf("the late put window is %v hours, want 7 days", got)
	}
}

func TestWavesHaveConnectorsOfTheirOwn(t *testing.T) {
	m, err := parse(t, "migration.waves:\n  one: default:orders\n  two: [shop:.*]", "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "s" || strings.Join(m.waveNames(), " ") != "one two" {
		t.Fatalf("got %s with waves %v", m.Name, m.waveNames())
	}
	two := m.Waves[1]
	s, k := two.Source.Source, two.Sink.Sink
	if two.Source.Name != "s-two" || s.Peer.ID != "waltap_s_two" || s.TopicPrefix != "p-two" || s.Peer.Listen != "0.0.0.0:16221" || s.Errors.DeadLetterTopic != "dead-two" {
		t.Errorf("the source is %s, peer %s, prefix %s, listens on %s, dead letters on %s", two.Source.Name, s.Peer.ID, s.TopicPrefix, s.Peer.Listen, s.Errors.DeadLetterTopic)
	}
	if two.Sink.Name != "c-two" || k.GroupID != "connect-c-two" || !k.MatchTopic("p-two.shop.items") || k.MatchTopic("p.shop.items") || k.MatchTopic("p-one.default.orders") {
		t.Errorf("the sink is %s of group %s, reads %s", two.Sink.Name, k.GroupID, k.TopicsRegex)
	}
	all := func(names ...string) (out []admin.Table) {
		for _, n := range names {
			ns, q, _ := strings.Cut(n, ":")
			out = append(out, admin.Table{Namespace: ns, Qualifier: q})
		}
		return out
	}
	if err := checkWaves(m, all("default:orders", "shop:items", "other:x", "default:waltap_heartbeat_p")); err != nil {
		t.Error(err)
	}
	m, err = parse(t, "migration.waves:\n  one: default:orders\n  two: .*:.*", "")
	if err != nil {
		t.Fatal(err)
	}
	err = checkWaves(m, all("default:orders", "shop:items", "other:x"))
	if err == nil || !strings.Contains(err.Error(), "default:orders is in the waves one and two") || !strings.Contains(err.Error(), "other:x is in wave two and does not match") {
		t.Errorf("got %v", err)
	}
	m, err = parse(t, "migration.waves:\n  one: default:orders", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkWaves(m, all("shop:items")); err == nil || !strings.Contains(err.Error(), "shop:items matches table.include.list and is in no wave") {
		t.Errorf("got %v", err)
	}
}

func TestReverseIsTheInverse(t *testing.T) {
	m, err := parse(t, "migration.name: m", "")
	if err != nil {
		t.Fatal(err)
	}
	st := &State{Reverse: &Reverse{N: 2}, Tables: []Table{{Source: "default:orders", Target: "default:orders"}, {Source: "shop:items", Target: "store:things"}}}
	source, sink, err := m.reverse(m.Waves[0], st)
	if err != nil {
		t.Fatal(err)
	}
	s, k := source.Source, sink.Sink
	if s.HBase.ZooKeeperQuorum[0] != "zk2:2181" || s.HBase.ZNodeParent != "/other" || s.Snapshot.Mode != config.SnapshotNoData || s.Peer.Listen != "0.0.0.0:16320" ||
		s.Peer.ID != "waltap_s_reverse_2" || s.TopicPrefix != "p-reverse-2" || !s.Tables.Match("store:things") || s.Tables.Match("shop:items") || s.ValueConverter.Format != "json" {
		t.Errorf("the source is %+v", s)
	}
	if k.HBase.ZooKeeperQuorum[0] != "zk:2181" || k.HBase.ZNodeParent != "/hbase" || k.CreateTables || k.Mapping.Table("store:things") != "shop:items" ||
		k.Mapping.Families.Of("store:things").Apply("x") != "a" || !k.MatchTopic("p-reverse-2.store.things") {
		t.Errorf("the sink is %+v", k)
	}
}

func TestWhatCannotBeMigratedIsRefused(t *testing.T) {
	for source, want := range map[string]string{
		"hbase.peer.create: false":       "hbase.peer.create",
		"snapshot.mode: no_data":         "snapshot.mode",
		"watermark.mode: off":            "watermark.mode",
		"end.time: 2030-01-01T00:00:00Z": "end.time",
	} {
		if _, err := parse(t, "migration.name: m", source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}
