package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.yaml.in/yaml/v3"

	"github.com/waltap/waltap/connector/status"
)

// known are the names of all metrics that a process serves.
func known(t *testing.T) []string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, m := range status.Metrics() {
		names = append(names, m.Name)
	}
	return names
}

func unknown(q Query, known []string) []string {
	return slices.DeleteFunc(q.Metrics(), func(name string) bool { return slices.Contains(known, name) })
}

func TestQueriesAskForMetricsThatThereAre(t *testing.T) {
	all, err := Queries()
	if err != nil || len(all) < 40 {
		t.Fatalf("%d queries, %v", len(all), err)
	}
	names := known(t)
	for _, q := range all {
		if bad := unknown(q, names); len(bad) > 0 {
			t.Errorf("%s asks for %v: no such metric (docs/metrics.md)", q.Where, bad)
		}
		if strings.Contains(q.Where, "panel") && len(q.Metrics()) == 0 {
			t.Errorf("%s asks for nothing: %s", q.Where, q.Expr)
		}
	}
	if bad := unknown(Query{Expr: `sum(rate(waltap_records_total[5m])) + waltap_nope_seconds{connector="waltap-x"}`}, names); !slices.Equal(bad, []string{"waltap_nope_seconds"}) {
		t.Errorf("found unknown: %v", bad)
	}
}

// TestEveryAlert has a severity, its section in docs/operations.md and, in alerts_test.yaml, a case where it fires and one where it does not.
func TestEveryAlert(t *testing.T) {
	rules, err := Alerts()
	if err != nil || len(rules) < 15 {
		t.Fatalf("%d alerts, %v", len(rules), err)
	}
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]bool) // by anchor
	for _, m := range regexp.MustCompile(`(?m)^### (Waltap\w+)$`).FindAllSubmatch(page, -1) {
		sections[strings.ToLower(string(m[1]))] = true
	}
	fires, calm := cases(t)
	for _, r := range rules {
		anchor := strings.ToLower(r.Alert)
		if want := "https://github.com/waltap/waltap/blob/main/docs/operations.md#" + anchor; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !sections[anchor] {
			t.Errorf("docs/operations.md has no section ### %s", r.Alert)
		}
		delete(sections, anchor)
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", r.Alert)
		}
		if !fires[r.Alert] || !calm[r.Alert] {
			t.Errorf("%s: alerts_test.yaml has a case where it fires: %v, and one where it does not: %v", r.Alert, fires[r.Alert], calm[r.Alert])
		}
	}
	for anchor := range sections {
		t.Errorf("docs/operations.md#%s: there is no such alert", anchor)
	}
}

// cases are the alerts that fire in a case of alerts_test.yaml, and those that do not in one with series of their own.
func cases(t *testing.T) (fires, calm map[string]bool) {
	t.Helper()
	b, err := os.ReadFile("prometheus/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Input []struct{ Series string } `yaml:"input_series"`
			Rules []struct {
				Alert string     `yaml:"alertname"`
				Want  []struct{} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	fires, calm = make(map[string]bool), make(map[string]bool)
	for _, c := range file.Tests {
		for _, r := range c.Rules {
			switch {
			case len(r.Want) > 0:
				fires[r.Alert] = true
			case len(c.Input) > 0:
				calm[r.Alert] = true
			}
		}
	}
	return fires, calm
}

// TestChartHasTheAlerts: a chart can hold no file from outside its folder.
func TestChartHasTheAlerts(t *testing.T) {
	b, err := os.ReadFile("helm/waltap/files/alerts.yaml")
	if err != nil || string(b) != string(alerts) {
		t.Errorf("cp deploy/prometheus/alerts.yaml deploy/helm/waltap/files/ (%v)", err)
	}
}

func TestDashboard(t *testing.T) {
	var board struct {
		UID, Title string
		Panels     []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(dashboard, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID != "waltap" || board.Title != "waltap" {
		t.Errorf("uid %q, title %q", board.UID, board.Title)
	}
	seen := make(map[int]bool)
	for i, p := range board.Panels {
		if seen[p.ID] {
			t.Errorf("panel %q: id %d is another one's", p.Title, p.ID)
		}
		seen[p.ID] = true
		for _, q := range board.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
		if a := p.GridPos; a.X+a.W > 24 {
			t.Errorf("panel %q ends at column %d of 24", p.Title, a.X+a.W)
		}
	}
}
