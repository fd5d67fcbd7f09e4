package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/acl"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/verify"
)

type aclsCommand struct {
	File        string `short:"f" required:"" placeholder:"FILE" help:"The configuration."`
	For         string `enum:"run,worker,verify,migrate" default:"run" help:"run: the connectors. worker: a worker of a group, whose file has none. verify: waltap verify -f and repair -f. migrate: all steps of waltap migrate, wave by wave. Default: ${default}." placeholder:"WHAT"`
	Principal   string `help:"Who gets the rights. Default: the user of the configuration (sasl.username, or the subject of the certificate)." placeholder:"User:NAME"`
	TopicPrefix string `help:"The topic.prefix of the source of a sink's topics, when that source is not in the configuration." placeholder:"PREFIX"`
	Source      string `help:"With --for verify: the source connector, when there are several." placeholder:"NAME"`
	Sink        string `help:"With --for verify: the sink connector, when there are several." placeholder:"NAME"`
}

// anonymous is the principal of who does not authenticate: rights of its own would be everybody's.
const anonymous = "User:ANONYMOUS"

func (cmd *aclsCommand) Run(e *env) error {
	parse := config.ParseFile
	if cmd.For == "worker" {
		parse = config.ParseWorkerFile
	}
	cfg, err := parse(cmd.File)
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
	var lists []rightsList
	switch cmd.For {
	case "worker":
		lists = []rightsList{{"waltap worker of group " + cfg.GroupID + ", beside its connectors", acl.OfWorker(cfg)}}
	case "verify":
		lists, err = cmd.verify(cfg)
	case "migrate":
		lists, err = migrationLists(cfg)
	default:
		lists, err = cmd.connectors(cfg)
	}
	if err != nil {
		return usageError{err}
	}
	var out strings.Builder
	for _, l := range lists {
		fmt.Fprintf(&out, "# %s\n", l.title)
		for _, r := range l.rights {
			fmt.Fprintln(&out, r.Command(strings.Join(cfg.BootstrapServers, ","), principal))
		}
	}
	_, err = fmt.Fprint(e.stdout, out.String())
	return err
}

// rightsList is what one thing needs.
type rightsList struct {
	title  string
	rights []acl.Right
}

func (cmd *aclsCommand) connectors(cfg *config.Process) (lists []rightsList, err error) {
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		rights, err := acl.OfConnector(cfg, c, cmd.TopicPrefix)
		if err != nil {
			return nil, fmt.Errorf("connector %s: %w", c.Name, err)
		}
		lists = append(lists, rightsList{"connector " + c.Name, rights})
	}
	return lists, nil
}

func (cmd *aclsCommand) verify(cfg *config.Process) ([]rightsList, error) {
	source, sink, err := verify.Pair(cfg, cmd.Source, cmd.Sink)
	if err != nil {
		return nil, err
	}
	return []rightsList{{"waltap verify -f, waltap repair -f", acl.OfVerify(source, sink)}}, nil
}

func migrationLists(cfg *config.Process) (lists []rightsList, err error) {
	m, err := migrate.New(cfg)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Waves {
		r, err := acl.OfMigration(cfg, w.Source, w.Sink)
		if err != nil {
			return nil, fmt.Errorf("wave %s: %w", w.Name, err)
		}
		of := "wave " + w.Name + ": "
		lists = append(lists, rightsList{of + "waltap migrate start", r.Start}, rightsList{of + "the other steps of waltap migrate", r.Steps},
			rightsList{of + "waltap migrate start, for cutover --reverse in addition", r.ReverseStart},
			rightsList{of + "the other steps, for cutover --reverse in addition", r.ReverseSteps})
	}
	return lists, nil
}
