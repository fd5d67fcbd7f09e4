package migrate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/internal/kafka"
)

// TestListerFollows: what is read again is what is there: first nothing, then waves with their gates, then those of another topic of that name.
func TestListerFollows(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kafka.Connect(t.Context(), kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	l := NewLister(client)
	t.Cleanup(func() { l.Close() })
	list := func(want ...string) {
		t.Helper()
		waves, err := l.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range waves {
			text := fmt.Sprintf("%s/%s %s %d", w.Migration, w.Wave, w.State.Phase, len(w.Processes))
			if w.Gate != nil {
				text += fmt.Sprint(" ", w.Gate.Fenced, w.Gate.Green, w.Gate.Conditions)
			}
			got = append(got, text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	list()
	open := func(name string) *session {
		t.Helper()
		st, err := checkpoint.Open(t.Context(), client, StateTopic)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		return &session{Migration: &Migration{Name: name}, store: &store{st, name}}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := open("b")
	must(b.store.save(t.Context(), "all", &State{Phase: PhaseStarted}))
	list("b/all started 0")
	w := &Wave{Name: "all"}
	must(b.keepGate(t.Context(), w, Gate{{CondScan, true, "of 1 table"}}, false))
	must(b.store.Put(t.Context(), "b", progressKey("all", "p"), Progress{At: 5}))
	a := open("a")
	must(a.store.save(t.Context(), "2", &State{Phase: PhaseFencing}))
	must(a.store.save(t.Context(), "1", &State{Phase: PhaseCutOver}))
	list("a/1 cut over 0", "a/2 fencing 0", "b/all started 1 false true [{scan complete true of 1 table}]")
	must(b.keepGate(t.Context(), w, Gate{{CondScan, false, "wait"}}, true))
	list("a/1 cut over 0", "a/2 fencing 0", "b/all started 1 true false [{scan complete false wait}]")
	must(b.store.forget(t.Context(), "all"))
	list("a/1 cut over 0", "a/2 fencing 0")
	must(client.DeleteTopics(t.Context(), StateTopic))
	c := open("c")
	must(c.store.save(t.Context(), "all", &State{Phase: PhaseStarted}))
	list("c/all started 0")
}

func TestAGateIsKeptOnlyWhenItChanges(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kafka.Connect(t.Context(), kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	st, err := checkpoint.Open(t.Context(), client, StateTopic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s := &session{Migration: &Migration{Name: "m"}, store: &store{st, "m"}}
	red, green := Gate{{CondSink, false, "wait"}}, Gate{{CondSink, true, "on all partitions"}}
	for i, tc := range []struct {
		gate    Gate
		fenced  bool
		records int64
	}{{red, false, 1}, {red, false, 1}, {red, true, 2}, {green, true, 3}, {green, true, 3}} {
		if err := s.keepGate(t.Context(), &Wave{Name: "all"}, tc.gate, tc.fenced); err != nil {
			t.Fatal(err)
		}
		ends, err := client.EndOffsets(t.Context(), StateTopic)
		if err != nil || ends[0] != tc.records {
			t.Errorf("%d: %v records, %v; want %d", i, ends, err, tc.records)
		}
	}
}

// TestFirstDifferencesAreBounded: however many there are, and however long; and they hold no values.
func TestFirstDifferencesAreBounded(t *testing.T) {
	var f firstDifferences
	for i := range 3 * mostFirst {
		f.add(verify.Difference{Table: "t", Kind: verify.Value, At: verify.AtSource, Text: fmt.Sprint(i, strings.Repeat("é", i*20)), SourceValue: []byte("secret")})
	}
	if len(f.list) != mostFirst {
		t.Errorf("%d are kept", len(f.list))
	}
	for i, d := range f.list {
		if len(d.Text) > maxDifference+len("…") || !strings.HasPrefix(d.Text, fmt.Sprint(i)) || strings.ContainsRune(d.Text, '\uFFFD') || strings.Contains(fmt.Sprint(d), "secret") {
			t.Errorf("%d: %+v", i, d)
		}
	}
}

func TestPassSaysWhatDiffers(t *testing.T) {
	r := &verify.Report{Counts: verify.Counts{GoodRows: 8, BadRows: 2, Differences: map[verify.Kind]int64{verify.Missing: 3}}, Tables: []verify.TableReport{
		{Table: "a", Target: "b", Counts: verify.Counts{GoodRows: 5, BadRows: 2}}, {Table: "c", Target: "c", Counts: verify.Counts{GoodRows: 3}}}}
	bad := passOf(r, false, []string{"a", "c"})
	if d := cmp.Diff([]PassTable{{"a", "b", 5, 2}, {"c", "c", 3, 0}}, bad.ByTable); d != "" || bad.Differences[verify.Missing] != 3 || bad.Bad != 2 {
		t.Errorf("%+v %s", bad, d)
	}
	mended := passOf(r, true, []string{"a", "c"}) // a repair has written what differed
	if d := cmp.Diff([]PassTable{{"a", "b", 7, 0}, {"c", "c", 3, 0}}, mended.ByTable); d != "" || mended.Differences != nil || mended.Bad != 0 || mended.Good != 10 {
		t.Errorf("%+v %s", mended, d)
	}
}
