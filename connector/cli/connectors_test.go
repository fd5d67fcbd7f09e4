package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/herder/herdertest"
	"github.com/waltap/waltap/connector/rest"
	"github.com/waltap/waltap/internal/secret"
)

// worker serves the REST API, with a token.
func worker(t *testing.T) (*herdertest.Memory, string) {
	t.Helper()
	p := &config.Process{REST: config.REST{MaxBody: 1 << 20, Admin: config.Credentials{Token: secret.New("t0ken-of-admin")}, Viewer: config.Credentials{UserInfo: secret.New("eve:pa55word")}}}
	loggers := herder.NewLoggers(slog.DiscardHandler, slog.LevelInfo)
	m := herdertest.New(p, loggers)
	h, err := rest.New(rest.Config{Herder: m, Process: p, Loggers: loggers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return m, s.URL
}

// said runs a command.
func said(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestConnectorsCommands(t *testing.T) {
	m, url := worker(t)
	t.Setenv("WALTAP_URL", url)
	t.Setenv("WALTAP_TOKEN", "t0ken-of-admin")
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const keys = "connector.class: HBaseSource\nhbase: {zookeeper: {quorum: zk}}\ntopic.prefix: p\ntable.include.list: [a, b]\n"
	yaml := write("a.yaml", "name: one\n"+keys)
	odd := write("odd.json", `{"name":"a/b %c","config":{"connector.class":"HBaseSink","hbase.zookeeper.quorum":"zk","topics":"t"}}`)
	props := write("c.properties", "name=three\nconnector.class=HBaseSink\nhbase.zookeeper.quorum=zk\ntopics=t\n")
	wrong := write("wrong.yaml", "name: x\n"+keys+"tasks.max: many\n")
	unnamed := write("unnamed.yaml", keys)
	token := write("token", "t0ken-of-admin\n")
	viewer := write("viewer", "eve:pa55word\n")
	for _, tc := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"connectors list", 0, "there are no connectors", ""},
		{"connectors create " + yaml, 0, "connector one created", ""},
		{"connectors create " + yaml, 1, "", "already exists; --replace replaces its configuration"},
		{"connectors create " + yaml + " --replace", 0, "connector one replaced", ""},
		{"connectors create " + odd + " --stopped", 0, "connector a/b %c created", ""},
		{"connectors create " + props, 0, "connector three created", ""},
		{"connectors create " + unnamed, 2, "", "the connector has no name"},
		{"connectors create " + unnamed + " --name four", 0, "connector four created", ""},
		{"connectors create " + wrong, 1, "", "tasks.max"},
		{"connectors create " + filepath.Join(dir, "none.yaml"), 2, "", "none.yaml"},
		{"connectors create " + write("process.yaml", "connectors: []\n"), 2, "", "is the file of a process"},
		{"connectors get one", 0, `"table.include.list": "a,b"`, ""},
		{"connectors get none", 1, "", "Connector none not found (waltap connectors list shows them)"},
		{"connectors validate " + yaml, 0, "the configuration is right", ""},
		{"connectors validate " + wrong, 2, "tasks.max: ", "1 keys are wrong"},
		{"connectors list", 0, "a/b %c  sink    STOPPED  0", ""},
		{"connectors list --json", 0, `"worker_id"`, ""},
		{"connectors status one", 0, "peer waltap_one", ""},
		{"connectors status one --json", 0, `"state": "RUNNING"`, ""},
		{"connectors pause one", 0, "is being paused", ""},
		{"connectors status one", 0, "PAUSED", ""},
		{"connectors resume one", 0, "is being resumed", ""},
		{"connectors stop one", 0, "is being stopped", ""},
		{"connectors restart one --include-tasks --only-failed", 0, "connector one is being restarted", ""},
		{"connectors restart three --task 0", 0, "task 0 of connector three is being restarted", ""},
		{"connectors restart three --task 9", 1, "", "Unknown task: three-9"},
		{"connectors restart three --task 0 --only-failed", 2, "", "leave out"},
		{"signal set-rate one --rows-per-second 5 --bytes-per-second 0", 0, "signal set-rate sent to connector one", ""},
		{"signal set-rate one", 2, "", "neither rows-per-second nor bytes-per-second"},
		{"signal execute-snapshot one --table default:a --table shop:.*", 0, "sent", ""},
		{"signal execute-snapshot one", 2, "", "--table"},
		{"signal pause-snapshot one", 0, "sent", ""},
		{"signal resume-snapshot one", 0, "sent", ""},
		{"signal stop-snapshot one", 0, "sent", ""},
		{"signal pause-snapshot three", 1, "", "is a sink"},
		{"connectors delete one -y", 0, "connector one deleted", ""},
		{"connectors delete one -y", 1, "", "not found"},
		{"connectors --token-file " + token + " list", 0, "three", ""},
		{"connectors --token-file " + filepath.Join(dir, "none") + " list", 2, "", "--token-file"},
		{"connectors --url http://u:p@x list", 2, "", "credentials go into WALTAP_TOKEN"},
		{"connectors --url https://" + strings.TrimPrefix(url, "http://") + " list", 1, "", "is --url its listener?"},
		{"connectors --ca-file " + yaml + " list", 2, "", "no certificate in PEM"},
		{"signal --signal-topic s pause-snapshot p", 2, "", "either --bootstrap-server or -f"},
	} {
		code, stdout, stderr := said(args(tc.args, dir)...)
		if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("waltap %s: exit code %d, want %d\nstdout %s\nstderr %s\nwant %q and %q in them", tc.args, code, tc.code, stdout, stderr, tc.stdout, tc.stderr)
		}
		if strings.Contains(stdout+stderr, "t0ken") || strings.Contains(stdout+stderr, "pa55word") {
			t.Errorf("waltap %s shows a secret: %s%s", tc.args, stdout, stderr)
		}
	}
	if code, _, stderr := said("connectors", "delete", "a/b %c", "-y"); code != 0 {
		t.Error(code, stderr)
	}
	var got []string
	for _, s := range m.Signals() {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	want := []string{`{"type":"set-rate","data":{"rows-per-second":5,"bytes-per-second":0}}`,
		`{"type":"execute-snapshot","data":{"type":"incremental","data-collections":["default:a","shop:.*"]}}`,
		`{"type":"pause-snapshot","data":{}}`, `{"type":"resume-snapshot","data":{}}`, `{"type":"stop-snapshot","data":{"type":"incremental","data-collections":[]}}`}
	if !slices.Equal(got, want) {
		t.Errorf("signals %v, want %v", got, want)
	}
	// Who may not, and who is not known.
	t.Setenv("WALTAP_TOKEN", "")
	for _, tc := range []struct{ args, want string }{
		{"connectors list", "set WALTAP_TOKEN or WALTAP_USER"},
		{"connectors --user-file " + viewer + " pause three", "may read only"},
		{"connectors --token-file " + viewer + " list", "does not know these credentials"},
	} {
		if code, _, stderr := said(strings.Fields(tc.args)...); code != 1 || !strings.Contains(stderr, tc.want) {
			t.Errorf("waltap %s: %d %s, want %q", tc.args, code, stderr, tc.want)
		}
	}
	if code, stdout, stderr := said("connectors", "--user-file", viewer, "list"); code != 0 || !strings.Contains(stdout, "three") {
		t.Error(code, stdout, stderr)
	}
}

// args splits a command line at blanks, but for those in the name of a file.
func args(line, dir string) []string {
	parts := strings.Fields(strings.ReplaceAll(line, dir, "\x00"))
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\x00", dir)
	}
	return parts
}

// TestEveryVerbHasAnExample: each command of connectors, signal and completion shows one, and the example parses.
func TestEveryVerbHasAnExample(t *testing.T) {
	for _, c := range []struct {
		command string
		verbs   []string
	}{
		{"connectors", []string{"create", "get", "list", "validate", "status", "pause", "resume", "stop", "restart", "delete"}},
		{"signal", []string{"execute-snapshot", "pause-snapshot", "resume-snapshot", "stop-snapshot", "set-rate"}},
	} {
		for _, verb := range c.verbs {
			code, stdout, _ := said(c.command, verb, "--help")
			_, example, found := strings.Cut(stdout, "Example:\n\n    waltap ")
			example, _, _ = strings.Cut(example, "\n")
			example, _, _ = strings.Cut(example, " > ")
			if code != 0 || !found || !strings.HasPrefix(example, c.command) || !strings.Contains(example, " "+verb) {
				t.Errorf("%s %s: no example in\n%s", c.command, verb, stdout)
				continue
			}
			t.Setenv("WALTAP_URL", "http://127.0.0.1:1")
			line := strings.Replace(example, "https://waltap-1:8083", "http://127.0.0.1:1", 1)
			if _, _, stderr := said(strings.Fields(line)...); strings.Contains(stderr, "waltap --help") {
				t.Errorf("the example %q does not parse: %s", example, stderr)
			}
		}
	}
}

func TestCompletion(t *testing.T) {
	m, url := worker(t)
	t.Setenv("WALTAP_URL", url)
	t.Setenv("WALTAP_TOKEN", "t0ken-of-admin")
	for _, name := range []string{"orders", "orders-copy", "shop"} {
		if _, err := m.Create(t.Context(), name, map[string]string{"name": name, "connector.class": "HBaseSink", "hbase.zookeeper.quorum": "zk", "topics": "t"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{[]string{"conn"}, "connectors\n"},
		{[]string{"connectors", "re"}, "restart\nresume\n"},
		{[]string{"connectors", "--url", url, "pau"}, "pause\n"},
		{[]string{"connectors", "restart", "--on"}, "--only-failed\n"},
		{[]string{"connectors", "pause", "or"}, "orders\norders-copy\n"},
		{[]string{"connectors", "--url", "http://127.0.0.1:1", "pause", "or"}, ""},
		{[]string{"signal", "s"}, "set-rate\nstop-snapshot\n"},
		{[]string{"signal", "set-rate", "sh"}, "shop\n"},
		{[]string{"completion", ""}, "bash\nfish\nzsh\n"},
		{[]string{"run", "x"}, ""},
	} {
		if _, got, _ := said(append([]string{completeCommand}, tc.words...)...); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.words, got, tc.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, _ := said("completion", shell)
		if code != 0 || !strings.Contains(script, completeCommand) {
			t.Errorf("%s: %d %s", shell, code, script)
		}
		if path, err := exec.LookPath(shell); err == nil {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s does not read its script: %v %s", shell, err, out)
			}
		}
	}
}

// TestBashCompletes runs the script in a real bash, with a waltap that shows what it is asked.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is needed: ", err)
	}
	dir := t.TempDir()
	fake := filepath.Join(dir, "waltap")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho \"$# $1 $2 [$3]\"\necho second\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, script, _ := said("completion", "bash")
	cmd := exec.Command(bash, "-c", script+"\nCOMP_WORDS=("+fake+" connectors ''); COMP_CWORD=2; _waltap; printf '%s\\n' \"${COMPREPLY[@]}\"")
	out, err := cmd.CombinedOutput()
	if want := "3 " + completeCommand + " connectors []\nsecond\n"; err != nil || string(out) != want {
		t.Errorf("%v %q, want %q", err, out, want)
	}
}
