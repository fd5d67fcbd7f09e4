package cli

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/rest"
	"github.com/waltap/waltap/internal/kafka"
)

type workerCommand struct {
	File string `short:"f" required:"" placeholder:"FILE" help:"The worker's configuration, YAML, without connectors: they come over REST (waltap connectors create)."`
}

func (cmd *workerCommand) Run(e *env) error {
	cfg, err := config.ParseWorkerFile(cmd.File)
	if err != nil {
		return usageError{fmt.Errorf("read the configuration:\n%w", err)}
	}
	return connector.RunWorker(e.ctx, cfg, restAPI, e.stderr)
}

// restAPI is the REST API of a process.
func restAPI(s connector.Served) (http.Handler, error) { return newAPI(s, "") }

// migrationAPI is that of a process of a migration, whose connectors are its state's to start and stop.
func migrationAPI(s connector.Served) (http.Handler, error) {
	return newAPI(s, "these connectors belong to a migration: use waltap migrate pause, resume, cutover, cleanup")
}

func newAPI(s connector.Served, lookOnly string) (http.Handler, error) {
	l := lookers{kafka: s.Kafka}
	s.Closing(l.close)
	return rest.New(rest.Config{Herder: s.Herder, Process: s.Process, Loggers: s.Loggers, Samples: s.Samples, Next: s.Next, Log: s.Log,
		LookOnly: lookOnly, Migrations: l.migrations, DeadLetters: l.deadLetters})
}

// lookers read what others have left in Kafka, from when the process has reached it.
type lookers struct {
	kafka func() *kafka.Client

	mu     sync.Mutex
	lister *migrate.Lister
}

func (l *lookers) migrations(ctx context.Context) ([]rest.Migration, error) {
	client := l.kafka()
	if client == nil {
		return nil, rest.ErrNoKafka
	}
	l.mu.Lock()
	if l.lister == nil {
		l.lister = migrate.NewLister(client)
	}
	lister := l.lister
	l.mu.Unlock()
	list, err := lister.List(ctx)
	return rest.MigrationsOf(list), err
}

func (l *lookers) deadLetters(ctx context.Context, topic, connector string, most int) (*dlq.Look, error) {
	client := l.kafka()
	if client == nil {
		return nil, rest.ErrNoKafka
	}
	return dlq.Latest(ctx, client, topic, connector, most)
}

func (l *lookers) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lister == nil {
		return nil
	}
	return l.lister.Close()
}
