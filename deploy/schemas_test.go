//go:build deploy

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waltap/waltap/e2e/servers"
)

// kubernetesSchemas makes a JSON schema of each kind of Kubernetes, strict ones, from the OpenAPI description that a module of Kubernetes
// carries, and returns their folder. kubeconform would take them from the internet.
func kubernetesSchemas(t *testing.T) string {
	t.Helper()
	dir, err := servers.Cached(t.Context(), "kubernetes-schemas-"+strings.ReplaceAll(filepath.Base(schemasMod), "@", "-"), func(ctx context.Context, dir string) error {
		out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", schemasMod).Output()
		if err != nil {
			return fmt.Errorf("download %s: %w\n%s", schemasMod, err, out)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(module.Dir, "artifacts/openapi/swagger.json"))
		if err != nil {
			return err
		}
		return writeSchemas(b, dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeSchemas(swagger []byte, dir string) error {
	var doc struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(swagger, &doc); err != nil {
		return err
	}
	for name, d := range doc.Definitions {
		if name == "io.k8s.apimachinery.pkg.util.intstr.IntOrString" || name == "io.k8s.apimachinery.pkg.api.resource.Quantity" {
			d["type"] = []string{"string", "number"}
		}
		if d["properties"] != nil {
			d["additionalProperties"] = false
		}
	}
	newest := make(map[string]string) // by kind: v1 wins over v1beta1
	for name, d := range doc.Definitions {
		list, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(list) != 1 {
			continue
		}
		gvk := list[0].(map[string]any)
		kind := fmt.Sprint(gvk["kind"])
		if gvk["version"] == "v1" {
			newest[kind] = name
		}
	}
	for kind, name := range newest {
		b, err := json.Marshal(map[string]any{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/" + name, "definitions": reachable(doc.Definitions, name)})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(kind)+".json"), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// reachable are the definitions that the one of that name leads to.
func reachable(all map[string]map[string]any, name string) map[string]any {
	found := make(map[string]any)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				to := strings.TrimPrefix(ref, "#/definitions/")
				if _, seen := found[to]; !seen {
					found[to] = all[to]
					walk(all[to])
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(map[string]any{"$ref": "#/definitions/" + name})
	return found
}
