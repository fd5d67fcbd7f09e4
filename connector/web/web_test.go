package web

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

var page = Front(New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the API at "+r.URL.Path) })))

func ask(t *testing.T, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r, w := httptest.NewRequest(method, "http://worker:8083/", nil), httptest.NewRecorder()
	r.URL.Path = target // as it is, whatever it holds
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	page.ServeHTTP(w, r)
	return w
}

func TestEveryFile(t *testing.T) {
	kinds := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	n := 0
	err := fs.WalkDir(embedded, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		want, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		at := Path + strings.TrimSuffix(strings.TrimPrefix(name, "files/"), "index.html")
		w := ask(t, "GET", at)
		if w.Code != 200 || w.Body.String() != string(want) {
			t.Errorf("%s: %d, %d bytes of %d", at, w.Code, w.Body.Len(), len(want))
		}
		h := w.Header()
		for key, want := range map[string]string{"Content-Type": kinds[path.Ext(name)], "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"} {
			if h.Get(key) != want || want == "" {
				t.Errorf("%s: %s is %q, want %q", at, key, h.Get(key), want)
			}
		}
		if head := ask(t, "HEAD", at); head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("HEAD %s: %d, %d bytes, %v", at, head.Code, head.Body.Len(), head.Header())
		}
		if again := ask(t, "GET", at, "If-None-Match", h.Get("ETag")); again.Code != 304 || again.Body.Len() != 0 || h.Get("ETag") == "" {
			t.Errorf("%s again: %d", at, again.Code)
		}
		if other := ask(t, "GET", at, "If-None-Match", `"other"`); other.Code != 200 {
			t.Errorf("%s when another one is known: %d", at, other.Code)
		}
		return nil
	})
	if err != nil || n < 9 {
		t.Errorf("%d files, %v", n, err)
	}
}

func TestPaths(t *testing.T) {
	for _, tc := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", "/ui", 303, ""},
		{"GET", "/ui/", 200, "<!doctype html>"},
		{"GET", "/ui/index.html", 404, "no such file"},
		{"GET", "/ui/nothing.js", 404, "no such file"},
		{"GET", "/ui/../web.go", 404, "no such file"},
		{"GET", "/ui/files/page.js", 404, "no such file"},
		{"GET", "/ui//page.js", 404, "no such file"},
		{"GET", "/ui/page.js/", 404, "no such file"},
		{"GET", "/ui/..", 404, "no such file"},
		{"GET", "/ui/%2e%2e/page.js", 404, "no such file"},
		{"POST", "/ui/", 405, "GET"},
		{"DELETE", "/ui/page.js", 405, "GET"},
		{"GET", "/", 200, "the API at /"},
		{"GET", "/uix", 200, "the API at /uix"},
		{"GET", "/connectors", 200, "the API at /connectors"},
	} {
		w := ask(t, tc.method, tc.path)
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.text) {
			t.Errorf("%s %s: %d %q, want %d with %q", tc.method, tc.path, w.Code, w.Body, tc.code, tc.text)
		}
		if strings.HasPrefix(tc.path, Path) && w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s has no policy", tc.path)
		}
	}
	if w := ask(t, "GET", "/", "Sec-Fetch-Dest", "document"); w.Code != 303 || w.Header().Get("Location") != Path {
		t.Errorf("a browser's user: %d %v", w.Code, w.Header())
	}
	if w := ask(t, "GET", "/", "Sec-Fetch-Dest", "empty"); w.Code != 200 {
		t.Errorf("a script: %d", w.Code)
	}
}

// TestFilesStandAlone: all that the files refer to is among them, no code is within markup, and nothing makes markup of text.
func TestFilesStandAlone(t *testing.T) {
	files := load()
	imports := regexp.MustCompile(`(?m)^import [^;]*?'([^']+)'`)
	refers := regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	reached := map[string]bool{"": true}
	for name, f := range files {
		text := string(f.body)
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			file := strings.TrimPrefix(m[1], "./")
			if reached[file] = true; files[file] == nil {
				t.Errorf("%q imports %s, which is not there", name, m[1])
			}
		}
		switch path.Ext(name) {
		case ".js":
			if m := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?:[^w]|w[^w])`).FindString(text); m != "" {
				t.Errorf("%s has %s", name, m)
			}
		case ".css":
			if m := regexp.MustCompile(`url\(|@import`).FindString(text); m != "" {
				t.Errorf("%s has %s", name, m)
			}
		case "":
			for _, m := range refers.FindAllStringSubmatch(text, -1) {
				if strings.HasPrefix(m[1], "#") {
					continue
				}
				if reached[m[1]] = true; files[m[1]] == nil {
					t.Errorf("the page refers to %s, which is not there", m[1])
				}
			}
			if m := regexp.MustCompile(`(?i)<script>|<style|\son\w+=|\sstyle=`).FindString(text); m != "" {
				t.Errorf("the page has %s, which its policy forbids", m)
			}
		}
	}
	for name := range files {
		if !reached[name] {
			t.Errorf("nothing refers to %s", name)
		}
	}
}
