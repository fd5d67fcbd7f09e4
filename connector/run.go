// Package connector runs what a configuration describes: the one place where sources, sinks, Kafka, the status and
// the HTTP port of a process are wired together.
package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/scan"
)

// Version of this build; set by -ldflags -X github.com/waltap/waltap/connector.Version=…
var Version = "0.1.0-dev"

const (
	// connectTimeout bounds the first contact with Kafka.
	connectTimeout = 10 * time.Second
	// httpShutdown is how long a stop waits for HTTP requests in hand.
	httpShutdown = 2 * time.Second
)

// process is one running waltap.
type process struct {
	cfg    *config.Process
	status *status.Process
	log    *slog.Logger
	kafka  *kafka.Client
	limits map[string]*scan.Limiter // of the sources' scans, by connector
}

// Run runs the connectors of cfg until ctx ends, all of them have ended, or one has failed: then the others are
// stopped cleanly and its error is returned. Progress and log go to stderr.
func Run(ctx context.Context, cfg *config.Process, stderr io.Writer) error {
	p := &process{cfg: cfg, log: newLogger(cfg, stderr), status: &status.Process{Version: Version, Started: time.Now()}, limits: newLimits(cfg)}
	for _, c := range cfg.Connectors {
		p.status.Connectors = append(p.status.Connectors, status.NewConnector(c.Name, string(c.Class)))
	}
	stop, err := p.serve()
	if err != nil {
		return err
	}
	defer stop()
	progress := status.NewProgress(p.status, stderr)
	if cfg.LogFormat == config.LogJSON {
		progress = status.NewProgressLog(p.status, p.log)
	}
	pctx, cancel := context.WithCancel(context.Background())
	var shown sync.WaitGroup
	shown.Go(func() {
		if err := progress.Run(pctx); err != nil {
			p.log.Error("progress cannot be shown", "error", err)
		}
	})
	defer shown.Wait()
	defer cancel()
	return p.run(ctx)
}

func newLogger(cfg *config.Process, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve opens the process's port.
func (p *process) serve() (stop func(), err error) {
	handler, err := status.NewHandler(p.status)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", p.cfg.ListenAddress())
	if err != nil {
		return nil, fmt.Errorf("listeners: %w", err)
	}
	handler = limitsHandler(p.limits, handler)
	if p.cfg.Profiles {
		handler = profilesHandler(handler)
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	var done sync.WaitGroup
	done.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the HTTP port is closed", "error", err)
		}
	})
	p.log.Info("serving /status, /metrics, /healthz and /readyz", "address", "http://"+l.Addr().String(), "version", Version, "go", goVersion())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpShutdown)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			srv.Close()
		}
		done.Wait()
	}, nil
}

func goVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.GoVersion
	}
	return "unknown"
}

// run connects to Kafka and runs every connector.
func (p *process) run(ctx context.Context) error {
	cctx, cancel := context.WithTimeout(ctx, connectTimeout)
	client, err := kafka.Connect(cctx, KafkaConfig(p.cfg, p.log))
	cancel()
	if err != nil {
		for _, s := range p.status.Connectors {
			s.Fail(err)
		}
		return err
	}
	defer client.Close()
	p.kafka = client
	ctx, cancelAll := context.WithCancelCause(ctx)
	defer cancelAll(nil)
	errs := make([]error, len(p.cfg.Connectors))
	var all sync.WaitGroup
	for i := range p.cfg.Connectors {
		all.Go(func() {
			c, st := &p.cfg.Connectors[i], p.status.Connectors[i]
			if err := p.connector(ctx, c, st); err != nil {
				errs[i] = fmt.Errorf("connector %s: %w", c.Name, err)
				st.Fail(err)
				cancelAll(errs[i])
				return
			}
			st.Set(status.Stopped, "")
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (p *process) connector(ctx context.Context, c *config.Connector, st *status.Connector) error {
	log := p.log.With("connector", c.Name)
	if c.Source != nil {
		return p.source(ctx, c, st, log)
	}
	return p.sink(ctx, c, st, log)
}
