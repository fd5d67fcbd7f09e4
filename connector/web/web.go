// Package web is the page that shows a process and controls its connectors. It is plain files, embedded; all that it shows it asks of
// the REST API, with the rights of who looks at it.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// Path of the page.
const Path = "/ui/"

//go:embed files
var embedded embed.FS

// policy lets the page run and show nothing but its own files, and ask nobody but this port.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// types of the files, so that they do not depend on the machine's.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// file is one of the page's.
type file struct {
	body []byte
	kind string
	etag string
}

// New serves the page at Path, and all else by next.
func New(next http.Handler) http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == strings.TrimSuffix(Path, "/"):
			http.Redirect(w, r, Path, http.StatusSeeOther)
		case strings.HasPrefix(r.URL.Path, Path):
			serve(w, r, files)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Front sends a browser that would show its user what / answers to the page; whoever else asks has the answer of next, the API.
func Front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Dest") == "document" {
			http.Redirect(w, r, Path, http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// load reads the files by their paths below Path; the page itself is "".
func load() map[string]*file {
	files := make(map[string]*file)
	err := fs.WalkDir(embedded, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		kind, known := types[path.Ext(name)]
		if !known {
			return fmt.Errorf("file %s: of what type is it?", name)
		}
		sum := sha256.Sum256(body)
		f := &file{body, kind, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		name = strings.TrimPrefix(name, "files/")
		if name == "index.html" {
			name = ""
		}
		files[name] = f
		return nil
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return files
}

func serve(w http.ResponseWriter, r *http.Request, files map[string]*file) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
		return
	}
	f := files[strings.TrimPrefix(r.URL.Path, Path)]
	if f == nil {
		http.Error(w, "the page has no such file", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache") // asked for again each time: an upgraded worker has other files
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
