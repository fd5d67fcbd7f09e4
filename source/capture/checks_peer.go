package capture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/filesystem/hdfs"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
	"github.com/waltap/waltap/source/watermark"
)

func (k *checker) peer(ctx context.Context) []check.Result {
	if k.cfg.SnapshotMode == SnapshotInitialOnly {
		return []check.Result{checkPeer.Right("", "none is needed: snapshot.mode: initial_only")}
	}
	if !k.known {
		return nil // said before
	}
	subject := "peer " + k.cfg.PeerID
	p, err := k.findPeer(ctx)
	if err == nil && !k.cfg.PeerCreate {
		err = k.checkForeign(p)
	}
	switch {
	case err != nil:
		return []check.Result{checkPeer.Error(subject, err)}
	case p == nil:
		return []check.Result{checkPeer.Right(subject, "free: it will be added")}
	case !p.Enabled:
		return []check.Result{checkPeer.Right(subject, "ours, disabled: HBase keeps its WALs until a scan is complete, or: waltap peer enable")}
	}
	return []check.Result{checkPeer.Right(subject, "ours, enabled")}
}

// virtual looks at where the virtual cluster is registered.
func (k *checker) virtual(ctx context.Context) []check.Result {
	if k.cfg.SnapshotMode == SnapshotInitialOnly {
		return []check.Result{checkVirtual.Right("", "none is needed: snapshot.mode: initial_only")}
	}
	subject := k.clusterKey()
	ctx, cancel := context.WithTimeout(ctx, k.Timeout*3/4) // its own words, not the task's
	defer cancel()
	zk, err := zookeeper.Connect(ctx, k.cfg.PeerQuorum, 0, nil)
	if err != nil {
		return []check.Result{checkVirtual.Error(subject, err)}
	}
	defer zk.Close()
	taken, err := zk.Exists(ctx, k.cfg.PeerRoot+"/master")
	switch {
	case err != nil:
		return []check.Result{checkVirtual.Error(subject, err)}
	case taken:
		return []check.Result{checkVirtual.Fail(subject, "hbase.peer.znode.parent is the root of an HBase cluster", "")}
	case !slices.Equal(k.cfg.PeerQuorum, k.cfg.Source.Quorum):
		return []check.Result{checkVirtual.Right(subject, "it answers; whether the source's servers reach it is not known")}
	}
	return []check.Result{checkVirtual.Right(subject, "it is the source's own")}
}

func (k *checker) otherPeers(context.Context) []check.Result {
	if !k.known {
		return []check.Result{checkOtherPeers.Unknown("", "the peers are not known")}
	}
	t := check.Tally{Check: checkOtherPeers}
	heartbeats := watermark.TableName(k.cfg.PeerID)
	for _, p := range k.peers {
		allowed := slices.Contains(k.cfg.ScopeAllowPeers, p.ID)
		switch {
		case p.ID == k.cfg.PeerID:
		case !p.Ships(heartbeats, watermark.Family):
			t.Right("peer "+p.ID, "with a list of what they ship")
		case allowed:
			t.Right("peer "+p.ID, "allowed by hbase.replication.scope.allow.peers")
		default:
			t.Add(checkOtherPeers.Warn("peer "+p.ID, k.noListText(p), noListRemedy(p, heartbeats)))
		}
	}
	if results := t.Results(); len(results) > 0 {
		return results
	}
	return []check.Result{checkOtherPeers.Right("", "there is no other peer")}
}

// noListText says what a peer without a table list ships because of us.
func (k *checker) noListText(p admin.Peer) string {
	text := fmt.Sprintf("it has no table list (cluster key %s): it ships every table with scope 1, and stalls where its target lacks one", p.ClusterKey)
	if k.cfg.WatermarkMode == watermark.Heartbeat {
		text += "; the heartbeat table is therefore not made, and the watermark is an estimate"
	}
	return text
}

func noListRemedy(p admin.Peer, heartbeats string) string {
	exclude := fmt.Sprintf("set_peer_exclude_tableCFs '%s', { '%s' => [] }", p.ID, heartbeats)
	if !p.ReplicateAll {
		exclude = "take the namespace default off the list of its namespaces"
	}
	return fmt.Sprintf("In the hbase shell give it a table list (set_peer_replicate_all '%s', false and set_peer_tableCFs '%s', { … }) or keep waltap's table from it (%s); or allow it: hbase.replication.scope.allow.peers: %s",
		p.ID, p.ID, exclude, p.ID)
}

const (
	// lagTolerated is how far behind a region server may be before that is told.
	lagTolerated = 10 * time.Minute
	// defaultHold is snapshot.max.wal.hold where it says that there is no bound.
	defaultHold = 6 * time.Hour
)

func (k *checker) shipping(context.Context) []check.Result {
	i := slices.IndexFunc(k.peers, func(p admin.Peer) bool { return p.ID == k.cfg.PeerID })
	if i < 0 || !k.peers[i].Enabled {
		return []check.Result{checkShipping.Unknown("", "no peer of ours is enabled: nothing is shipped yet")}
	}
	t := check.Tally{Check: checkShipping}
	reported := 0
	for _, s := range k.cluster.Status.Servers {
		for _, r := range s.Replication {
			if r.PeerID != k.cfg.PeerID {
				continue
			}
			reported++
			subject := s.Name.Addr()
			lag := time.Duration(r.Lag) * time.Millisecond
			switch {
			case r.LogQueue > 1 && lag > lagTolerated:
				t.Add(checkShipping.Warn(subject, fmt.Sprintf("%d WALs wait, it is %s behind", r.LogQueue, lag.Round(time.Second)), ""))
			case r.LastShipped == 0:
				t.Add(checkShipping.Unknown(subject, "it has shipped nothing yet, %d WALs wait", r.LogQueue))
			default:
				t.Right(subject, "has shipped; "+time.UnixMilli(int64(r.LastShipped)).UTC().Format(time.RFC3339)+" was the last")
			}
		}
	}
	if reported == 0 {
		return []check.Result{checkShipping.Unknown("", "no region server has reported anything of peer %s", k.cfg.PeerID)}
	}
	return t.Results()
}

// held is what the queues of a peer hold.
type held struct {
	wals   map[string]bool
	oldest int64 // ms; 0: not known
}

func (k *checker) wals(ctx context.Context) []check.Result {
	if !k.known {
		return []check.Result{checkWALs.Unknown("", "the peers are not known")}
	}
	all := make(map[string]bool)
	var results []check.Result
	for _, p := range k.peers {
		h, err := k.heldBy(ctx, p.ID)
		if errors.Is(err, admin.ErrNoQueues) {
			return []check.Result{checkWALs.Unknown("", "HBase %s does not keep its queues in ZooKeeper", k.cluster.Status.Version)}
		}
		if err != nil {
			return append(results, checkWALs.Error("peer "+p.ID, err))
		}
		maps.Copy(all, h.wals)
		results = append(results, k.judgeHeld(p, h)...)
	}
	total := int64(len(all)) * k.conf.rollSize()
	if len(results) == 0 {
		results = append(results, checkWALs.Right("", "%d WALs wait for %d peers: at most about %s", len(all), len(k.peers), mib(total)))
	}
	return append(results, k.room(ctx, total)...)
}

func mib(n int64) string {
	if n >= 1<<33 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func (k *checker) heldBy(ctx context.Context, peer string) (h held, err error) {
	h.wals = make(map[string]bool)
	queues, err := k.cluster.Cluster.Queues(ctx, peer)
	if err != nil {
		return h, err
	}
	for _, q := range queues {
		names, err := k.cluster.Cluster.QueueWALs(ctx, q)
		if err != nil {
			return h, err
		}
		for _, name := range names {
			h.wals[name] = true
			if ms, ok := watermark.WALBegun(q, name); ok && (h.oldest == 0 || ms < h.oldest) {
				h.oldest = ms
			}
		}
	}
	return h, nil
}

// judgeHeld returns nothing when nothing is held for long.
func (k *checker) judgeHeld(p admin.Peer, h held) []check.Result {
	long := k.cfg.MaxWALHold
	if long <= 0 {
		long = defaultHold
	}
	if h.oldest == 0 || time.Since(time.UnixMilli(h.oldest)) <= long {
		return nil
	}
	remedy := fmt.Sprintf("Its target does not take what is shipped: mend it, or remove the peer in the hbase shell: remove_peer '%s'", p.ID)
	switch {
	case p.ID == k.cfg.PeerID && !p.Enabled:
		remedy = fmt.Sprintf("waltap peer enable %s, or waltap peer remove %s (a new full scan follows)", p.ID, p.ID)
	case p.ID == k.cfg.PeerID:
		remedy = "Run the connector, or waltap peer remove " + p.ID + " (a new full scan follows)"
	case !p.Enabled:
		remedy = fmt.Sprintf("In the hbase shell: enable_peer '%s', or remove_peer '%s'", p.ID, p.ID)
	}
	state := "enabled"
	if !p.Enabled {
		state = "disabled"
	}
	return []check.Result{checkWALs.Warn("peer "+p.ID, fmt.Sprintf("%s, and holds %d WALs (at most about %s), the oldest from %s",
		state, len(h.wals), mib(int64(len(h.wals))*k.conf.rollSize()), time.UnixMilli(h.oldest).UTC().Format(time.RFC3339)), remedy)}
}

func (k *checker) bulkLoads(context.Context) []check.Result {
	on, off := k.conf.split("hbase.replication.bulkload.enabled")
	switch unseen := len(k.cluster.Servers) - len(k.conf); {
	case len(on) > 0 && k.cfg.Root.Path != "":
		return []check.Result{checkBulkLoads.Right(strings.Join(on, ", "), "hbase.replication.bulkload.enabled is true, and the files of bulk loads are read (hbase.rootdir)")}
	case len(on) > 0:
		return []check.Result{checkBulkLoads.Warn(strings.Join(on, ", "), "hbase.replication.bulkload.enabled is true: a bulk load into a captured table stops the connector", "")}
	case unseen > 0:
		return []check.Result{checkBulkLoads.Unknown("", "%d of %d region servers do not show their configuration (no web interface): if hbase.replication.bulkload.enabled is false, what is bulk-loaded is not captured", unseen, len(k.cluster.Servers))}
	}
	return []check.Result{checkBulkLoads.Right(check.Names(off), "hbase.replication.bulkload.enabled is false: what is bulk-loaded is not captured, and nobody sees it")}
}

// rootDir looks at the source's files.
func (k *checker) rootDir(context.Context) []check.Result {
	if k.cfg.Root.Path == "" {
		return []check.Result{checkRootDir.Right("", "hbase.rootdir is not set: no files are read")}
	}
	f, err := hdfs.Open(k.cfg.Root, k.cfg.RootUser, k.Timeout)
	if err == nil {
		err = checkRoot(f, &k.cfg, k.cluster.Cluster.ID())
		f.Close() // nothing was written
	}
	if err != nil {
		return []check.Result{checkRootDir.Error(k.cfg.Root.String(), err)}
	}
	return []check.Result{checkRootDir.Right(k.cfg.Root.String(), "it is that of the source, and can be read")}
}
