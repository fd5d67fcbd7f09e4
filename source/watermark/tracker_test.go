package watermark

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/waltap/waltap/internal/hbase/admin"
)

func TestWatermarkIsNeverFalse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		steps := rapid.IntRange(10, 3000).Draw(t, "steps")
		if err := run(NewTracker(), seed, steps); err != nil {
			t.Fatal(err)
		}
	})
}

func run(tr *Tracker, seed uint64, steps int, controls ...func(*sim)) error {
	s := newSim(tr, rand.New(rand.NewPCG(seed, 1)).IntN)
	for _, control := range controls {
		control(s)
	}
	for range steps {
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.calm()
}

// TestSimulationFindsWhatIsLeftOut shows that the simulation finds a watermark without proof, or of too few servers.
func TestSimulationFindsWhatIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		leaveOut    func(*sim)
		seeds, want int
	}{
		"the proof":                {func(s *sim) { s.t.unproved = true }, 20, 10},
		"queues of dead servers":   {func(s *sim) { s.noQueues = true }, 400, 5},
		"the list before the last": {func(s *sim) { s.oneList = true }, 400, 2},
	} {
		found := 0
		for seed := range uint64(c.seeds) {
			if err := run(NewTracker(), seed, 2000, c.leaveOut); err != nil && strings.Contains(err.Error(), "is false") {
				found++
			}
		}
		t.Logf("%s left out: %d of %d", name, found, c.seeds)
		if found < c.want {
			t.Errorf("%s left out: only %d of %d runs had a false watermark", name, found, c.seeds)
		}
	}
}

var (
	a1 = admin.ServerName{Host: "a", Port: 1, StartCode: 1}
	a2 = admin.ServerName{Host: "a", Port: 1, StartCode: 2} // a1 started anew
	b1 = admin.ServerName{Host: "b", Port: 1, StartCode: 1}
)

// script tells a Tracker what happens.
type script struct {
	t *testing.T
	*Tracker
}

// beat sends a heartbeat to region "r", which is answered.
func (s *script) beat(v admin.ServerName, at int64) Beat { return s.beatOn(v, "r", at) }

func (s *script) beatOn(v admin.ServerName, region string, at int64) Beat {
	b := Beat{Server: v, Region: region, N: s.Sent(v, region, at), Sent: at}
	s.Answered(v, b.N)
	return b
}

// back lets heartbeats come back in one call, which is acknowledged at once.
func (s *script) back(beats ...Beat) { s.Returned(s.Begin(), beats) }

func (s *script) list(live ...admin.ServerName) (int64, bool) {
	w, ok, _ := s.Advance(s.Snapshot(), Servers{Live: live})
	return w, ok
}

func (s *script) want(want int64, live ...admin.ServerName) {
	s.t.Helper()
	s.list(live...)
	if w, ok := s.list(live...); w != want || ok != (want != 0) {
		s.t.Errorf("watermark %d, %v; want %d", w, ok, want)
	}
}

func TestRules(t *testing.T) {
	for name, play := range map[string]func(s *script){
		"proved": func(s *script) {
			b := s.beat(a1, 10)
			s.back(b)
			s.want(0, a1)
			s.back(s.beat(a1, 11))
			s.want(10, a1)
		},
		"rule 1: no answer": func(s *script) {
			b := Beat{Server: a1, Region: "r", N: s.Sent(a1, "r", 10)}
			s.back(b)
			s.back(s.beat(a1, 11))
			s.want(0, a1)
			s.Answered(a1, b.N) // late, but it counts
			s.want(10, a1)
		},
		"rule 1: its successor at the address answered": func(s *script) {
			s.back(s.beat(a1, 10))
			s.back(s.beat(a1, 11))
			s.want(0, a1, a2)
		},
		"rule 2: not back yet": func(s *script) {
			s.beat(a1, 10)
			s.back(s.beat(a1, 11))
			s.want(0, a1)
		},
		"rule 3: both in one call": func(s *script) {
			s.back(s.beat(a1, 10), s.beat(a1, 11))
			s.want(0, a1)
			s.back(s.beat(a1, 12))
			s.want(11, a1)
		},
		"rule 3: two calls side by side": func(s *script) {
			x, y := s.beat(a1, 10), s.beat(a1, 11)
			first, second := s.Begin(), s.Begin()
			s.Returned(second, []Beat{y})
			s.Returned(first, []Beat{x})
			s.want(0, a1)
			s.back(s.beat(a1, 12))
			s.want(11, a1)
		},
		"rule 3: a part of another region of the same batch": func(s *script) {
			s.back(s.beatOn(a1, "r", 10))
			s.back(s.beatOn(a1, "other", 11))
			s.want(0, a1)
			s.back(s.beatOn(a1, "r", 12))
			s.want(10, a1)
		},
		"rule 3: shipped again in a larger batch": func(s *script) {
			x := s.beat(a1, 10)
			s.back(x)
			s.back(x, s.beat(a1, 11))
			s.want(0, a1)
		},
		"rule 3: the later one is not answered": func(s *script) {
			s.back(s.beat(a1, 10))
			s.back(Beat{Server: a1, Region: "r", N: s.Sent(a1, "r", 11)})
			s.want(0, a1)
		},
		"replays and duplicates": func(s *script) {
			x, y, z := s.beat(a1, 10), s.beat(a1, 11), s.beat(a1, 12)
			for range 3 {
				s.back(x, x)
				s.back(y)
			}
			s.want(10, a1)
			s.back(x)
			s.back(z)
			s.want(11, a1)
			s.back(x, y)
			s.want(11, a1)
		},
		"minimum over servers": func(s *script) {
			for at := range int64(3) {
				s.back(s.beat(a1, 10+at))
				s.back(s.beat(b1, 20+at))
			}
			s.want(11, a1, b1)
		},
		"a server not seen before freezes": func(s *script) {
			s.back(s.beat(a1, 10))
			s.back(s.beat(a1, 11))
			s.want(0, a1, b1)
			s.back(s.beat(b1, 12))
			s.back(s.beat(b1, 13))
			s.want(10, a1, b1)
		},
		"heartbeats of another run": func(s *script) {
			s.back(Beat{Server: a1, Region: "r", N: 1, Sent: 5})
			s.back(Beat{Server: b1, Region: "r", N: 7, Sent: 6})
			s.want(0, a1)
		},
		"no servers": func(s *script) { s.want(0) },
	} {
		t.Run(name, func(t *testing.T) { play(&script{t: t, Tracker: NewTracker()}) })
	}
}

// TestVanishedServer: it counts while a queue of it is left, and one list longer.
func TestVanishedServer(t *testing.T) {
	s := &script{t: t, Tracker: NewTracker()}
	for at := range int64(3) {
		s.back(s.beat(a1, 10+at))
		s.back(s.beat(b1, 20+at))
		s.list(a1, b1)
	}
	step := func(want int64, list Servers) {
		t.Helper()
		if w, ok, waits := s.Advance(s.Snapshot(), list); w != want || ok != (want > 0) {
			t.Errorf("watermark %d, %s; want %d", w, waits, want)
		}
	}
	onlyB := []admin.ServerName{b1}
	step(11, Servers{Live: onlyB, Waiting: []admin.ServerName{a1}})
	step(11, Servers{Live: onlyB}) // its queue may be on its way to another server
	step(11, Servers{Live: onlyB, Waiting: []admin.ServerName{a1}})
	step(11, Servers{Live: onlyB})
	step(21, Servers{Live: onlyB})
	// One that was never seen alive, as after a restart of waltap.
	step(0, Servers{Live: onlyB, Waiting: []admin.ServerName{a2}})
	step(0, Servers{Live: onlyB})
	step(21, Servers{Live: onlyB})
}

// TestFirstList: one list alone may miss a queue.
func TestFirstList(t *testing.T) {
	s := &script{t: t, Tracker: NewTracker()}
	x, y := s.beat(a1, 10), s.beat(a1, 11)
	s.back(x)
	s.back(y)
	for i, want := range []bool{false, true, true} {
		if _, ok := s.list(a1); ok != want {
			t.Errorf("list %d: %v", i, ok)
		}
	}
}

// TestForgets: what is proved and what vanished takes no memory.
func TestForgets(t *testing.T) {
	s := &script{t: t, Tracker: NewTracker()}
	for at := range int64(1000) {
		s.back(s.beat(a1, at+1))
		s.list(a1)
	}
	if v := s.servers[a1]; len(v.beats) > 3 || len(v.calls) > 3 {
		t.Errorf("%d heartbeats and %d calls are kept", len(v.beats), len(v.calls))
	}
	s.list(b1)
	s.list(b1)
	if s.servers[a1] != nil {
		t.Error("a server without a queue is kept")
	}
}

// TestLongSilence: a peer that is disabled for long costs little memory, and nothing of what comes back afterwards.
func TestLongSilence(t *testing.T) {
	s := &script{t: t, Tracker: NewTracker()}
	var all []Beat
	for at := range int64(5 * maxBeats) {
		all = append(all, s.beat(a1, at+1))
	}
	if n := len(s.servers[a1].beats); n > maxBeats {
		t.Errorf("%d heartbeats are kept", n)
	}
	s.list(a1)
	for _, b := range all[:100] {
		s.back(b)
	}
	w, ok := s.list(a1)
	if !ok || w > 99 || w < 60 {
		t.Errorf("after 100 of them came back: %d, %v", w, ok)
	}
	for _, b := range all[100:] {
		s.back(b)
	}
	s.back(s.beat(a1, 1_000_000))
	s.want(all[len(all)-1].Sent, a1)
}

func TestParseBeat(t *testing.T) {
	b := Beat{Run: "r1", Server: admin.ServerName{Host: "host-1.x", Port: 16020, StartCode: 7}, Region: "abc", N: 5, Sent: 99}
	if got, ok := ParseBeat(b.String()); !ok || got != b {
		t.Errorf("%q: %+v, %v", b.String(), got, ok)
	}
	for _, bad := range []string{"", "x", "a,1,1 r x 1", "a,1,1 r x y 1", "a,1,1 r x 1 y", "a r x 1 1", "a,1,1 r x 1 1 1"} {
		if got, ok := ParseBeat(bad); ok {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
