package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/rest"
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
func restAPI(s connector.Served) (http.Handler, error) {
	c := rest.Config{Herder: s.Herder, Process: s.Process, Loggers: s.Loggers, Next: s.Next, Log: s.Log}
	if s.Kafka != nil {
		c.Migrations = func(ctx context.Context) ([]rest.Migration, error) {
			list, err := migrate.List(ctx, s.Kafka)
			return rest.MigrationsOf(list), err
		}
	}
	return rest.New(c)
}
