package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/source/capture"
)

// RunWorker is one of the workers of a group until ctx ends: then others go on with its tasks. An error is what keeps it from being one.
func RunWorker(ctx context.Context, cfg *config.Process, api API, stderr io.Writer) error {
	st := &status.Process{Version: Version, Started: time.Now(), Empty: true}
	loggers := newLoggers(cfg, stderr)
	p := &process{cfg: cfg, loggers: loggers, log: loggers.Logger(rootLogger), status: st, api: api, limits: newLimiters(cfg)}
	l, err := net.Listen("tcp", cfg.ListenAddress())
	if err != nil {
		return fmt.Errorf("listeners: %w", err)
	}
	id, err := completeWorker(cfg, l.Addr())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	cctx, cancel := context.WithTimeout(ctx, connectTimeout)
	client, err := kafka.Connect(cctx, KafkaConfig(cfg, p.log))
	if err == nil {
		defer client.Close()
		p.kafka = client
		p.shared.Store(client)
		p.worker, err = worker.New(cctx, p.workerConfig(id))
	}
	cancel()
	if ctx.Err() != nil { // stopped before it has begun
		return l.Close()
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	stop, err := p.serveOn(l)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer stop()
	defer p.showProgress(stderr)()
	p.log.Info("worker of a group", "group.id", cfg.GroupID, "worker", id, "config.storage.topic", cfg.Worker.ConfigTopic, "status.storage.topic", cfg.Worker.StatusTopic)
	return p.worker.Run(ctx)
}

// completeWorker fills in what the keys' defaults say, and finds the worker's id.
func completeWorker(cfg *config.Process, at net.Addr) (id string, err error) {
	cfg.Worker = cfg.WithWorkerTopics().Worker
	w := &cfg.Worker
	if w.ConfigTopic == w.StatusTopic {
		return "", fmt.Errorf("config.storage.topic and status.storage.topic are both %s: they must differ", w.ConfigTopic)
	}
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return "", fmt.Errorf("listeners: %w", err)
	}
	if ip := net.ParseIP(host); w.AdvertisedHost == "" && ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("find this machine's name: %w: set rest.advertised.host.name", err)
		}
	}
	if w.AdvertisedPort != 0 {
		port = strconv.Itoa(w.AdvertisedPort)
	}
	return net.JoinHostPort(cmp.Or(w.AdvertisedHost, host), port), nil
}

// workerConfig is what the process's worker needs; id is its own.
func (p *process) workerConfig(id string) worker.Config {
	return worker.Config{
		Process: p.cfg, Kafka: p.kafka, Version: Version, ID: id, Run: p.instance, Parse: p.parse, Control: p.control, Limits: p.setLimits, Pause: p.pauseScan,
		SetLogLevel: func(logger, level string) error { _, err := p.loggers.Set(logger, level); return err },
		Status:      p.status, Log: p.log,
	}
}

// instance runs a connector for the worker.
func (p *process) instance(ctx context.Context, c *config.Connector, st *status.Connector, o worker.Options) error {
	return p.connector(ctx, c, st, o)
}

// parse reads a connector's configuration; one of the process's file was read before.
func (p *process) parse(name string, props map[string]string) (*config.Connector, error) {
	raw := maps.Clone(props)
	delete(raw, "name")
	given := raw
	for i := range p.cfg.Connectors {
		c := &p.cfg.Connectors[i]
		if c.Name != name {
			continue
		}
		if maps.Equal(c.Raw, raw) {
			return c, nil
		}
		given = maps.Clone(raw) // without what the file says, where references are not bounded
		maps.DeleteFunc(given, func(k, v string) bool { was, ok := c.Raw[k]; return ok && was == v })
	}
	if err := p.cfg.CheckReferences(given); err != nil {
		return nil, err
	}
	return p.cfg.ParseConnector(name, props)
}

// control opens the control of a source's peer.
func (p *process) control(ctx context.Context, c *config.Connector) (worker.Control, error) {
	return capture.OpenControl(ctx, CaptureConfig(c, nil, p.log.With("connector", c.Name)))
}

// setLimits changes the speed of a scan here; false: there is none.
func (p *process) setLimits(name string, rows, bytes *int64) bool {
	l := p.limits.find(name)
	if l == nil {
		return false
	}
	limits := l.Limits()
	if rows != nil {
		limits.RowsPerSecond = *rows
	}
	if bytes != nil {
		limits.BytesPerSecond = *bytes
	}
	l.Set(limits)
	return true
}

// pauseScan lets a scan here read nothing, or go on; false: there is none.
func (p *process) pauseScan(name string, paused bool) bool {
	l := p.limits.find(name)
	if l == nil {
		return false
	}
	l.Pause(paused)
	return true
}

// herder answers the REST API; nil: there is none yet.
func (p *process) herder() herder.Herder {
	if p.worker == nil {
		return nil
	}
	return p.worker
}
