package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/source/capture"
)

func TestWorkersShareAndTakeOver(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.start("a:1"), w.start("b:1"), w.start("c:1")
	if _, err := a.Create(t.Context(), "s", sinkProps("6"), ""); err != nil {
		t.Fatal(err)
	}
	owners := w.awaitTasks("s", 6, herder.Running, a, b, c)
	if len(owners) != 3 || owners["a:1"] != 2 || owners["b:1"] != 2 {
		t.Errorf("6 tasks are shared out as %v", owners)
	}
	w.await("3 instances", func() bool { return w.runs("s") == 3 })
	b.end(w)
	w.await("the others to have b's tasks", func() bool { return w.awaitTasks("s", 6, herder.Running, a, c)["a:1"] == 3 })
	w.await("2 instances", func() bool { return w.runs("s") == 2 })
	d := w.start("d:1")
	w.await("d's share", func() bool { return w.awaitTasks("s", 6, herder.Running, a, c, d)["d:1"] == 2 })
	// What was created is there when all workers are new.
	a.end(w)
	c.end(w)
	d.end(w)
	if n := w.runs("s"); n != 0 {
		t.Errorf("%d instances run without a worker", n)
	}
	e := w.start("e:1")
	w.await("the only worker to have all", func() bool { return w.awaitTasks("s", 6, herder.Running, e)["e:1"] == 6 })
}

// A worker that is gone without a word is replaced when its session has ended; until then the status says that its tasks are where they were.
func TestAWorkerThatVanishesIsReplaced(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.start("a:1"), w.start("b:1"), w.start("c:1")
	if _, err := a.Create(t.Context(), "s", sinkProps("6"), ""); err != nil {
		t.Fatal(err)
	}
	w.await("all to have a share", func() bool { return len(w.awaitTasks("s", 6, herder.Running, a, b, c)) == 3 })
	b.vanish(w)
	w.await("the others to have b's tasks", func() bool {
		owners := w.awaitTasks("s", 6, herder.Running, a, c)
		return owners["a:1"] == 3 && owners["c:1"] == 3
	})
	w.await("one instance a worker", func() bool { return w.runs("s") == 2 })
}

// Of many that create the same connector at once, through different workers, one does.
func TestOneOfManyCreates(t *testing.T) {
	w := newWorld(t)
	all := []*testWorker{w.start("a:1"), w.start("b:1"), w.start("c:1")}
	var created, refused int
	var mu sync.Mutex
	var done sync.WaitGroup
	for i := range 30 {
		done.Go(func() {
			props := sinkProps("1")
			props["topics"] = fmt.Sprint("t", i)
			_, err := all[i%3].Create(t.Context(), "s", props, "")
			mu.Lock()
			defer mu.Unlock()
			switch herder.KindOf(err) {
			case 0:
				if err != nil {
					t.Error(err)
				}
				created++
			case herder.Conflict:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	done.Wait()
	if created != 1 || refused != 29 {
		t.Errorf("%d created it, %d were refused", created, refused)
	}
	// Concurrent patches of different keys are all there.
	keys := []string{"batch.max.records", "batch.max.bytes", "batch.linger.ms"}
	for i, key := range keys {
		done.Go(func() {
			value := "20000"
			if _, err := all[i].PatchConfig(t.Context(), "s", map[string]*string{key: &value}); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	for _, x := range all {
		w.await("the same configuration everywhere", func() bool {
			info, err := x.Connector(t.Context(), "s")
			return err == nil && info.Config[keys[0]] != "" && info.Config[keys[1]] != "" && info.Config[keys[2]] != ""
		})
	}
}

func TestFailedTasksAreRestarted(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a:1"), w.start("b:1")
	w.fail["s"] = errors.New("it broke")
	if _, err := a.Create(t.Context(), "s", sinkProps("1"), ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 1, herder.Failed, a, b)
	st, err := b.Status(t.Context(), "s")
	if err != nil || st.Tasks[0].Trace != "it broke" {
		t.Errorf("the failed task: %+v, %v", st, err)
	}
	if st, err = b.Restart(t.Context(), "s", herder.Restart{IncludeTasks: true, OnlyFailed: true}); err != nil || st.Tasks[0].State != herder.Restarting || st.Connector.State != herder.Running {
		t.Errorf("restart says %+v, %v", st, err)
	}
	w.awaitTasks("s", 1, herder.Running, a, b)
	if err := b.RestartTask(t.Context(), "s", 1); herder.KindOf(err) != herder.NotFound {
		t.Errorf("a task that is not there: %v", err)
	}
}

func TestPausedStoppedDeleted(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a:1"), w.start("b:1")
	if _, err := a.Create(t.Context(), "s", sourceProps("2"), ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 2, herder.Running, a, b)
	peer := func(state string, held bool) {
		t.Helper()
		w.await("the peer "+state, func() bool {
			st, err := b.Status(t.Context(), "s")
			shown := append(a.cfg.Status.View().Peers, b.cfg.Status.View().Peers...)
			return err == nil && st.Peer != nil && st.Peer.State == state && (st.Peer.HeldSince > 0) == held &&
				len(shown) == 1 && shown[0].State == state && (shown[0].HeldSince != nil) == held && shown[0].Backlog.RetainedBytes == 1<<27
		})
	}
	peer("enabled", false)
	if err := a.SetTarget(t.Context(), "s", herder.TargetPaused); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 2, herder.Paused, a, b)
	peer("disabled", true)
	w.await("no instance", func() bool { return w.runs("s") == 0 })
	if err := b.SetTarget(t.Context(), "s", herder.TargetStopped); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 0, herder.Stopped, a, b)
	w.await("the connector to be STOPPED", func() bool {
		st, err := a.Status(t.Context(), "s")
		return err == nil && st.Connector.State == herder.Stopped
	})
	peer("disabled", true)
	if err := b.SetTarget(t.Context(), "s", herder.TargetRunning); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 2, herder.Running, a, b)
	peer("enabled", false)
	made := func(names ...string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.snapshots = names
	}
	left := func() (peer capture.PeerState, snapshots []string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.peer, w.snapshots
	}
	made("waltap-1")
	if err := b.Delete(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	if peer, snapshots := left(); peer != capture.PeerAbsent || len(snapshots) > 0 {
		t.Errorf("of the deleted source are left: a peer that is %s, snapshots %q", peer, snapshots)
	}
	if n := w.runs("s"); n != 0 {
		t.Errorf("%d instances of the deleted source run", n)
	}
	w.await("all to forget it", func() bool {
		_, err := a.Connector(t.Context(), "s")
		return herder.KindOf(err) == herder.NotFound && len(a.statuses.ofConnector("s")) == 0
	})
	if _, err := a.Create(t.Context(), "s", sourceProps("1"), herder.TargetStopped); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 0, herder.Running, a, b)

	made("waltap-2")
	w.mu.Lock()
	w.peer = capture.PeerEnabled
	w.mu.Unlock()
	props := sourceProps("1")
	for k, v := range map[string]string{"hbase.peer.on.delete": "keep", "snapshot.reader": "hfiles", "hbase.rootdir": "/hbase"} {
		props[k] = v
	}
	if _, err := a.Create(t.Context(), "kept", props, ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("kept", 1, herder.Running, a, b)
	if err := b.Delete(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if peer, snapshots := left(); peer == capture.PeerAbsent || len(snapshots) > 0 {
		t.Errorf("of the deleted source whose peer is kept are left: a peer that is %s, snapshots %q", peer, snapshots)
	}
}

// A record whose writer had not seen the last one does not count, and the leader mends what compaction would keep of it.
func TestALateWriteDoesNotCount(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1")
	if _, err := a.Create(t.Context(), "s", sinkProps("1"), ""); err != nil {
		t.Fatal(err)
	}
	before, err := a.Connector(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	ok, err := a.config.append(t.Context(), keyConnector+"s", []byte(`{"properties":{"connector.class":"HBaseSource"}}`), 0)
	if ok || err != nil {
		t.Errorf("the late write counts: %t, %v", ok, err)
	}
	w.await("the leader to write it again", func() bool { keys, _ := a.configs.staleKeys(); return len(keys) == 0 })
	after, err := a.Connector(t.Context(), "s")
	if err != nil || after.Type != before.Type || fmt.Sprint(after.Config) != fmt.Sprint(before.Config) {
		t.Errorf("after the late write: %+v, %v", after, err)
	}
}

func TestAlone(t *testing.T) {
	w := newWorld(t)
	a := w.startWith("a:1", new(config.Process), true)
	if _, err := a.Create(t.Context(), "s", sinkProps("2"), ""); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 2, herder.Running, a)
	if err := a.Delete(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	w.await("no instance", func() bool { return w.runs("s") == 0 })
}

// TestTheEndShowsThatThePeerIsGone: who is told that a source has ended may end the process at once: its peer was looked at before.
func TestTheEndShowsThatThePeerIsGone(t *testing.T) {
	w := newWorld(t)
	w.end = make(chan struct{})
	type end struct {
		name string
		err  error
	}
	ends := make(chan end, 9)
	w.told = func(name string, err error) { ends <- end{name, err} }
	a := w.startWith("a:1", new(config.Process), true)
	if _, err := a.Create(t.Context(), "s", sourceProps("1"), ""); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		if all := a.cfg.Status.View().Peers; len(all) == 1 {
			return all[0].State
		}
		return ""
	}
	w.await("the peer to be shown", func() bool { return shown() == "enabled" })
	close(w.end)
	if e := <-ends; e != (end{"s", nil}) || shown() != "absent" {
		t.Errorf("told of %+v, and the peer is shown as %q", e, shown())
	}
	w.awaitTasks("s", 1, herder.Running, a) // looked at again, and not told again
	if len(ends) > 0 {
		t.Errorf("told again: %+v", <-ends)
	}
}

// TestResumedSourceThatFailsIsLookedAt: its peer stays disabled, and what it holds stays shown by whoever looks after it next.
func TestResumedSourceThatFailsIsLookedAt(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1")
	if _, err := a.Create(t.Context(), "s", sourceProps("1"), herder.TargetPaused); err != nil {
		t.Fatal(err)
	}
	held := func(x *testWorker) bool {
		all := x.cfg.Status.View().Peers
		return len(all) == 1 && all[0].State == "disabled" && all[0].HeldSince != nil && !all[0].Looked.IsZero()
	}
	w.await("the peer to be held", func() bool { return held(a) })
	w.mu.Lock()
	w.fail["s"] = errors.New("no route")
	w.mu.Unlock()
	if err := a.SetTarget(t.Context(), "s", herder.TargetRunning); err != nil {
		t.Fatal(err)
	}
	w.awaitTasks("s", 1, herder.Failed, a)
	w.mu.Lock()
	w.fail["s"] = errors.New("no route")
	w.mu.Unlock()
	a.end(w)
	b := w.start("b:1")
	w.await("the next worker to show it", func() bool { return held(b) })
	w.awaitTasks("s", 1, herder.Failed, b)
	if _, err := b.Restart(t.Context(), "s", herder.Restart{IncludeTasks: true}); err != nil {
		t.Fatal(err)
	}
	w.await("the peer to be enabled", func() bool {
		all := b.cfg.Status.View().Peers
		return len(all) == 1 && all[0].State == "enabled" && all[0].HeldSince == nil
	})
}

// A scan that a signal asks for is kept on the offsets topic of the source, where it is found after a restart; wrong ones are refused.
func TestScansThatSignalsAskForAreKept(t *testing.T) {
	w := newWorld(t)
	a := w.start("a:1")
	props := sourceProps("1")
	if _, err := a.Create(t.Context(), "s", props, herder.TargetStopped); err != nil {
		t.Fatal(err)
	}
	send := func(kind, data string) error {
		return a.Signal(t.Context(), "s", herder.Signal{ID: "x", Type: kind, Data: []byte(data)})
	}
	scan := `{"type":"blocking","data-collections":["default:t"],"additional-conditions":[{"data-collection":"default:t","filter":"row LIKE 'a%'"}]}`
	if err := send(herder.ExecuteSnapshot, scan); herder.KindOf(err) != herder.Conflict {
		t.Errorf("of a source that has never run: %v", err)
	}
	store, err := checkpoint.Open(t.Context(), a.client, "__waltap-offsets.p")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := send(herder.ExecuteSnapshot, scan); err != nil {
		t.Fatal(err)
	}
	if err := send(herder.StopSnapshot, ""); err != nil {
		t.Fatal(err)
	}
	if err := store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	var kept []capture.Asked
	if err := store.Each("s", func(_ map[string]string, offset json.RawMessage) error {
		var x capture.Asked
		err := json.Unmarshal(offset, &x)
		kept = append(kept, x)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 || !kept[0].Held || kept[0].Signal != "x" || kept[0].Tables[0] != "default:t" || string(kept[0].Rows[0].Start) != "a" || string(kept[0].Rows[0].Stop) != "b" || !kept[1].Stop {
		t.Errorf("kept: %+v", kept)
	}
	props["snapshot.mode"] = "initial_only"
	if _, _, err := a.PutConfig(t.Context(), "s", props); err != nil {
		t.Fatal(err)
	}
	if err := send(herder.ExecuteSnapshot, scan); herder.KindOf(err) != herder.BadRequest {
		t.Errorf("of a source that only scans: %v", err)
	}
	props["snapshot.mode"], props["hbase.peer.create"] = "no_data", "false"
	if _, _, err := a.PutConfig(t.Context(), "s", props); err != nil {
		t.Fatal(err)
	}
	if err := send(herder.ExecuteSnapshot, scan); herder.KindOf(err) != herder.BadRequest {
		t.Errorf("blocking, of a source whose peer is the operator's: %v", err)
	}
}
