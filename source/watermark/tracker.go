package watermark

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Tracker decides what is proved. It knows no clock and no network: it is told what happened, in the order it happened.
//
// A heartbeat goes through: sent (Sent), answered by the server (Answered), seen by a later server list in which that
// incarnation still holds its address (Advance), come back in calls that Kafka has acknowledged (Returned). The send
// time of heartbeat A counts as proved for its server when
//
//   - the server answered A with success, and was still the one at its address afterwards (rule 1). The second half:
//     a server that was restarted at the same address would answer in the place of its predecessor;
//   - A came back in an acknowledged call (rule 2);
//   - a later heartbeat B of the same server and region, good by rule 1, came back in a call that began after A's call
//     was acknowledged and that holds no heartbeat up to A (rule 3). HBase ships batch after batch; parts of one batch,
//     cut by region, run side by side. B's call without A is of a later batch, so A's batch is complete. Were A in it as
//     well, it could be a batch that is shipped again (a queue that another server took over), of which other parts are
//     still on their way.
//
// Heartbeats of one server are sent one after the other, so their numbers rise along its WAL.
type Tracker struct {
	unproved bool // see unproved.go

	mu      sync.Mutex
	tick    uint64 // counts what happened: the order of calls and lists
	servers map[admin.ServerName]*server
	last    map[admin.ServerName]bool // the servers of the list before; nil: there was none
}

type server struct {
	proven  int64  // send time; 0: none yet
	provenN uint64 // its number
	next    uint64
	beats   []*sent // those behind provenN, by number
	stride  uint64  // of thin; 0: all heartbeats are there
	calls   []call
}

type sent struct {
	n         uint64
	at        int64
	region    string
	answered  uint64 // tick; 0: not, or not with success
	confirmed bool
	returned  uint64 // tick of the first acknowledgement of a call that held it; 0: none yet
}

func (s *sent) good() bool { return s.answered != 0 && s.confirmed }

// call is an acknowledged call, as far as it concerns one region of one server.
type call struct {
	begin  uint64
	region string
	beats  []uint64 // sorted
}

// NewTracker returns a Tracker.
func NewTracker() *Tracker {
	return &Tracker{unproved: unproved, servers: make(map[admin.ServerName]*server)}
}

// Sent tells that a heartbeat goes to a region of s now, at ms by our clock; it returns its number. The one before it
// to s must have been answered or given up.
func (t *Tracker) Sent(s admin.ServerName, region string, at int64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.servers[s]
	if v == nil {
		v = &server{}
		t.servers[s] = v
	}
	if len(v.beats) >= maxBeats {
		v.thin()
	}
	v.next++
	v.beats = append(v.beats, &sent{n: v.next, at: at, region: region})
	return v.next
}

// maxBeats bounds the heartbeats that are remembered per server: none comes back while the peer is disabled.
const maxBeats = 4096

// thin forgets heartbeats evenly over the time. One that is forgotten proves nothing when it comes back; those beside it do.
func (v *server) thin() {
	for v.stride = max(2, v.stride); ; v.stride *= 2 {
		v.beats = slices.DeleteFunc(v.beats, func(b *sent) bool { return b.n%v.stride != 0 })
		if len(v.beats) <= maxBeats*3/4 {
			return
		}
	}
}

// Answered tells that s itself answered its heartbeat n with success.
func (t *Tracker) Answered(s admin.ServerName, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	v := t.servers[s]
	if b := v.beat(n); b != nil {
		b.answered = t.tick
		if t.unproved {
			v.proven = max(v.proven, b.at)
		}
	}
}

// Begin tells that a replication call has begun, and returns its place in the order of things.
func (t *Tracker) Begin() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	return t.tick
}

// Returned tells that Kafka has acknowledged all of the call that began at begin, and what heartbeats it held. HBase has
// not been answered yet.
func (t *Tracker) Returned(begin uint64, beats []Beat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	type part struct {
		server admin.ServerName
		region string
	}
	numbers := make(map[part][]uint64)
	for _, b := range beats {
		p := part{b.Server, b.Region}
		numbers[p] = append(numbers[p], b.N)
		if s := t.servers[b.Server].beat(b.N); s != nil && s.returned == 0 {
			s.returned = t.tick
		}
	}
	for p, ns := range numbers {
		v := t.servers[p.server]
		if v == nil {
			continue
		}
		slices.Sort(ns)
		v.calls = append(v.calls, call{begin: begin, region: p.region, beats: ns})
		v.prove()
	}
}

// beat finds heartbeat n if it is not below what is proved.
func (v *server) beat(n uint64) *sent {
	if v == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(v.beats, n, func(s *sent, n uint64) int {
		switch {
		case s.n < n:
			return -1
		case s.n > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return v.beats[i]
}

// prove applies the rules, and forgets what can prove nothing more.
func (v *server) prove() {
	for _, c := range v.calls {
		if !slices.ContainsFunc(c.beats, func(n uint64) bool { b := v.beat(n); return b != nil && b.good() }) {
			continue
		}
		for _, b := range v.beats {
			if b.n >= c.beats[0] {
				break
			}
			if b.good() && b.region == c.region && b.returned != 0 && b.returned < c.begin {
				v.proven, v.provenN = max(v.proven, b.at), max(v.provenN, b.n)
			}
		}
	}
	v.beats = slices.DeleteFunc(v.beats, func(b *sent) bool { return b.n <= v.provenN })
	if len(v.beats) < maxBeats/4 {
		v.stride = 0
	}
	v.calls = slices.DeleteFunc(v.calls, func(c call) bool { return c.beats[len(c.beats)-1] <= v.provenN })
}

// Servers is a list of the source's servers, read after the Snapshot it is used with.
type Servers struct {
	Live    []admin.ServerName
	Waiting []admin.ServerName // others, of which a queue of our peer is left
}

// Snapshot is what was proved at a moment.
type Snapshot struct {
	tick   uint64
	proven map[admin.ServerName]int64
}

// Snapshot returns what is proved now.
func (t *Tracker) Snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	s := Snapshot{tick: t.tick, proven: make(map[admin.ServerName]int64, len(t.servers))}
	for name, v := range t.servers {
		s.proven[name] = v.proven
	}
	return s
}

// Advance returns the watermark by a server list that was read after s was taken: whatever began to acknowledge writes
// before the watermark is on that list, or has nothing left to ship. ok is false while a server has proved nothing
// yet. waits names that server, or else the one that holds the watermark where it is.
//
// A server counts until it is missing on two lists in a row: ZooKeeper gives no snapshot, and a queue that is taken over
// while the list is read may show neither with its old owner nor with its new one.
func (t *Tracker) Advance(s Snapshot, list Servers) (w int64, ok bool, waits string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := make(map[admin.ServerName]bool)
	for _, name := range list.Live {
		now[name] = true
	}
	t.confirm(s.tick, list.Live)
	for _, name := range list.Waiting {
		now[name] = true
	}
	before := t.last
	t.last = now
	if before == nil {
		return 0, false, "the second list of servers"
	}
	count := maps.Clone(now)
	maps.Copy(count, before)
	maps.DeleteFunc(t.servers, func(name admin.ServerName, _ *server) bool { return !count[name] })
	return minimum(s, count, list.Live)
}

func minimum(s Snapshot, count map[admin.ServerName]bool, live []admin.ServerName) (w int64, ok bool, waits string) {
	if len(count) == 0 {
		return 0, false, "a region server"
	}
	var holder admin.ServerName
	for name := range count {
		p := s.proven[name]
		if holder.IsZero() || p < w || p == w && name.String() < holder.String() {
			holder, w = name, p
		}
	}
	switch {
	case !slices.Contains(live, holder):
		waits = fmt.Sprintf("the queue of %s, which is gone, to be shipped", holder)
	case w == 0:
		waits = fmt.Sprintf("the first heartbeat of %s", holder)
	default:
		waits = fmt.Sprintf("a heartbeat of %s to come back", holder)
	}
	return w, w != 0, waits
}

// confirm completes rule 1 for the heartbeats answered before tick: the list, read later, shows who holds the address.
func (t *Tracker) confirm(tick uint64, live []admin.ServerName) {
	newest := make(map[string]admin.ServerName, len(live))
	for _, name := range live {
		if name.StartCode >= newest[name.Addr()].StartCode {
			newest[name.Addr()] = name
		}
	}
	for name, v := range t.servers {
		if newest[name.Addr()] != name {
			continue
		}
		changed := false
		for _, b := range v.beats {
			if b.answered != 0 && b.answered < tick && !b.confirmed {
				b.confirmed, changed = true, true
			}
		}
		if changed {
			v.prove()
		}
	}
}
