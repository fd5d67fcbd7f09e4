//go:build deploy

package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/e2e/servers"
)

// The tools, at the versions that were tried. They are built once, into the cache folder.
const (
	helmTool       = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	kubeconformMod = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
	composeTool    = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2" // the reader of docker compose, as a command
	// schemasMod holds Kubernetes' OpenAPI description; helm needs the module anyway.
	schemasMod = "k8s.io/cli-runtime@v0.37.0"
)

const buildTimeout = 15 * time.Minute

// tool builds a command of the Go module proxy and returns its path.
func tool(t *testing.T, module string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	name := filepath.Base(strings.Split(module, "@")[0])
	sum := sha256.Sum256([]byte(module + runtime.Version()))
	dir, err := servers.Cached(ctx, "tool-"+name+"-"+hex.EncodeToString(sum[:6]), func(ctx context.Context, dir string) error {
		cmd := exec.CommandContext(ctx, "go", "install", module)
		cmd.Env = append(os.Environ(), "GOBIN="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", module, err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// promtool is that of the path, or of Debian's package prometheus, which is unpacked into the cache folder and not installed.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	dir, err := servers.Cached(ctx, "promtool", func(ctx context.Context, dir string) error {
		const script = `apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool && rm prometheus_*.deb && test -x promtool`
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("get promtool (put it on the path, where apt does not have it): %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "promtool")
}

// command runs a command in a folder and returns what it says; fails says whether it is to fail.
func command(t *testing.T, dir string, stdin []byte, fails bool, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || (err != nil) != fails {
		t.Fatalf("%s %s: %v; to fail: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, fails, out)
	}
	return string(out)
}

func TestAlertRulesByPromtool(t *testing.T) {
	t.Parallel()
	p := promtool(t)
	command(t, "prometheus", nil, false, p, "check", "rules", "alerts.yaml")
	command(t, "prometheus", nil, false, p, "check", "config", "prometheus.yml")
	command(t, "prometheus", nil, false, p, "test", "rules", "alerts_test.yaml")

	// Negative control: an alert that does not fire any more is found.
	dir := t.TempDir()
	for _, name := range []string{"alerts.yaml", "alerts_test.yaml"} {
		b, err := os.ReadFile(filepath.Join("prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Replace(b, []byte("increase(waltap_source_shipped_batches_total[15m])) == 0"), []byte("increase(waltap_source_shipped_batches_total[15m])) < 0"), 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := command(t, dir, nil, true, p, "test", "rules", "alerts_test.yaml"); !strings.Contains(out, "WaltapPeerNotDrained fires") {
		t.Errorf("promtool says\n%s", out)
	}
}

// renderings are the ways of values that the chart is looked at with.
var renderings = map[string][]string{
	"by default":    nil,
	"host network":  {"peer.mode=hostNetwork", "podDisruptionBudget.maxUnavailable=50%", "serviceAccount.name=mine"},
	"load balancer": {"peer.mode=loadBalancer", "peer.domain=waltap.example", "peer.ports={16220,16221}", "replicas=3", "peer.annotations.a=b"},
	"everything": {"serviceMonitor.enabled=true", "serviceMonitor.labels.release=prometheus", "serviceMonitor.endpoint.basicAuth.username.name=viewer", "prometheusRule.enabled=true", "prometheusRule.walRoomBytes=123", "secretFiles[0].name=kafka", "secretFiles[0].secretName=waltap-kafka",
		"peer.allowFrom={10.0.0.0/8}", "peer.allowRestFrom[0].podSelector.matchLabels.app=prometheus", "imagePullSecrets[0].name=pull", "priorityClassName=high", "tolerations[0].operator=Exists", "nodeSelector.disk=ssd",
		"podLabels.team=data", "podAnnotations.x=y", "serviceAccount.annotations.x=y", "config.session\\.timeout\\.ms=8000", "image.tag=1.2.3"},
}

func TestChart(t *testing.T) {
	t.Parallel()
	helm, kubeconform, p := tool(t, helmTool), tool(t, kubeconformMod), promtool(t)
	schemas := filepath.Join(kubernetesSchemas(t), "{{ .ResourceKind }}.json")
	check := func(manifest []byte, fails bool) string {
		t.Helper()
		return command(t, ".", manifest, fails, kubeconform, "-strict", "-summary", "-schema-location", schemas, "-skip", "ServiceMonitor,PrometheusRule")
	}
	render := func(fails bool, set ...string) string {
		t.Helper()
		args := []string{"template", "w", "helm/waltap", "-n", "cdc", "--kube-version", "1.31.0"}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		return command(t, ".", nil, fails, helm, args...)
	}
	for name, set := range renderings {
		args := []string{"lint", "--strict", "helm/waltap", "--kube-version", "1.31.0"}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		command(t, ".", nil, false, helm, args...)
		manifest := render(false, set...)
		known := strings.ReplaceAll(manifest, "  unhealthyPodEvictionPolicy: AlwaysAllow\n", "") // of Kubernetes 1.27; schemasMod describes an older one
		if out := check([]byte(known), false); !strings.Contains(out, "Invalid: 0, Errors: 0") || strings.Contains(out, "Valid: 0,") {
			t.Errorf("%s: %s", name, out)
		}
		checkManifests(t, name, manifest, p)
	}
	// Negative controls: what Kubernetes does not know, and values that the chart does not.
	if old := command(t, ".", nil, false, helm, "template", "w", "helm/waltap", "--kube-version", "1.26.0"); strings.Contains(old, "unhealthyPodEvictionPolicy") {
		t.Error("Kubernetes 1.26 is given a field that it does not know")
	}
	bad := strings.Replace(render(false), "terminationGracePeriodSeconds:", "terminationGraceSeconds:", 1)
	if out := check([]byte(bad), true); !strings.Contains(out, "terminationGraceSeconds") {
		t.Errorf("a field that Kubernetes does not know: %s", out)
	}
	for _, set := range []string{"replicaz=3", "peer.mode=nodePort", "peer.mode=loadBalancer", "config.listeners=http://0.0.0.0:1", "terminationGracePeriodSeconds=30", "peer.allowRestFrom[0].podSelector.matchLabels.app=prometheus"} {
		if out := render(true, set); !strings.Contains(out, "values don't meet the specifications") {
			t.Errorf("%s: %s", set, out)
		}
	}
}

// checkManifests looks at what no schema says.
func checkManifests(t *testing.T, name, manifests, promtool string) {
	t.Helper()
	kinds := make(map[string]int)
	for d := yaml.NewDecoder(strings.NewReader(manifests)); ; {
		var m struct {
			Kind string
			Spec yaml.Node
			Data map[string]string
		}
		if err := d.Decode(&m); err != nil {
			break
		}
		kinds[m.Kind]++
		switch m.Kind {
		case "ConfigMap":
			file := filepath.Join(t.TempDir(), "worker.yaml")
			if err := os.WriteFile(file, []byte(strings.NewReplacer("${env:POD_HOST}", "p.example", "${env:PEER_HOST}", "h.example").Replace(m.Data["worker.yaml"])), 0o644); err != nil {
				t.Fatal(err)
			}
			if cfg, err := config.ParseWorkerFile(file); err != nil || cfg.Worker.PeerHost != "h.example" || cfg.Worker.AdvertisedHost != "p.example" {
				t.Errorf("%s: the worker's configuration: %v\n%s", name, err, m.Data["worker.yaml"])
			}
		case "PrometheusRule":
			b, err := yaml.Marshal(&m.Spec)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			command(t, ".", nil, false, promtool, "check", "rules", file)
			if !strings.Contains(string(b), "vector(123)") || !strings.Contains(string(b), "WaltapPeerNotDrained") {
				t.Errorf("%s: PrometheusRule:\n%s", name, b)
			}
		case "PodDisruptionBudget":
			var spec struct {
				Eviction string `yaml:"unhealthyPodEvictionPolicy"`
			}
			if err := m.Spec.Decode(&spec); err != nil || spec.Eviction != "AlwaysAllow" {
				t.Errorf("%s: PodDisruptionBudget %+v, %v", name, spec, err)
			}
		case "ServiceMonitor":
			var spec struct {
				Selector struct {
					MatchLabels map[string]string `yaml:"matchLabels"`
				}
				NamespaceSelector struct {
					MatchNames []string `yaml:"matchNames"`
				} `yaml:"namespaceSelector"`
				Endpoints []struct {
					Port, Path, Interval, Scheme string
					BasicAuth                    struct{ Username map[string]string } `yaml:"basicAuth"`
				}
			}
			if err := m.Spec.Decode(&spec); err != nil || len(spec.Endpoints) != 1 || spec.Endpoints[0].Path != "/metrics" || spec.Endpoints[0].BasicAuth.Username["name"] != "viewer" || spec.Selector.MatchLabels["app.kubernetes.io/component"] != "rest" {
				t.Errorf("%s: ServiceMonitor %+v, %v", name, spec, err)
			}
		}
	}
	want := map[string]int{"StatefulSet": 1, "ConfigMap": 1, "PodDisruptionBudget": 1, "Service": 2, "ServiceAccount": 1}
	switch name {
	case "host network":
		delete(want, "ServiceAccount")
	case "load balancer":
		want["Service"] = 5
	case "everything":
		want["NetworkPolicy"], want["ServiceMonitor"], want["PrometheusRule"] = 1, 1, 1
	}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("%s: rendered are %v, want %v", name, kinds, want)
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatalf("systemd-analyze is needed (apt-get install systemd): %v", err)
	}
	b, err := os.ReadFile("systemd/waltap.service")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable() // the binary must exist
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "waltap.service")
	verify := func(unit string, fails bool) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Replace(unit, "ExecStart=/usr/local/bin/waltap", "ExecStart="+self, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return command(t, ".", nil, fails, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file)
	}
	if out := verify(string(b), false); strings.Contains(out, "waltap.service") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	if out := verify(strings.Replace(string(b), "Type=exec", "Typo=exec", 1), true); !strings.Contains(out, "Typo") {
		t.Errorf("a key that systemd does not know: %s", out)
	}
	out := command(t, ".", nil, false, "systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", "systemd/waltap.service")
	if !strings.Contains(out, "Overall exposure level") {
		t.Errorf("systemd-analyze security: %s", out)
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	compose := tool(t, composeTool)
	b, err := os.ReadFile("compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Its command gives no variable a value, as docker compose does: that is done here.
	b = regexp.MustCompile(`\$\{WALTAP_HOST:\?[^}]*\}`).ReplaceAll(b, []byte("h.example"))
	b = regexp.MustCompile(`\$\{KAFKA:-([^}]*)\}`).ReplaceAll(b, []byte("$1"))
	dir := t.TempDir()
	look := func(file []byte, fails bool) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), file, 0o644); err != nil {
			t.Fatal(err)
		}
		return command(t, dir, nil, fails, compose, "compose.yaml")
	}
	if out := look(b, false); !strings.Contains(out, "PEER_HOST: h.example") || !strings.Contains(out, "KAFKA: kafka:9092") {
		t.Errorf("the file is understood as\n%s", out)
	}
	if out := look(bytes.Replace(b, []byte("read_only:"), []byte("readonly:"), 1), true); !strings.Contains(out, "readonly") {
		t.Errorf("a key that compose does not know: %s", out)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	target := runtime.GOOS + "/" + runtime.GOARCH
	var sums []string
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		cmd := exec.CommandContext(t.Context(), "./release.sh", "1.2.3", target)
		cmd.Env = append(os.Environ(), "DIST="+dir, "SOURCE_DATE_EPOCH=1790000000")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("release.sh: %v\n%s", err, out)
		}
		sums = append(sums, string(out))
	}
	if sums[0] != sums[1] || !regexp.MustCompile(`(?m)^[0-9a-f]{64}  waltap-1\.2\.3-\w+-\w+\.tar\.gz$`).MatchString(sums[0]) {
		t.Errorf("two releases of the same:\n%s\n%s", sums[0], sums[1])
	}
	dir := dirs[0]
	command(t, dir, nil, false, "sha256sum", "--check", "--strict", "SHA256SUMS")
	name := fmt.Sprintf("waltap-1.2.3-%s-%s", runtime.GOOS, runtime.GOARCH)
	command(t, dir, nil, false, "tar", "-xzf", name+".tar.gz")
	waltap := filepath.Join(dir, name, "waltap")
	if out := command(t, dir, nil, false, waltap, "version"); out != "waltap 1.2.3\n" {
		t.Errorf("waltap version says %q", out)
	}
	if runtime.GOOS == "linux" {
		f, err := elf.Open(waltap)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Error("the binary is not static: FROM scratch does not run it")
			}
		}
	}
	if b, err := os.ReadFile(waltap); err != nil || bytes.Contains(b, []byte(mustAbs(t, ".."))) {
		t.Errorf("the binary holds the path of its source, %v", err)
	}
	archive := filepath.Join(dir, name+".tar.gz")
	if b, err := os.ReadFile(archive); err != nil || os.WriteFile(archive, append(b, 'x'), 0o644) != nil {
		t.Fatal(err)
	}
	command(t, dir, nil, true, "sha256sum", "--check", "--strict", "SHA256SUMS")
	command(t, ".", nil, true, "./release.sh", "one")
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
