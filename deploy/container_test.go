package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/waltap/waltap/connector/config"
)

// TestContainerfile: what the last stage is, as no builder is at hand here; that the context without what .dockerignore leaves out is enough.
func TestContainerfile(t *testing.T) {
	b, err := os.ReadFile("container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(b), "\nFROM ")
	last := stages[len(stages)-1]
	for _, want := range []string{"scratch\n", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/waltap\"]\n", "/etc/ssl/certs/ca-certificates.crt", `org.opencontainers.image.version="$VERSION"`} {
		if !strings.Contains(last, want) {
			t.Errorf("the last stage lacks %q:\n%s", want, last)
		}
	}
	for _, want := range []string{"CGO_ENABLED=0", "GOOS=$TARGETOS", "GOARCH=$TARGETARCH", "-trimpath", "connector.Version=$VERSION", "--platform=$BUILDPLATFORM"} {
		if !strings.Contains(stages[1], want) {
			t.Errorf("the build lacks %q", want)
		}
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if arg := regexp.MustCompile(`(?m)^ARG GO_VERSION=(.*)$`).FindSubmatch(b); string(arg[1]) != string(version[1]) {
		t.Errorf("the image builds with Go %s, go.mod has %s", arg[1], version[1])
	}
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}} {{.EmbedFiles}}{{end}}`, ".")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ignored)) {
		name := strings.TrimPrefix(strings.TrimSpace(line), "**/")
		if name == "*_test.go" || strings.HasPrefix(name, ".") {
			continue
		}
		for dep := range strings.Lines(string(out)) {
			dep, files, _ := strings.Cut(dep, " ")
			if strings.HasPrefix(dep, "github.com/waltap/waltap") && (strings.HasPrefix(dep+"/", "github.com/waltap/waltap/"+name+"/") || strings.Contains(files, name+"/")) {
				t.Errorf(".dockerignore leaves %s out, which %s needs: %s", name, dep, files)
			}
		}
	}
}

// TestFilesOfWorkers are read by waltap itself.
func TestFilesOfWorkers(t *testing.T) {
	t.Setenv("KAFKA", "k:9092")
	t.Setenv("PEER_HOST", "h.example")
	cfg, err := config.ParseWorkerFile(filepath.Join("compose", "worker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.BootstrapServers[0] != "k:9092" || cfg.Worker.PeerHost != "h.example" || !strings.HasSuffix(cfg.ListenAddress(), ":8083") {
		t.Errorf("%+v", cfg)
	}
}

// TestWorkersAreGivenTheTimeOfACleanStop: worker.go waits 40 s for its connectors.
func TestWorkersAreGivenTheTimeOfACleanStop(t *testing.T) {
	source, err := os.ReadFile("../connector/worker/worker.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "stopTimeout = 40 * time.Second") {
		t.Error("the worker waits for another time than 40 s: look at systemd/waltap.service, compose.yaml, the chart and docs/operations.md")
	}
	for file, want := range map[string]string{"systemd/waltap.service": "TimeoutStopSec=60s", "compose/compose.yaml": "stop_grace_period: 60s", "helm/waltap/values.yaml": "terminationGracePeriodSeconds: 90"} {
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %q (%v)", file, want, err)
		}
	}
}
