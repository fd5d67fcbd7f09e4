package status

import (
	"maps"
	"slices"
	"time"
)

// PeerView is what the process that looks after a source has last seen of its replication peer, and of what the source keeps for it.
type PeerView struct {
	Connector string `json:"connector"`
	ID        string `json:"id"`
	State     string `json:"state"` // enabled, disabled, absent, or unknown: never seen yet
	// HeldSince is since when nobody takes what the source keeps; nil: somebody does.
	HeldSince *time.Time `json:"heldSince,omitempty"`
	// HoldLimit is snapshot.max.wal.hold, seconds; 0: there is none.
	HoldLimit int64 `json:"holdLimitSeconds,omitempty"`
	// Looked is when the source has answered last; the zero time: never.
	Looked time.Time `json:"looked"`
	// Error is why it did not answer since.
	Error   string       `json:"error,omitempty"`
	Backlog *BacklogView `json:"backlog,omitempty"` // nil: not known
}

// BacklogView is what the source keeps and what its servers report. Times are those of the servers' clocks.
type BacklogView struct {
	LogQueue      int        `json:"logQueue"`               // WALs in the queues, with those that are being written
	RetainedBytes int64      `json:"retainedBytes"`          // at most so much: each as large as a WAL gets
	OldestWAL     *time.Time `json:"oldestWAL,omitempty"`    // when the oldest was begun that is complete and not shipped to its end; nil: there is none
	OthersOldest  *time.Time `json:"othersOldest,omitempty"` // of the queues of all other peers of the source
	LastShipped   *time.Time `json:"lastShipped,omitempty"`  // write time of the last edit shipped, of the server that is furthest behind; nil: nothing was
	AgeOfLastMS   int64      `json:"ageOfLastShippedOpMs"`   // the largest of the servers
	LagMS         int64      `json:"replicationLagMs"`       // the largest of the servers
	Queued        bool       `json:"queuesKnown"`            // false: the source keeps its queues elsewhere than in ZooKeeper
	Reported      bool       `json:"serversReported"`        // false: no region server has reported anything of the peer
}

// The states of a peer that the metrics tell apart.
const (
	peerEnabled = "enabled"
	peerAbsent  = "absent"
	peerUnknown = "unknown"
)

// TasksView counts the tasks of a connector, of the whole group, by state in Kafka Connect's words.
type TasksView struct {
	Connector string         `json:"connector"`
	States    map[string]int `json:"states"`
}

func sortedOf[V any](m map[string]V) []V {
	var out []V
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[name])
	}
	return out
}

// SetPeer shows what was seen of a source's peer.
func (p *Process) SetPeer(v PeerView) { put(p, &p.peers, v.Connector, v) }

// SetTasks shows how the tasks of a connector are.
func (p *Process) SetTasks(v TasksView) { put(p, &p.tasks, v.Connector, v) }

// put keeps v in a map of p, which is made for the first.
func put[V any](p *Process, m *map[string]V, connector string, v V) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[connector] = v
}

// Forget shows the peer and the tasks of a connector no more: another process looks after it, or it is deleted. A peer that was
// removed stays shown as absent, for three days in the metrics.
func (p *Process) Forget(connector string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.peers[connector].State != peerAbsent {
		delete(p.peers, connector)
	}
	delete(p.tasks, connector)
}
