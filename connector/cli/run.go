package cli

import (
	"errors"
	"fmt"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
)

type runCommand struct {
	File string `short:"f" required:"" placeholder:"FILE" help:"The configuration, YAML; docs/reference-config.yaml has every key."`
}

func (cmd *runCommand) Run(e *env) error {
	cfg, err := config.ParseFile(cmd.File)
	if err != nil {
		return usageError{fmt.Errorf("read the configuration:\n%w", err)}
	}
	if len(cfg.Connectors) == 0 {
		return usageError{errors.New("the configuration has no connectors")}
	}
	return connector.Run(e.ctx, cfg, restAPI, e.stderr)
}
