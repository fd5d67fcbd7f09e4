package watermark

import (
	"fmt"
	"maps"
	"slices"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// sim is an HBase cluster with one peer, ours, as far as the watermark can notice it: region servers that crash, restart
// at their address and join; regions that move; write-ahead logs shipped batch after batch, the parts of a batch side
// by side, each of them lost, failed or sent again at will; queues taken over after a crash and shipped again from their
// last position, cut into other batches; answers that get lost; server lists that miss a queue that is just moving.
type sim struct {
	pick    func(n int) int // a choice
	t       *Tracker
	clock   int64
	hosts   int
	servers []*simServer
	regions []*simServer // who holds the data region; nil: nobody
	beatsOn map[string]*simServer
	puts    []*simPut
	calls   []*simCall
	inKafka map[*simEntry]bool
	writes  []*simEntry

	known   []admin.ServerName // live servers of the last list, which heartbeats go to
	snap    *Snapshot
	omitted bool
	w       int64

	// Negative controls: queues of servers that are gone are not looked at, or on one list only.
	noQueues, oneList bool
}

type simServer struct {
	name       admin.ServerName
	up         bool // the process
	registered bool // its znode
	wal        []*simEntry
	// the queue of wal
	pos     int
	shipper *simServer // nil: nobody; itself at first
	drained bool
	batch   *simBatch
	busy    bool // a heartbeat is under way
}

type simEntry struct {
	region string
	beat   *Beat
	acked  int64 // when its writer was told; 0: never
}

type simPut struct {
	to      *simServer // whom it was meant for
	beat    Beat
	givenUp bool
}

type simBatch struct {
	to    int
	parts []*simPart
}

type simPart struct {
	entries []*simEntry
	done    bool
}

type simCall struct {
	batch *simBatch
	part  *simPart
	begin uint64
}

func newSim(t *Tracker, pick func(n int) int) *sim {
	s := &sim{pick: pick, t: t, clock: 1000, beatsOn: map[string]*simServer{}, inKafka: map[*simEntry]bool{}}
	for range 2 {
		s.join()
	}
	for i := range 4 {
		s.regions = append(s.regions, s.servers[i%2])
	}
	for i := range 3 {
		s.beatsOn[fmt.Sprint("beat", i)] = s.servers[i%2]
	}
	return s
}

func (s *sim) join() {
	s.hosts++
	s.start(fmt.Sprint("h", s.hosts))
}

func (s *sim) start(host string) {
	v := &simServer{name: admin.ServerName{Host: host, Port: 1, StartCode: s.clock}, up: true, registered: true}
	v.shipper = v
	s.servers = append(s.servers, v)
}

func (s *sim) any(ok func(*simServer) bool) *simServer {
	var list []*simServer
	for _, v := range s.servers {
		if ok(v) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[s.pick(len(list))]
}

func up(v *simServer) bool { return v.up }

// at finds the process that listens at the server's address now.
func (s *sim) at(name admin.ServerName) *simServer {
	for _, v := range s.servers {
		if v.up && v.name.Addr() == name.Addr() {
			return v
		}
	}
	return nil
}

func (s *sim) write() {
	r := s.pick(len(s.regions))
	if v := s.regions[r]; v != nil && v.up {
		e := &simEntry{region: fmt.Sprint("data", r)}
		if s.pick(5) > 0 {
			e.acked = s.clock
		}
		v.wal = append(v.wal, e)
		s.writes = append(s.writes, e)
	}
}

// send makes a heartbeat for a server that the last list showed.
func (s *sim) send() {
	if len(s.known) > 0 {
		s.sendTo(s.known[s.pick(len(s.known))], s.pick(4) == 0)
	}
}

// sendTo sends to a region that the server holds, or, astray, to any: hbase:meta may be older or newer than the truth.
func (s *sim) sendTo(name admin.ServerName, astray bool) {
	to := s.any(func(v *simServer) bool { return v.name == name })
	if to.busy {
		return
	}
	var regions []string
	for _, region := range slices.Sorted(maps.Keys(s.beatsOn)) {
		if holder := s.at(name); astray || holder != nil && s.beatsOn[region] == holder {
			regions = append(regions, region)
		}
	}
	if len(regions) == 0 {
		return
	}
	to.busy = true
	region := regions[s.pick(len(regions))]
	n := s.t.Sent(name, region, s.clock)
	s.puts = append(s.puts, &simPut{to: to, beat: Beat{Server: name, Region: region, N: n, Sent: s.clock}})
}

// put lets a heartbeat reach whoever listens at the address. Its answer may be lost; or we give up waiting for it, and
// it is carried out later.
func (s *sim) put() {
	if len(s.puts) == 0 {
		return
	}
	i := s.pick(len(s.puts))
	p := s.puts[i]
	if !p.givenUp {
		p.to.busy = false
		if s.pick(8) == 0 {
			p.givenUp = true
			return
		}
	}
	s.puts = append(s.puts[:i:i], s.puts[i+1:]...)
	if v := s.at(p.to.name); v != nil && s.beatsOn[p.beat.Region] == v {
		v.wal = append(v.wal, &simEntry{region: p.beat.Region, beat: &p.beat})
		if !p.givenUp && s.pick(6) > 0 {
			s.t.Answered(p.to.name, p.beat.N)
		}
	}
}

// ship cuts the next batch of a queue.
func (s *sim) ship() {
	v := s.any(func(v *simServer) bool {
		return v.shipper != nil && v.shipper.up && v.batch == nil && v.pos < len(v.wal)
	})
	if v == nil {
		return
	}
	to := v.pos + 1 + s.pick(min(12, len(v.wal)-v.pos))
	n := 1 + s.pick(3)
	byPart := map[int]*simPart{}
	b := &simBatch{to: to}
	for _, e := range v.wal[v.pos:to] {
		hash := int(e.region[0]+e.region[4]) % n
		if byPart[hash] == nil {
			byPart[hash] = &simPart{}
			b.parts = append(b.parts, byPart[hash])
		}
		byPart[hash].entries = append(byPart[hash].entries, e)
	}
	v.batch = b
}

// deliver brings a part to waltap, also one that is being handled already (HBase gave up waiting).
func (s *sim) deliver() {
	v := s.any(func(v *simServer) bool { return v.batch != nil })
	if v == nil {
		return
	}
	p := v.batch.parts[s.pick(len(v.batch.parts))]
	if !p.done {
		s.calls = append(s.calls, &simCall{v.batch, p, s.t.Begin()})
	}
}

// settle ends a call: acknowledged by Kafka, with the answer lost or not, or failed.
func (s *sim) settle() {
	if len(s.calls) == 0 {
		return
	}
	i := s.pick(len(s.calls))
	c := s.calls[i]
	s.calls = append(s.calls[:i:i], s.calls[i+1:]...)
	if s.pick(5) == 0 {
		return
	}
	var beats []Beat
	for _, e := range c.part.entries {
		s.inKafka[e] = true
		if e.beat != nil {
			beats = append(beats, *e.beat)
		}
	}
	if len(beats) > 0 {
		s.t.Returned(c.begin, beats)
	}
	if s.pick(5) == 0 {
		return
	}
	c.part.done = true
	s.advanceQueues()
}

func (s *sim) advanceQueues() {
	for _, v := range s.servers {
		if v.batch == nil {
			continue
		}
		done := true
		for _, p := range v.batch.parts {
			done = done && p.done
		}
		if done {
			v.pos, v.batch = v.batch.to, nil
		}
		v.drained = v.drained || v.shipper != v && v.pos == len(v.wal)
	}
}

func (s *sim) snapshot() {
	snap := s.t.Snapshot()
	s.snap = &snap
}

// publish reads the server list and moves the watermark. The list may miss one queue, never twice in a row.
func (s *sim) publish() error {
	if s.snap == nil {
		return nil
	}
	var list Servers
	missed := false
	for _, v := range s.servers {
		switch {
		case v.registered:
			list.Live = append(list.Live, v.name)
		case !v.drained && !s.omitted && !missed && s.pick(4) == 0:
			missed = true
		case !v.drained:
			list.Waiting = append(list.Waiting, v.name)
		}
	}
	s.omitted = missed
	s.known = list.Live
	if s.noQueues {
		list.Waiting = nil
	}
	if s.oneList {
		s.t.last = map[admin.ServerName]bool{}
	}
	w, ok, _ := s.t.Advance(*s.snap, list)
	s.snap = nil
	if !ok || w <= s.w {
		return nil
	}
	s.w = w
	for i, e := range s.writes {
		if e.acked != 0 && e.acked < w && !s.inKafka[e] {
			return fmt.Errorf("watermark %d is false: write %d to region %s was acknowledged at %d and is not in Kafka", w, i, e.region, e.acked)
		}
	}
	return nil
}

// step does one thing.
func (s *sim) step() error {
	s.clock++
	common := []func(){s.write, s.write, s.send, s.send, s.put, s.put, s.ship, s.deliver, s.deliver, s.settle, s.settle, s.snapshot}
	rare := []func(){s.crash, s.expire, s.restart, s.claim, s.resource, s.move, s.join, s.claim}
	switch n := s.pick(20); {
	case n < 3:
		return s.publish()
	case n == 3:
		if len(s.servers) < 8 || s.pick(10) == 0 {
			rare[s.pick(len(rare))]()
		}
	default:
		common[s.pick(len(common))]()
	}
	return nil
}

// calm ends all faults and lets everything settle; the watermark must come to the present.
func (s *sim) calm() error {
	s.pick = func(n int) int { return n - 1 } // nothing is lost
	for range s.servers {
		s.expire()
		s.claim()
	}
	for i, v := range s.servers {
		if v.up {
			s.beatsOn[fmt.Sprint("beat", 3+i)] = v
		}
	}
	from := s.clock
	for range 40 {
		s.clock++
		for _, name := range s.known {
			s.sendTo(name, false)
		}
		for len(s.puts) > 0 {
			s.put()
		}
		for range s.servers {
			s.ship()
			s.deliverAll()
		}
		s.snapshot()
		if err := s.publish(); err != nil {
			return err
		}
	}
	if s.w < from {
		return fmt.Errorf("the watermark stands at %d, the cluster is calm since %d", s.w, from)
	}
	return nil
}

func (s *sim) deliverAll() {
	for _, v := range s.servers {
		if v.batch != nil {
			for _, p := range v.batch.parts {
				s.calls = append(s.calls, &simCall{v.batch, p, s.t.Begin()})
			}
		}
	}
	for len(s.calls) > 0 {
		s.settle()
	}
}
