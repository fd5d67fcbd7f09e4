package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/rest/resttest"
)

// document is the OpenAPI document as a client reads it.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string
		Parameters  []struct{ Name, In string }
		RequestBody *struct{ Required bool }
		Responses   map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }
}

func served(t *testing.T, p *port) (d document) {
	t.Helper()
	code, body := p.do(t, "GET", "/openapi.json", "")
	if code != 200 {
		t.Fatal(code, body)
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAPIHasEveryRoute: what is served is in the document, and what is in the document is served.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	p := open(t, config.REST{})
	d := served(t, p)
	var documented, there []string
	ids := map[string]bool{}
	for path, item := range d.Paths {
		for method, op := range item {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			if ids[op.OperationID] || op.OperationID == "" {
				t.Errorf("%s %s: operationId %q", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			var named []string
			for _, x := range op.Parameters {
				if x.In == "path" {
					named = append(named, "{"+x.Name+"}")
				}
			}
			if want := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(path, -1); !slices.Equal(named, want) {
				t.Errorf("%s %s: parameters %v, want %v", method, path, named, want)
			}
			// It is routed: whatever is answered, it is not "no such path" or "no such method".
			real := regexp.MustCompile(`\{task\}`).ReplaceAllString(path, "0")
			real = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(real, "x")
			code, body := p.do(t, strings.ToUpper(method), real, "{}", "Content-Type", "application/json")
			if code == 405 || strings.Contains(body, "HTTP 404") {
				t.Errorf("%s %s is documented and not served: %d %s", method, path, code, body)
			}
		}
	}
	for _, r := range routes() {
		there = append(there, r.method+" "+r.path)
	}
	slices.Sort(documented)
	slices.Sort(there)
	if !slices.Equal(documented, there) {
		t.Errorf("documented %v\nserved     %v", documented, there)
	}
	for _, ref := range regexp.MustCompile(`#/components/schemas/([A-Za-z.]+)`).FindAllStringSubmatch(fmt.Sprint(d), -1) {
		if d.Components.Schemas[ref[1]] == nil {
			t.Errorf("no schema %s", ref[1])
		}
	}
}

// TestOpenAPIFitsTheAnswers: every answer to the script has a status code and a body as the document says.
func TestOpenAPIFitsTheAnswers(t *testing.T) {
	p := open(t, config.REST{})
	d := served(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answers, err := resttest.Replay(ctx, side(p.URL), resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for i, s := range resttest.Script {
		path, _, _ := strings.Cut(strings.NewReplacer("{sourceClass}", "x", "{sinkClass}", "x").Replace(s.Path), "?")
		rt, _, _ := find(s.Method, strings.FieldsFunc(path, func(c rune) bool { return c == '/' }))
		a := answers[i]
		if rt == nil || s.Method == "HEAD" || ambiguous(path) {
			continue
		}
		r, ok := d.Paths[rt.path][strings.ToLower(rt.method)].Responses[fmt.Sprint(a.Code)]
		if !ok {
			if a.Code != 500 { // that of a body that cannot be read, the same everywhere
				t.Errorf("%s: status code %d of %s %s is not documented", s.Name, a.Code, rt.method, rt.path)
			}
			continue
		}
		if schema := r.Content["application/json"].Schema; schema != nil && !strings.Contains(s.Path, "expand=") {
			var v any
			if err := json.Unmarshal(a.Body, &v); err != nil {
				t.Errorf("%s: %v", s.Name, err)
				continue
			}
			if err := d.fits(schema, v); err != nil {
				t.Errorf("%s: %s %s: %v\n%s", s.Name, rt.method, rt.path, err, a.Body)
			}
			checked[rt.method+rt.path] = true
		}
	}
	if len(checked) < 20 {
		t.Errorf("only %d routes were checked: %v", len(checked), slices.Sorted(maps.Keys(checked)))
	}
	// The checker finds what is wrong.
	if d.fits(map[string]any{"$ref": "#/components/schemas/herder.Status"}, map[string]any{"name": "x"}) == nil {
		t.Error("a status without fields fits")
	}
}

// fits checks a value against a schema of the kinds that the document has.
func (d *document) fits(schema map[string]any, v any) error {
	if v == nil && schema["nullable"] == true {
		return nil
	}
	if all, ok := schema["allOf"].([]any); ok {
		return d.fits(all[0].(map[string]any), v)
	}
	if ref, ok := schema["$ref"].(string); ok {
		return d.fits(d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], v)
	}
	wrong := fmt.Errorf("%v does not fit %v", v, schema)
	switch schema["type"] {
	case "string":
		if _, ok := v.(string); !ok {
			return wrong
		}
	case "integer", "number":
		if _, ok := v.(float64); !ok {
			return wrong
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return wrong
		}
		for _, e := range list {
			if err := d.fits(schema["items"].(map[string]any), e); err != nil {
				return err
			}
		}
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return wrong
		}
		required, _ := schema["required"].([]any)
		for _, k := range required {
			if _, there := m[k.(string)]; !there {
				return fmt.Errorf("%v is missing in %v", k, v)
			}
		}
		properties, fixed := schema["properties"].(map[string]any)
		for k, e := range m {
			switch p, known := properties[k]; {
			case known:
				if err := d.fits(p.(map[string]any), e); err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
			case fixed:
				return fmt.Errorf("field %s is not documented", k)
			default:
				if a, ok := schema["additionalProperties"].(map[string]any); ok {
					if err := d.fits(a, e); err != nil {
						return fmt.Errorf("%s: %w", k, err)
					}
				}
			}
		}
	}
	return nil
}
