package status

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// absentShown is for how long a peer that was removed is shown as absent.
const absentShown = 72 * time.Hour

// peers adds what is known of the sources' peers, and of what the sources keep for them.
func (t *table) peers() {
	gauge := func(name, help string, value func(p *PeerView, now time.Time) (float64, bool)) {
		t.add(OfPeer, prometheus.GaugeValue, "source_"+name, help, []string{"connector"}, func(v *ProcessView, emit emit) {
			now := time.Now()
			for i := range v.Peers {
				p := &v.Peers[i]
				if p.State == peerAbsent && now.Sub(p.Looked) > absentShown {
					continue
				}
				if x, known := value(p, now); known {
					emit(x, p.Connector)
				}
			}
		})
	}
	backlog := func(name, help string, value func(b *BacklogView, now time.Time) (float64, bool)) {
		gauge(name, help, func(p *PeerView, now time.Time) (float64, bool) {
			if p.Backlog == nil || p.State == peerAbsent {
				return 0, false
			}
			return value(p.Backlog, now)
		})
	}
	gauge("peer_present", "1 when the source has the connector's replication peer, 0 when it has not, or not any more.", func(p *PeerView, _ time.Time) (float64, bool) {
		return boolean(p.State != peerAbsent), p.State != peerUnknown
	})
	gauge("peer_absent_timestamp_seconds", "When the source has last answered that it has no such peer, or this process has removed it, seconds since 1970; 0 while the peer is there.", func(p *PeerView, _ time.Time) (float64, bool) {
		if p.State != peerAbsent {
			return 0, p.State != peerUnknown
		}
		return float64(p.Looked.UnixMilli()) / 1000, true
	})
	gauge("peer_enabled", "1 when the peer is enabled: HBase ships to it. 0: HBase keeps its WALs.", func(p *PeerView, _ time.Time) (float64, bool) {
		return boolean(p.State == peerEnabled), p.State != peerUnknown && p.State != peerAbsent
	})
	gauge("peer_held_seconds", "For how long nobody takes what the source keeps: while tables are scanned in exact order, while the connector is paused, stopped or failed, and while the peer is disabled; else 0.",
		func(p *PeerView, now time.Time) (float64, bool) {
			if p.HeldSince == nil {
				return 0, p.State != peerUnknown
			}
			return max(0, now.Sub(*p.HeldSince).Seconds()), true
		})
	gauge("wal_hold_limit_seconds", "snapshot.max.wal.hold: for how long a scan may hold WALs; left out where it is 0, no limit.", func(p *PeerView, _ time.Time) (float64, bool) {
		return float64(p.HoldLimit), p.HoldLimit > 0
	})
	gauge("peer_last_look_timestamp_seconds", "When the source has last answered what its peer is, seconds since 1970; left out when it has none.", func(p *PeerView, _ time.Time) (float64, bool) {
		return float64(p.Looked.UnixMilli()) / 1000, !p.Looked.IsZero() && p.State != peerAbsent
	})
	backlog("size_of_log_queue", "WALs in the peer's queues, those that are being written included (HBase: sizeOfLogQueue, of all region servers).", func(b *BacklogView, _ time.Time) (float64, bool) {
		return float64(b.LogQueue), b.Queued || b.Reported
	})
	backlog("wal_retained_bytes", "What these WALs hold at most: each as large as a WAL gets before it is rolled. HDFS needs the room as often as it replicates.", func(b *BacklogView, _ time.Time) (float64, bool) {
		return float64(b.RetainedBytes), b.Queued || b.Reported
	})
	backlog("wal_oldest_age_seconds", "Since when the oldest WAL was begun that is complete and not shipped to its end, by its server's clock; 0 when there is none.", func(b *BacklogView, now time.Time) (float64, bool) {
		return age(b.OldestWAL, now), b.Queued
	})
	backlog("other_peers_wal_oldest_age_seconds", "The same of all other peers of the source, whoever made them.", func(b *BacklogView, now time.Time) (float64, bool) {
		return age(b.OthersOldest, now), b.Queued
	})
	backlog("age_of_last_shipped_op_seconds", "The largest that a region server has reported (HBase: ageOfLastShippedOp).", func(b *BacklogView, _ time.Time) (float64, bool) {
		return float64(b.AgeOfLastMS) / 1000, b.Reported
	})
	backlog("replication_lag_seconds", "The largest that a region server has reported (HBase: replicationLag).", func(b *BacklogView, _ time.Time) (float64, bool) {
		return float64(b.LagMS) / 1000, b.Reported
	})
	backlog("last_shipped_op_timestamp_seconds", "Write time of the last edit shipped by the region server that is furthest behind, seconds since 1970 (HBase: timeStampOfLastShippedOp).", func(b *BacklogView, _ time.Time) (float64, bool) {
		return seconds(b.LastShipped)
	})
}

func age(begun *time.Time, now time.Time) float64 {
	if begun == nil {
		return 0
	}
	return max(0, now.Sub(*begun).Seconds())
}
