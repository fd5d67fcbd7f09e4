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
	e, err := testenv.Start(context.Background(), testenv.Options{Kafka: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(e.Dir)
	select {}
}

func TestNoServerSurvivesItsKilledParent(t *testing.T) {
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
	if running := processesNaming(t, dir); len(running) != 3 { // HBase, Kafka, judge
		t.Fatalf("processes before the kill: %q, want 3", running)
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
