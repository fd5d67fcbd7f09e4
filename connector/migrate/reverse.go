package migrate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/connector/config"
)

// reverseName is what a connector of the n-th reverse stream is called.
func reverseName(name string, n int) string { return fmt.Sprintf("%s-reverse-%d", name, n) }

// reversePrefix is that of the topics of the wave's n-th reverse stream.
func (w *Wave) reversePrefix(n int) string { return reverseName(w.prefix(), n) }

// reversePeer is the peer at the destination.
func (w *Wave) reversePeer(n int) string {
	return notInPeerID.ReplaceAllString(reverseName(w.Source.Source.Peer.ID, n), "_")
}

// carried are the keys that a reverse connector has as the file's source does: those of Kafka, records and this machine.
var carried = []string{"tasks.max", "topic.creation.", "producer.override.", "key.converter", "value.converter", "watermark.", "connection.timeout.ms",
	"hbase.peer.advertised.host", "hbase.peer.max.bytes.in.flight", "hbase.peer.allow", "hbase.peer.zookeeper.session.timeout.ms", "topic.compacted.allow"}

// carriedBack are those that its sink has as the file's does.
var carriedBack = []string{"value.converter", "consumer.override.", "batch.", "connection.timeout.ms", "topic.creation."}

// reverse derives the connectors of the reverse stream st.Reverse: from the destination's tables to those of the source, changes only.
//
// Changes that the forward stream has brought to the destination do not come back: they carry the source's cluster id, and a
// sink leaves out what comes from its own target.
func (m *Migration) reverse(w *Wave, st *State) (source, sink *config.Connector, err error) {
	n := st.Reverse.N
	prefix, peer := w.reversePrefix(n), w.reversePeer(n)
	from := pick(w.Source.Raw, carried)
	own(from, w.Sink.Raw)
	var list, renames, families []string
	for _, t := range st.Tables {
		list = append(list, t.Target)
		if t.Target != t.Source {
			renames = append(renames, t.Target+"="+t.Source)
		}
		for a, b := range w.Sink.Sink.Mapping.Families.Of(t.Source) {
			if a != b {
				families = append(families, t.Target+":"+b+"="+a)
			}
		}
	}
	for k, v := range map[string]string{
		"connector.class": string(config.HBaseSource), "table.include.list": strings.Join(list, ","), "topic.prefix": prefix,
		"snapshot.mode": string(config.SnapshotNoData), "hbase.replication.scope": string(config.ScopeSet),
		"hbase.peer.id": peer, "hbase.peer.znode.parent": "/" + peer, "hbase.peer.listen": shiftPort(w.Source.Source.Peer.Listen, reversePorts),
	} {
		from[k] = v
	}
	to := pick(w.Sink.Raw, carriedBack)
	own(to, w.Source.Raw)
	to["connector.class"], to["topics.regex"], to["hbase.table.create"] = string(config.HBaseSink), topicsOf(prefix), "false"
	if len(renames) > 0 {
		to["hbase.table.rename"] = strings.Join(renames, ",")
	}
	if len(families) > 0 {
		to["hbase.family.rename"] = strings.Join(families, ",")
	}
	var errs [2]error
	source, errs[0] = m.cfg.ParseConnector(reverseName(w.Source.Name, n), from)
	sink, errs[1] = m.cfg.ParseConnector(reverseName(w.Sink.Name, n), to)
	return source, sink, errors.Join(errs[:]...)
}

// pick returns the keys of raw that are, or begin with, one of those listed.
func pick(raw map[string]string, listed []string) map[string]string {
	out := make(map[string]string)
	for k, v := range raw {
		for _, l := range listed {
			if k == l || strings.HasSuffix(l, ".") && strings.HasPrefix(k, l) || strings.HasPrefix(k, l+".") {
				out[k] = v
			}
		}
	}
	return out
}

// own gives a connector the cluster of another.
func own(to, of map[string]string) {
	for _, k := range []string{"hbase.zookeeper.quorum", "hbase.zookeeper.znode.parent"} {
		if v, given := of[k]; given {
			to[k] = v
		}
	}
}
