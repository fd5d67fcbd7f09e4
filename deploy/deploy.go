// Package deploy holds what waltap is deployed and watched with, and what the tests need to know of it.
package deploy

import (
	_ "embed" // the files
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed grafana/waltap.json
var dashboard []byte

//go:embed prometheus/alerts.yaml
var alerts []byte

// Query is a PromQL expression of the dashboard or of the alert rules.
type Query struct {
	Where string // the panel, or the alert
	Expr  string
}

var metricName = regexp.MustCompile(`\b(?:waltap|go|process)_[a-z0-9_]+\b`)

// Metrics are the names of the metrics in the expression, sorted.
func (q Query) Metrics() []string {
	names := metricName.FindAllString(q.Expr, -1)
	slices.Sort(names)
	return slices.Compact(names)
}

// Alert is an alert rule.
type Alert struct {
	Alert, Record, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// Alerts are the rules of prometheus/alerts.yaml, without those that only record.
func Alerts() ([]Alert, error) {
	var file struct {
		Groups []struct{ Rules []Alert }
	}
	if err := yaml.Unmarshal(alerts, &file); err != nil {
		return nil, fmt.Errorf("read the alert rules: %w", err)
	}
	var out []Alert
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Record == "" {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// Queries are all expressions of the dashboard and of the alert rules.
func Queries() ([]Query, error) {
	rules, err := Alerts()
	if err != nil {
		return nil, err
	}
	var out []Query
	for _, r := range rules {
		out = append(out, Query{"alert " + r.Alert, r.Expr})
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name, Type string
				Query      json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(dashboard, &board); err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	for _, p := range board.Panels {
		for _, t := range p.Targets {
			out = append(out, Query{"panel " + p.Title, t.Expr})
		}
	}
	for _, v := range board.Templating.List {
		if v.Type == "query" {
			out = append(out, Query{"variable " + v.Name, string(v.Query)})
		}
	}
	return out, nil
}
