//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/rest/resttest"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// recordedAnswers are those of Kafka Connect that the unit tests of connector/rest compare with. WALTAP_UPDATE=1 writes them anew.
const recordedAnswers = "../connector/rest/testdata/connect-4.3.1.json"

// TestRESTAnswersAsConnect replays one script of requests against a distributed worker of Kafka Connect and against waltap worker, and
// compares the answers by status code, fields, and the values that a client looks at.
func TestRESTAnswersAsConnect(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 4*time.Minute)
	table := testenv.Name(t)
	createTable(t, table, "f")
	write(t, table, judge.PutAt("row", "f", "q", 100, "v"))
	dir := filepath.Join(env.Dir, table+"_connect")
	c, err := servers.StartConnect(ctx, servers.ConnectOptions{Dir: dir, Bootstrap: env.Kafka.Bootstrap(), Distributed: table, HeapMB: 384, JVMFlags: servers.FastStart})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	w := startWorker(t, table, nil)
	sides := []resttest.Side{connectSide(t, c, dir, table), waltapSide(t, w, table)}
	answers := make([][]resttest.Answer, len(sides))
	errs := make([]error, len(sides))
	var both sync.WaitGroup
	for i, s := range sides {
		both.Go(func() { answers[i], errs[i] = resttest.Replay(ctx, s, resttest.Script) })
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%v\n%s", err, servers.LogTail(c.LogPath()))
	}
	for _, d := range resttest.Diff(resttest.Script, answers[0], answers[1]) {
		t.Error(d)
	}
	if !t.Failed() {
		t.Logf("%d requests answered alike", len(resttest.Script))
	}
	b, err := resttest.Write(resttest.Script, answers[0])
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte(dir), []byte("/dir"))
	if os.Getenv("WALTAP_UPDATE") != "" {
		if err := os.WriteFile(recordedAnswers, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkRecorded(t, answers[0])
}

// checkRecorded finds that Connect has answered as it did when the answers were recorded: each way.
func checkRecorded(t *testing.T, live []resttest.Answer) {
	t.Helper()
	b, err := os.ReadFile(recordedAnswers)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := resttest.Read(b, resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range slices.Concat(resttest.Diff(resttest.Script, recorded, live), resttest.Diff(resttest.Script, live, recorded)) {
		t.Error("Connect answers otherwise than recorded (WALTAP_UPDATE=1 records it anew): ", d)
	}
}

// startWorker runs waltap worker with internal topics of its own, and waits until it answers.
func startWorker(t *testing.T, group string, more keys) *testenv.Waltap {
	t.Helper()
	k := keys{"bootstrap.servers": env.Kafka.Bootstrap(), "group.id": group, "listeners": "http://127.0.0.1:${PORT}"}
	maps.Copy(k, more)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k)) {
		fmt.Fprintf(&text, "%s: %q\n", name, k[name])
	}
	w := env.StartWaltap(t, testenv.WaltapOptions{Config: text.String(), Args: []string{"worker", "-f", "${CONFIG}"}})
	if k["listeners"][:5] != "https" {
		if err := w.AwaitStatus(testenv.Context(t, time.Minute), "/health", 200); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func object(t *testing.T, k map[string]string) string {
	t.Helper()
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// connectSide is Connect with the connectors that read and write files.
func connectSide(t *testing.T, c *servers.Connect, dir, table string) resttest.Side {
	t.Helper()
	file := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(file, []byte("a\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := map[string]string{"connector.class": "FileStreamSource", "tasks.max": "1", "file": file, "topic": table + "-lines",
		"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"}
	sink := map[string]string{"connector.class": "FileStreamSink", "tasks.max": "1", "file": filepath.Join(dir, "out.txt"), "topics": table + "-lines"}
	return resttest.Side{URL: c.URL(), Vars: sideVars(t, source, sink, map[string]string{
		"number": `"batch.size":2000`, "topic": table + "-lines", "partition": fmt.Sprintf(`{"filename":%q}`, file), "offset": `{"position":2}`,
		"badPartition": `{"nothing":"x"}`, "badOffset": `{"position":"x"}`,
	})}
}

// waltapSide is waltap with its own.
func waltapSide(t *testing.T, w *testenv.Waltap, table string) resttest.Side {
	t.Helper()
	source := map[string]string{"connector.class": "HBaseSource", "tasks.max": "1", "hbase.zookeeper.quorum": env.Source.ZKQuorum(), "hbase.peer.listen": "127.0.0.1:0",
		"hbase.peer.advertised.host": "localhost", "topic.prefix": table, "table.include.list": table, "topic.creation.default.partitions": "1"}
	sink := map[string]string{"connector.class": "HBaseSink", "tasks.max": "1", "hbase.zookeeper.quorum": env.Destination.ZKQuorum(), "topics": table + ".default." + table,
		"consumer.group.id": table + "-copy"} // not that of Connect's connector of the same name
	return resttest.Side{URL: w.URL(), Vars: sideVars(t, source, sink, map[string]string{
		"number": `"snapshot.max.threads":2`, "topic": table + ".default." + table, "partition": fmt.Sprintf(`{"table":"default:%s"}`, table), "offset": `{"epoch":1}`,
		"badPartition": `{"nothing":"x"}`, "badOffset": `{"epoch":"x"}`,
	})}
}

func sideVars(t *testing.T, source, sink, more map[string]string) map[string]string {
	t.Helper()
	named := maps.Clone(source)
	named["name"] = "v"
	text := object(t, source)
	vars := map[string]string{"source": text, "source+name": object(t, named), "source+number": strings.TrimSuffix(text, "}") + "," + more["number"] + "}",
		"sink": object(t, sink), "sourceClass": source["connector.class"], "sinkClass": sink["connector.class"]}
	maps.Copy(vars, more)
	return vars
}
