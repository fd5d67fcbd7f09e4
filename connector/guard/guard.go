// Package guard keeps the port of a process: who may ask what, how large a request may be, and how long it may take.
package guard

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/secret"
)

// requestTimeout is how long a request may take, as in Connect.
const requestTimeout = 90 * time.Second

// role of who asks.
type role int

const (
	nobody role = iota
	viewer
	admin
)

// page is the path of the web page: see connector/web.
const page = "/ui/"

// RoleOf is the role of a request that was let through: admin, or viewer.
func RoleOf(ctx context.Context) string {
	if r, ok := ctx.Value(roleKey{}).(role); ok && r == admin {
		return "admin"
	}
	return "viewer"
}

type roleKey struct{}

// New lets requests through to next that are small enough, of who may make them. /healthz and /readyz are for everybody,
// but say no more than their status code to who has not authenticated. So are the files of the web page, which know nothing: the page
// itself is answered with 401 and the challenge, and asks for a token, which a browser cannot do.
func New(c *config.REST, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		who := admin
		if c.Authenticates() {
			who = roleOf(c, r)
		}
		probe := r.Method == http.MethodGet && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
		switch {
		case who == nobody && probe:
			next.ServeHTTP(&silent{ResponseWriter: w}, r)
			return
		case who == nobody && readOnly(r) && strings.HasPrefix(r.URL.Path, page) && r.URL.Path != page:
			next.ServeHTTP(w, r)
			return
		case who == nobody && readOnly(r) && r.URL.Path == page:
			challenge(c, h)
			r = r.Clone(r.Context())
			r.Header.Del("If-None-Match") // a browser that has it is to be asked all the same
			next.ServeHTTP(&unauthorized{ResponseWriter: w}, r)
			return
		case who == nobody:
			log.Warn("a request without valid credentials was refused", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
			challenge(c, h)
			refuse(w, r, http.StatusUnauthorized, "credentials are missing or wrong: send those of rest.auth.admin.* or rest.auth.viewer.*, as basic authentication or as a bearer token")
			return
		case who == viewer && !readOnly(r):
			log.Warn("a request of the viewer role was refused", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
			refuse(w, r, http.StatusForbidden, "these credentials may read only: send those of rest.auth.admin.*")
			return
		case c.MaxBody > 0 && r.ContentLength > c.MaxBody:
			h.Set("Connection", "close") // the body is not read
			refuse(w, r, http.StatusRequestEntityTooLarge, "the body is larger than rest.request.max.bytes")
			return
		case crossSite(r):
			refuse(w, r, http.StatusForbidden, "a page of another site may not send this")
			return
		}
		if c.MaxBody > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, c.MaxBody)
		}
		if strings.HasPrefix(r.URL.Path, "/debug/pprof/") { // as long as the profile takes
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), roleKey{}, who), requestTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// challenge asks for what is configured: a browser asks its user for a name and a password only where there are some.
func challenge(c *config.REST, h http.Header) {
	if !c.Admin.UserInfo.IsZero() || !c.Viewer.UserInfo.IsZero() {
		h.Add("WWW-Authenticate", `Basic realm="waltap", charset="UTF-8"`)
	}
	if !c.Admin.Token.IsZero() || !c.Viewer.Token.IsZero() {
		h.Add("WWW-Authenticate", "Bearer")
	}
}

func refuse(w http.ResponseWriter, r *http.Request, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		json.NewEncoder(w).Encode(map[string]any{"error_code": code, "message": text}) // an error here is the client's going away
	}
}

// readOnly tells what the viewer may ask.
func readOnly(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions) && !strings.HasPrefix(r.URL.Path, "/debug/")
}

// crossSite tells a request that changes something and that a browser sends for a page of another site: with the user's name and
// password, if it knows them.
func crossSite(r *http.Request) bool {
	if readOnly(r) {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	origin := r.Header.Get("Origin") // of browsers that say no more, as they do without TLS
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

// roleOf compares in a time that does not depend on what is right.
func roleOf(c *config.REST, r *http.Request) role {
	who := nobody
	user, password, basic := r.BasicAuth()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "Bearer")
	for _, x := range []struct {
		role role
		of   config.Credentials
	}{{viewer, c.Viewer}, {admin, c.Admin}} {
		if basic && same(x.of.UserInfo, user+":"+password) || bearer && same(x.of.Token, strings.TrimSpace(token)) {
			who = x.role
		}
	}
	return who
}

func same(want secret.Secret, given string) bool {
	a, b := sha256.Sum256([]byte(want.Reveal())), sha256.Sum256([]byte(given))
	return !want.IsZero() && want.Reveal() != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// silent passes the status code on and nothing else.
type silent struct{ http.ResponseWriter }

func (s *silent) Write(b []byte) (int, error) { return len(b), nil }

// unauthorized answers with 401 what would be answered with 200.
type unauthorized struct {
	http.ResponseWriter
	told bool
}

func (u *unauthorized) WriteHeader(code int) {
	u.told = true
	if code == http.StatusOK {
		code = http.StatusUnauthorized
	}
	u.ResponseWriter.WriteHeader(code)
}

func (u *unauthorized) Write(b []byte) (int, error) {
	if !u.told {
		u.WriteHeader(http.StatusOK)
	}
	return u.ResponseWriter.Write(b)
}

// Open tells whether whoever reaches an address beyond this machine may do everything there.
func Open(c *config.REST, address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return !c.Authenticates() && (!ok || !tcp.IP.IsLoopback())
}
