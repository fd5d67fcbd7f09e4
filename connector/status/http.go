package status

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readiness is the body of /readyz.
type readiness struct {
	Ready      bool                 `json:"ready"`
	Connectors []connectorReadiness `json:"connectors"`
}

type connectorReadiness struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Phase string `json:"phase,omitempty"`
	Error string `json:"error,omitempty"`
}

// NewHandler serves, to GET:
//
//	/metrics  Prometheus: the process's metrics, those of extra, Go's and the operating system's
//	/healthz  200 while the process is alive
//	/readyz   200 when every connector runs, or has stopped as it should, else 503; JSON with their names and states
//	/status   the whole status as JSON (ProcessView)
//
// The error is that of registering extra: a metric that exists twice.
func NewHandler(p *Process, extra ...prometheus.Collector) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		NewCollector(p),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, extra...)
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.scrapes.noting(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { serveReadiness(w, p.View()) })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.View()) })
	return mux, nil
}

func serveReadiness(w http.ResponseWriter, v ProcessView) {
	body := readiness{Ready: v.Ready, Connectors: make([]connectorReadiness, len(v.Connectors))}
	for i, c := range v.Connectors {
		body.Connectors[i] = connectorReadiness{Name: c.Name, State: c.State, Phase: c.Phase, Error: c.Error}
	}
	code := http.StatusOK
	if !v.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, body)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	b, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, "write status: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // an error here is the client's going away
}
