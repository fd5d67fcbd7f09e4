// Package connector runs what a configuration describes: the one place where sources, sinks, Kafka, the status and
// the HTTP port of a process are wired together.
package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/guard"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/samples"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/web"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/kafka"
)

// Version of this build; set by -ldflags -X github.com/waltap/waltap/connector.Version=…
var Version = "0.1.0-dev"

const (
	// connectTimeout bounds the first contact with Kafka.
	connectTimeout = 30 * time.Second
	// maxHeader bounds the header of a request.
	maxHeader = 64 << 10
	// httpShutdown is how long a stop waits for HTTP requests in hand.
	httpShutdown = 2 * time.Second
)

// headerTimeout and readTimeout bound how long the header of a request and the whole of it may take to come. Tests change them.
var headerTimeout, readTimeout = 5 * time.Second, 30 * time.Second

// process is one running waltap.
type process struct {
	cfg     *config.Process
	status  *status.Process
	loggers *herder.Loggers
	log     *slog.Logger
	kafka   *kafka.Client
	shared  atomic.Pointer[kafka.Client] // kafka, for the port; nil: not reached yet
	worker  *worker.Worker               // nil: of waltap run
	api     API                          // nil without worker

	limits *limiters
}

// Run runs the connectors of cfg until ctx ends, all of them have ended, or one has failed: then the others are
// stopped cleanly and its error is returned. Progress and log go to stderr.
// api, if it is not nil, serves the REST API of the connectors on the process's port.
func Run(ctx context.Context, cfg *config.Process, api API, stderr io.Writer) error {
	return RunStatus(ctx, cfg, NewStatus(cfg), api, stderr)
}

// NewStatus is the status of connectors that are about to start.
func NewStatus(cfg *config.Process) *status.Process {
	p := &status.Process{Version: Version, Started: time.Now()}
	for _, c := range cfg.Connectors {
		p.Connectors = append(p.Connectors, status.NewConnector(c.Name, string(c.Class)))
	}
	return p
}

// RunStatus is Run with the status that it keeps, a new one of cfg.
func RunStatus(ctx context.Context, cfg *config.Process, st *status.Process, api API, stderr io.Writer) error {
	loggers := newLoggers(cfg, stderr)
	p := &process{cfg: cfg, loggers: loggers, log: loggers.Logger(rootLogger), status: st, api: api, limits: newLimiters(cfg)}
	all := &together{names: make(map[string]bool)}
	c := p.workerConfig(cfg.ListenAddress())
	c.Alone, c.Ended = true, all.ended
	w, err := worker.New(ctx, c)
	if err != nil {
		return err
	}
	p.worker = w
	stop, err := p.serve()
	if err != nil {
		return err
	}
	defer stop()
	defer p.showProgress(stderr)()
	if err := p.run(ctx, all); err != nil || ctx.Err() != nil {
		return err
	}
	p.status.AwaitScrape(ctx, func() {
		p.log.Info("all connectors are at their end: waiting for Prometheus to see it, for two minutes at most")
	})
	return nil
}

// showProgress shows what the process does, on stderr or in its log, until stop, which waits for the last of it.
func (p *process) showProgress(stderr io.Writer) (stop func()) {
	progress := status.NewProgress(p.status, stderr)
	if p.cfg.LogFormat == config.LogJSON {
		progress = status.NewProgressLog(p.status, p.log)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var shown sync.WaitGroup
	shown.Go(func() {
		if err := progress.Run(ctx); err != nil {
			p.log.Error("progress cannot be shown", "error", err)
		}
	})
	return func() {
		cancel()
		shown.Wait()
	}
}

// rootLogger is the name of the process's own logger; those of connectors are below it.
const rootLogger = "waltap"

// newLoggers makes the loggers of a process, whose levels can be changed while it runs.
func newLoggers(cfg *config.Process, w io.Writer) *herder.Loggers {
	o := &slog.HandlerOptions{Level: slog.LevelDebug}
	if cfg.LogFormat == config.LogJSON {
		return herder.NewLoggers(slog.NewJSONHandler(w, o), cfg.LogLevel)
	}
	return herder.NewLoggers(slog.NewTextHandler(w, o), cfg.LogLevel)
}

// serve opens the process's port.
func (p *process) serve() (stop func(), err error) {
	l, err := net.Listen("tcp", p.cfg.ListenAddress())
	if err != nil {
		return nil, fmt.Errorf("listeners: %w", err)
	}
	if stop, err = p.serveOn(l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return stop, nil
}

// Served is what the API of a process stands on.
type Served struct {
	Herder  herder.Herder
	Process *config.Process
	Loggers *herder.Loggers
	Kafka   func() *kafka.Client // nil: not reached yet
	Samples *samples.Keeper
	Next    http.Handler // serves what is not of the API
	Log     *slog.Logger
	// Closing is told what to do when the port is closed.
	Closing func(func() error)
}

// API makes the handler of a process's port; package rest has it.
type API func(Served) (http.Handler, error)

// serveOn serves the process's port.
func (p *process) serveOn(l net.Listener) (stop func(), err error) {
	handler, err := status.NewHandler(p.status)
	if err != nil {
		return nil, err
	}
	handler = limitsHandler(p.limits.find, handler)
	if p.cfg.Profiles {
		handler = profilesHandler(handler)
	}
	var closing []func() error
	var keeper *samples.Keeper
	if h := p.herder(); h == nil || p.api == nil {
		handler = guard.New(&p.cfg.REST, p.log, handler)
	} else {
		keeper = samples.New(h)
		handler, err = p.api(Served{Herder: h, Process: p.cfg, Loggers: p.loggers, Kafka: p.shared.Load, Samples: keeper, Next: web.New(handler), Log: p.log,
			Closing: func(f func() error) { closing = append(closing, f) }})
		if err != nil {
			return nil, err
		}
		handler = web.Front(handler)
	}
	if n := p.cfg.REST.MaxConnections; n > 0 {
		l = guard.Connections(l, n, p.log)
	}
	secure, err := p.cfg.REST.TLS()
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if secure != nil {
		l, scheme = tls.NewListener(l, secure), "https://"
	}
	if guard.Open(&p.cfg.REST, l.Addr()) {
		p.log.Warn("whoever reaches the port may do everything: set rest.auth.*, or listen on 127.0.0.1 only (docs/rest.md)", "address", l.Addr().String())
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)}
	var done sync.WaitGroup
	done.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("the HTTP port is closed", "error", err)
		}
	})
	sampling, stopSampling := context.WithCancel(context.Background())
	if keeper != nil {
		done.Go(func() { keeper.Run(sampling) })
	}
	p.log.Info("serving /status, /metrics, /healthz and /readyz", "address", scheme+l.Addr().String(), "version", Version, "go", goVersion())
	if keeper != nil {
		p.log.Info("web page", "address", scheme+l.Addr().String()+web.Path)
	}
	return func() {
		stopSampling()
		ctx, cancel := context.WithTimeout(context.Background(), httpShutdown)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			srv.Close()
		}
		done.Wait()
		for _, f := range closing {
			if err := f(); err != nil {
				p.log.Warn("the HTTP port did not close cleanly", "error", err)
			}
		}
	}, nil
}

func goVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.GoVersion
	}
	return "unknown"
}

// together are the connectors of a process that ends with them.
type together struct {
	mu     sync.Mutex
	names  map[string]bool // that have not ended
	errs   []error
	cancel context.CancelCauseFunc
}

// ended notes that a connector has come to its end, or has failed: then the others are stopped.
func (t *together) ended(name string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, name)
	if err != nil {
		err = fmt.Errorf("connector %s: %w", name, err)
		t.errs = append(t.errs, err)
		t.cancel(err)
	}
	if len(t.names) == 0 {
		t.cancel(nil)
	}
}

// run connects to Kafka and runs every connector.
func (p *process) run(ctx context.Context, all *together) error {
	cctx, cancel := context.WithTimeout(ctx, connectTimeout)
	client, err := kafka.Connect(cctx, KafkaConfig(p.cfg, p.log))
	cancel()
	if err != nil {
		if ctx.Err() != nil { // stopped before it has begun
			return nil
		}
		for _, s := range p.status.Now() {
			s.Fail(err)
		}
		return err
	}
	defer client.Close()
	p.kafka = client
	p.shared.Store(client)
	p.worker.SetKafka(client)
	ctx, all.cancel = context.WithCancelCause(ctx)
	defer all.cancel(nil)
	for i := range p.cfg.Connectors {
		all.names[p.cfg.Connectors[i].Name] = true
	}
	var creating sync.WaitGroup
	var failed error
	creating.Go(func() {
		if failed = p.create(ctx); failed != nil {
			all.cancel(failed)
		}
	})
	err = p.worker.Run(ctx)
	creating.Wait()
	all.mu.Lock()
	defer all.mu.Unlock()
	return errors.Join(append(all.errs, err, failed)...)
}

// create gives the connectors of the file to the worker.
func (p *process) create(ctx context.Context) error {
	if err := p.worker.Ready(ctx); err != nil {
		return nil // it is stopped
	}
	for i := range p.cfg.Connectors {
		c := &p.cfg.Connectors[i]
		props := maps.Clone(c.Raw)
		props["name"] = c.Name
		if _, err := p.worker.Create(ctx, c.Name, props, herder.TargetRunning); err != nil && ctx.Err() == nil {
			return fmt.Errorf("connector %s: %w", c.Name, err)
		}
	}
	return nil
}

func (p *process) connector(ctx context.Context, c *config.Connector, st *status.Connector, o worker.Options) error {
	log := p.loggers.Logger(rootLogger+".connector."+c.Name).With("connector", c.Name)
	if c.Source != nil {
		return p.source(ctx, c, st, o, log)
	}
	return p.sink(ctx, c, st, log)
}
