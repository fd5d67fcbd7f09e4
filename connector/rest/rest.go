// Package rest is the process's HTTP API: Kafka Connect's own, with its paths, bodies, status codes and errors, so that the
// scripts and pages that speak to a Connect worker speak to waltap; and, under /v1, what only waltap has.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/guard"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/samples"
)

// Config of the API.
type Config struct {
	Herder  herder.Herder
	Process *config.Process // providers, keys rest.*
	Loggers *herder.Loggers
	// Migrations reads the state of all migrations; DeadLetters the newest dead letters of a connector on a topic. The error is ErrNoKafka
	// while there is no Kafka to read them from; nil: there never is.
	Migrations  func(ctx context.Context) ([]Migration, error)
	DeadLetters func(ctx context.Context, topic, connector string, most int) (*dlq.Look, error)
	// LookOnly, if it is not "", says why this API changes nothing.
	LookOnly string
	// Samples are those of the recent past; nil: none are taken.
	Samples *samples.Keeper
	// Next serves what is not of the API, such as /status and /metrics; it is behind the same authentication. Nil: nothing.
	Next http.Handler
	Log  *slog.Logger
}

// ErrNoKafka says that Kafka was not reached yet.
var ErrNoKafka = errors.New("there is no Kafka to read from yet; send it again")

type api struct {
	Config
	openAPI []byte
}

// New returns the handler of a port: authentication, limits, the API, and Next.
func New(c Config) (http.Handler, error) {
	a := &api{Config: c}
	var err error
	if a.openAPI, err = json.MarshalIndent(openAPI(), "", "  "); err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	return guard.New(&c.Process.REST, c.Log, http.HandlerFunc(a.serve)), nil
}

// call is a request to a route.
type call struct {
	*http.Request
	api  *api
	args []string // what stands for the parts in {} of the route's path
}

// answer is what a route answers: a body as JSON, or none when it is nil.
type answer struct {
	code     int
	body     any
	location string // a header
}

func ok(body any, err error) (answer, error) { return answer{code: http.StatusOK, body: body}, err }

// done is an answer without a body.
func done(code int, err error) (answer, error) { return answer{code: code}, err }

// failure is an answer in the form of Connect's errors.
type failure struct {
	code  int
	text  string
	allow []string // of 405
}

func (f *failure) Error() string { return f.text }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, text: fmt.Sprintf(format, args...)}
}

// httpError is an error of HTTP itself, in the words of Connect's server.
func httpError(code int) *failure {
	return &failure{code: code, text: fmt.Sprintf("HTTP %d %s", code, http.StatusText(code))}
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, api: a}
	if strings.HasPrefix(r.URL.Path, "/connectors/") && ambiguous(r.URL.EscapedPath()) {
		a.fail(w, r, fail(http.StatusBadRequest, "Kafka Connect's server takes no path with %%2F or %%25, and neither does this one: names with a slash or a per cent sign are taken below /v1%s", r.URL.EscapedPath()))
		return
	}
	rt, args, methods := find(r.Method, segments(r.URL))
	c.args = args
	switch {
	case rt != nil && a.LookOnly != "" && rt.method != http.MethodGet:
		a.fail(w, r, fail(http.StatusForbidden, "%s", a.LookOnly))
	case rt != nil:
		out, err := rt.handle(c)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		write(w, r, out)
	case methods != nil && r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(methods, ","))
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Join(methods, ", "))
	case methods != nil:
		f := httpError(http.StatusMethodNotAllowed)
		f.allow = methods
		a.fail(w, r, f)
	case a.Next != nil && nextServes(r.URL.Path):
		a.Next.ServeHTTP(w, r)
	default:
		a.fail(w, r, httpError(http.StatusNotFound))
	}
}

// ambiguous tells a path that Connect's server refuses.
func ambiguous(path string) bool {
	path = strings.ToUpper(path)
	return strings.Contains(path, "%2F") || strings.Contains(path, "%25")
}

// nextServes tells the paths of Next, so that any other is answered in the form of the API.
func nextServes(path string) bool {
	return slices.Contains([]string{"/status", "/metrics", "/healthz", "/readyz"}, path) ||
		strings.HasPrefix(path, "/debug/pprof/") || strings.HasPrefix(path, "/v1/connectors/") && strings.HasSuffix(path, "/snapshot/limits") || path == "/ui" || strings.HasPrefix(path, "/ui/")
}

// segments are the parts of a path, unescaped one by one: %2F does not separate. A slash at the end adds none.
func segments(u *url.URL) []string {
	path := strings.Trim(u.EscapedPath(), "/")
	if path == "" {
		return nil
	}
	list := strings.Split(path, "/")
	for i, s := range list {
		if text, err := url.PathUnescape(s); err == nil {
			list[i] = text
		}
	}
	return list
}

// fail answers with an error. Those that are nobody's fault but ours are logged.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := a.failureOf(err)
	_, refused := errors.AsType[*failure](err)
	if f.code >= 500 && !refused && herder.KindOf(err) == 0 {
		a.Log.Error("a request could not be answered", "method", r.Method, "path", r.URL.Path, "code", f.code, "error", err)
	}
	if f.allow != nil {
		w.Header().Set("Allow", strings.Join(f.allow, ","))
	}
	write(w, r, answer{code: f.code, body: errorBody{f.code, f.text}})
}

// errorBody is the form of every error.
type errorBody struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (a *api) failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*herder.Error](err); ok {
		return &failure{code: e.Kind.Status(), text: e.Text}
	}
	if e, ok := errors.AsType[*config.Error](err); ok {
		return invalid(e)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &failure{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body has more than %d bytes (rest.request.max.bytes)", a.Process.REST.MaxBody)}
	}
	if errors.Is(err, ErrNoKafka) {
		return &failure{code: http.StatusServiceUnavailable, text: err.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{code: http.StatusGatewayTimeout, text: "Request timed out: the worker that has to answer did not, or Kafka does not; send it again"}
	}
	return &failure{code: http.StatusInternalServerError, text: err.Error()}
}

// invalid is Connect's answer to a configuration that is wrong.
func invalid(e *config.Error) *failure {
	var b strings.Builder
	fmt.Fprintf(&b, "Connector configuration is invalid and contains the following %d error(s):", len(e.Faults))
	for _, f := range e.Faults {
		f.Connector = ""
		b.WriteString("\n" + f.String())
	}
	b.WriteString("\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`")
	return &failure{code: http.StatusBadRequest, text: b.String()}
}

func write(w http.ResponseWriter, r *http.Request, out answer) {
	if out.location != "" {
		w.Header().Set("Location", out.location)
	}
	if out.body == nil {
		w.WriteHeader(out.code)
		return
	}
	raw, isRaw := out.body.(json.RawMessage)
	if !isRaw {
		var err error
		if raw, err = json.Marshal(out.body); err != nil {
			http.Error(w, `{"error_code":500,"message":"write the answer"}`, http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.code)
	if r.Method != http.MethodHead {
		w.Write(raw) // an error here is the client's going away
	}
}
