package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/config"
)

type aclsCommand struct {
	File        string `short:"f" required:"" placeholder:"FILE" help:"The configuration."`
	Principal   string `help:"Who gets the rights. Default: the user of the configuration (sasl.username, or the subject of the certificate)." placeholder:"User:NAME"`
	TopicPrefix string `help:"The topic.prefix of the source of a sink's topics, when that source is not in the configuration." placeholder:"PREFIX"`
}

// anonymous is the principal of who does not authenticate: rights of its own would be everybody's.
const anonymous = "User:ANONYMOUS"

func (cmd *aclsCommand) Run(e *env) error {
	cfg, err := config.ParseFile(cmd.File)
	if err != nil {
		return usageError{fmt.Errorf("read the configuration:\n%w", err)}
	}
	principal := cmd.Principal
	if principal == "" {
		k := connector.KafkaConfig(cfg, nil)
		if principal = k.Principal(); principal == anonymous {
			return usageError{errors.New("the configuration has no user: say with --principal who gets the rights, such as --principal User:waltap")}
		}
	}
	var out strings.Builder
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		rights, err := acl.OfConnector(cfg, c, cmd.TopicPrefix)
		if err != nil {
			return usageError{fmt.Errorf("connector %s: %w", c.Name, err)}
		}
		fmt.Fprintf(&out, "# connector %s\n", c.Name)
		for _, r := range rights {
			fmt.Fprintln(&out, r.Command(strings.Join(cfg.BootstrapServers, ","), principal))
		}
	}
	_, err = fmt.Fprint(e.stdout, out.String())
	return err
}
