package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"version", []string{"version"}, exitOK, "waltap ", ""},
		{"help", []string{"--help"}, exitOK, "Change data capture", ""},
		{"no command", nil, exitUsage, "", "expected one of"},
		{"unknown command", []string{"rum"}, exitUsage, "", "rum"},
		{"no file given", []string{"run"}, exitUsage, "", "--file"},
		{"no such file", []string{"run", "-f", filepath.Join(dir, "none.yaml")}, exitUsage, "", "none.yaml"},
		{"unknown key", []string{"run", "-f", write("key.yaml", "bootstrap.servers: 127.0.0.1:1\nbootstrap.server: x\n")}, exitUsage, "", "bootstrap.server"},
		{"no connectors", []string{"run", "-f", write("none.yaml", "bootstrap.servers: 127.0.0.1:1\n")}, exitUsage, "", "connectors"},
		{"peer without quorum", []string{"peer", "list"}, exitUsage, "", "--quorum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := Main(tc.args, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("stdout %q\nstderr %q\nwant %q and %q in them", &stdout, &stderr, tc.stdout, tc.stderr)
			}
		})
	}
}
