package connector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/source/scan"
)

// maxLimitsBody bounds the body of a change of limits.
const maxLimitsBody = 4 << 10

// limiters are those of the sources' scans here, by connector.
type limiters struct {
	mu sync.Mutex
	of map[string]*limited
}

// limited is a source with its limiter, which outlives the source's restarts: what was set holds until the connector is configured anew.
type limited struct {
	*scan.Limiter
	revision int64 // of the connector's configuration; 0: it has not started yet
}

// newLimiters makes a limiter for each source of a process's file, to be set before the source starts.
func newLimiters(cfg *config.Process) *limiters {
	l := &limiters{of: make(map[string]*limited)}
	for _, c := range cfg.Connectors {
		if c.Source != nil {
			l.of[c.Name] = &limited{Limiter: limiterFor(&c)}
		}
	}
	return l
}

// limiterFor has the limits that a source is configured with.
func limiterFor(c *config.Connector) *scan.Limiter {
	s := c.Source.Snapshot
	return scan.NewLimiter(scan.Limits{RowsPerSecond: s.MaxRowsPerSecond, BytesPerSecond: s.MaxBytesPerSecond})
}

// starts is the limiter of a source that starts with this revision of its configuration.
func (l *limiters) starts(c *config.Connector, revision int64) *scan.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.of[c.Name]
	if now == nil || now.revision != 0 && now.revision != revision {
		now = &limited{Limiter: limiterFor(c)}
		l.of[c.Name] = now
	}
	now.revision = revision
	return now.Limiter
}

// find is the limiter of a source, nil when there is none here.
func (l *limiters) find(name string) *scan.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.of[name]; now != nil {
		return now.Limiter
	}
	return nil
}

// scanLimits are those that the status shows.
func scanLimits(l *scan.Limiter) status.ScanLimits {
	if l == nil {
		return status.ScanLimits{}
	}
	limits := l.Limits()
	return status.ScanLimits{RowsPerSecond: limits.RowsPerSecond, BytesPerSecond: limits.BytesPerSecond, Paused: l.Paused()}
}

// limitsHandler serves GET and PUT /v1/connectors/{name}/snapshot/limits, and all else by next. A PUT takes effect at
// once, until the process ends or the connector is configured anew; a limit that its body does not name stays as it is.
func limitsHandler(limits func(name string) *scan.Limiter, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	mux.HandleFunc("GET /v1/connectors/{name}/snapshot/limits", func(w http.ResponseWriter, r *http.Request) {
		if l := limiterOf(limits, w, r); l != nil {
			writeLimits(w, l)
		}
	})
	mux.HandleFunc("PUT /v1/connectors/{name}/snapshot/limits", func(w http.ResponseWriter, r *http.Request) {
		l := limiterOf(limits, w, r)
		if l == nil {
			return
		}
		want := l.Limits()
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLimitsBody))
		d.DisallowUnknownFields()
		err := d.Decode(&want)
		if err == nil && (want.RowsPerSecond < 0 || want.BytesPerSecond < 0) {
			err = fmt.Errorf("limits are not negative; 0 is no limit")
		}
		if err != nil {
			http.Error(w, fmt.Sprintf(`read limits: %v; send {"rowsPerSecond": 1000, "bytesPerSecond": 0}`, err), http.StatusBadRequest)
			return
		}
		l.Set(want)
		writeLimits(w, l)
	})
	return mux
}

// limiterOf finds the limiter that a request names, or answers it.
func limiterOf(limits func(name string) *scan.Limiter, w http.ResponseWriter, r *http.Request) *scan.Limiter {
	l := limits(r.PathValue("name"))
	if l == nil {
		http.Error(w, fmt.Sprintf("this process has no source connector %q", r.PathValue("name")), http.StatusNotFound)
		return nil
	}
	return l
}

func writeLimits(w http.ResponseWriter, l *scan.Limiter) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(l.Limits()) // an error here is the client's going away
}
