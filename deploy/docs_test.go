package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPagesNameFilesThatThereAre: links between the pages, and the files and folders that the architecture page names.
func TestPagesNameFilesThatThereAre(t *testing.T) {
	for _, page := range []string{"architecture.md", "operations.md", "quickstart.md", "metrics.md"} {
		b, err := os.ReadFile(filepath.Join("../docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllSubmatch(b, -1) {
			if _, err := os.Stat(filepath.Join("../docs", string(m[1]))); err != nil {
				t.Errorf("%s links to %v", page, err)
			}
		}
	}
	b, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	folder, files := "", 0
	for _, m := range regexp.MustCompile("`([a-z]+(?:/[a-z0-9]+)*(?:/?[a-z]+\\.go)?)`").FindAllSubmatch(b, -1) {
		name := string(m[1])
		at := filepath.Join("..", name)
		if strings.HasSuffix(name, ".go") && !strings.Contains(name, "/") && name != "main.go" {
			at = filepath.Join(folder, name) // of the folder that was named before
		}
		if _, err := os.Stat(at); err != nil {
			t.Errorf("architecture.md names %s: %v", name, err)
			continue
		}
		files++
		if strings.HasSuffix(name, ".go") && strings.Contains(name, "/") {
			folder = filepath.Dir(at)
		}
	}
	if files < 30 {
		t.Errorf("found only %d names of files", files)
	}
}
