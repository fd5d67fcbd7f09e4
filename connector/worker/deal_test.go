package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/waltap/waltap/internal/kafka"
)

func members(t testing.TB, claims ...claim) []kafka.BalanceMember {
	t.Helper()
	var out []kafka.BalanceMember
	for i, c := range claims {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, kafka.BalanceMember{ID: fmt.Sprint("m", i), Metadata: b})
	}
	return out
}

// check: every task has a worker that is there, nobody has more than the share, first tasks are spread.
func (a *assignment) check(t testing.TB, tasks map[string]int) {
	t.Helper()
	there, load, total := map[string]bool{}, map[string]int{}, 0
	for _, w := range a.workers() {
		there[w] = true
	}
	for name, n := range tasks {
		if len(a.Tasks[name]) != n || !there[a.Owners[name]] {
			t.Errorf("%s: tasks %v, owner %q, want %d tasks", name, a.Tasks[name], a.Owners[name], n)
		}
		for _, w := range a.Tasks[name] {
			if !there[w] {
				t.Errorf("%s: a task is on %q, which is not there", name, w)
			}
			load[w]++
			total++
		}
	}
	for w, n := range load {
		if most := ceil(total, len(there)) + ceil(len(tasks), len(there)); n > most {
			t.Errorf("%s has %d of %d tasks, %d workers", w, n, total, len(there))
		}
	}
}

// Workers come and go at random. A worker that stays loses a task only when it has more than its share.
func TestDealIsFairAndSticky(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	there := map[string]claim{"w0": {Worker: "w0"}}
	tasks := map[string]int{"a": 3, "b": 8, "c": 1, "d": 0}
	moved := 0
	for generation := int32(1); generation < 300; generation++ {
		name := fmt.Sprint("w", rnd.IntN(6))
		_, here := there[name]
		switch {
		case here && len(there) > 1:
			delete(there, name)
		case !here:
			there[name] = claim{Worker: name}
		}
		var claims []claim
		for _, c := range there {
			claims = append(claims, c)
		}
		a := deal(generation, "w0", members(t, claims...), tasks)
		a.check(t, tasks)
		for name, was := range there {
			now := a.owned(name)
			if here && len(was.Owns) > 0 { // one has gone: nobody loses anything
				for connector, list := range was.Owns {
					for _, task := range list {
						if a.Tasks[connector][task] != name {
							moved++
						}
					}
				}
			}
			there[name] = claim{Worker: name, Owns: now, Generation: generation}
		}
		if again := deal(generation, "w0", members(t, claims...), tasks); !maps.EqualFunc(a.Tasks, again.Tasks, func(x, y []string) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) {
			t.Fatal("the same claims are dealt out in two ways")
		}
	}
	if moved > 0 {
		t.Errorf("%d tasks were moved off workers that stayed while others left", moved)
	}
}

// Whatever members send, every task gets a worker that can read the assignment.
func FuzzDeal(f *testing.F) {
	f.Add([]byte(`{"worker":"a:1","owns":{"s":[0,1]},"generation":3}`), []byte(`{`))
	f.Add([]byte(`{"worker":"a:1","owns":{"s":[-1,99,0,0]}}`), []byte(`{"worker":"a:1","owns":{"s":[0]},"generation":9}`))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		tasks := map[string]int{"s": 3, "t": 1}
		a := deal(1, "z:1", []kafka.BalanceMember{{ID: "1", Metadata: x}, {ID: "2", Metadata: y}}, tasks)
		if len(a.Members) > 0 {
			a.check(t, tasks)
		}
	})
}

// Whatever is on the topics, reading them does not panic, and a connector that is there can be shown.
func FuzzTopics(f *testing.F) {
	f.Add("connector-s", []byte(`{"properties":{"tasks.max":"2"}}`), int64(0))
	f.Add("target-state-s", []byte(`{"state":"PAUSED"}`), int64(3))
	f.Add("removing-s", []byte(`{}`), int64(3))
	f.Add("status-task-s-0", []byte(`{"state":"RUNNING","worker_id":"a:1","generation":1}`), int64(3))
	f.Fuzz(func(t *testing.T, key string, value []byte, base int64) {
		c, s := newConfigs(), newStatuses()
		c.changed, c.command = func() {}, func(string, []byte) {}
		for i := range int64(3) {
			r := record{Key: key, Value: value, Offset: i, Base: base}
			c.apply(r)
			s.apply(r)
		}
		for name, e := range c.all() {
			e.info(name)
			s.ofConnector(name)
		}
		s.taskKeys("s")
	})
}
