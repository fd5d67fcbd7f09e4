//go:build e2e

package testenv_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

var env *testenv.Env

// helperVar makes the test binary a process that starts servers, says so and waits
// to be killed.
const helperVar = "WALTAP_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) != "" {
		os.Exit(helper())
	}
	os.Exit(testenv.Main(m, testenv.Options{Kafka: true, Destination: true}, &env))
}

func helper() int {
	ctx := context.Background()
	dir, err := servers.NewRunDir()
	if err == nil {
		err = servers.All(ctx, func(ctx context.Context) error {
			_, err := servers.StartKafka(ctx, servers.KafkaOptions{Dir: filepath.Join(dir, "kafka"), JVMFlags: servers.FastStart})
			return err
		}, func(ctx context.Context) error {
			_, err := judge.Start(ctx, judge.Options{Dir: filepath.Join(dir, "judge"), JVMFlags: servers.FastStart})
			return err
		})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(dir)
	select {}
}

// TestNoServerSurvivesItsKilledParent: a Kafka stands for the servers, which all are started in one way, as waltap is; the judge is started
// in its own.
func TestNoServerSurvivesItsKilledParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperVar+"=1", "WALTAP_E2E_DIR="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, dir) {
		t.Fatalf("servers did not start: %q, %v", line, err)
	}
	if running := processesNaming(t, dir); len(running) != 2 { // Kafka, judge
		t.Fatalf("processes before the kill: %q, want 2", running)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // reports the kill
	deadline := time.Now().Add(80 * time.Second)
	for len(processesNaming(t, dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("processes that survived: %q", processesNaming(t, dir))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processesNaming lists the processes, but this one, that have text among their
// arguments. A process that has ended has none.
func processesNaming(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, file)
		}
	}
	return found
}

func TestFailedStartShowsTheLog(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, time.Minute)
	dir := t.TempDir()
	_, err := servers.StartHBase(ctx, servers.HBaseOptions{Name: "broken", Dir: dir, JVMFlags: []string{"-XX:NoSuchFlag"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"start HBase broken: ", filepath.Join(dir, "server.log"), "NoSuchFlag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	_, err = servers.StartKafka(ctx, servers.KafkaOptions{Name: "broken", Dir: filepath.Join(dir, "kafka"), Extra: map[string]string{"node.id": "x"}})
	if err == nil || !strings.Contains(err.Error(), "Not a number") {
		t.Errorf("start Kafka with a bad configuration: %v", err)
	}
	if running := processesNaming(t, dir); len(running) != 0 {
		t.Errorf("processes left: %q", running)
	}
}
