package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/tables"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
)

// schemaOpenTimeout bounds the first contact with a cluster.
const schemaOpenTimeout = 15 * time.Second

type schemaCommands struct {
	Export schemaExportCommand `cmd:"" help:"Write the definitions of tables into a file that can be edited."`
	Diff   schemaDiffCommand   `cmd:"" help:"Compare the definitions of tables with a destination. Changes nothing. Exit code 0: the same, 1: error, 2: differences."`
	Apply  schemaApplyCommand  `cmd:"" help:"Create the tables at a destination, and add to those that are there. Exit code 0: the destination is as asked for, 1: error, 2: differences are left."`
}

// schemaFrom says where the definitions of tables come from, and under what names they go.
type schemaFrom struct {
	File            string   `short:"f" placeholder:"FILE" help:"Configuration of a source and a sink: both clusters, the tables and the renames are taken from it."`
	Source          string   `placeholder:"NAME" help:"The source connector of the configuration; not needed when there is one."`
	Sink            string   `placeholder:"NAME" help:"The sink connector of the configuration; not needed when there is one."`
	Quorum          string   `placeholder:"HOST:PORT" help:"Without -f: ZooKeeper of the source, host:port,host:port."`
	Znode           string   `default:"/hbase" help:"Its root."`
	Tables          string   `placeholder:"LIST" help:"Without -f: the tables, as in table.include.list: names and regular expressions, comma separated."`
	Rename          string   `placeholder:"LIST" help:"Tables that have another name at the destination, namespace:table=namespace:table."`
	NamespaceRename string   `placeholder:"LIST" help:"Namespaces that have another name at the destination, namespace=namespace."`
	FamilyRename    string   `placeholder:"LIST" help:"Families that have another name at the destination, family=family or namespace:table:family=family."`
	Keep            []string `placeholder:"NAME" help:"Take this attribute over although it would be left out, such as 'coprocessor$$1'; '*' stands for any characters. May be repeated."`

	source *config.Source
	sink   *config.Sink
}

type schemaExportCommand struct {
	schemaFrom
	Out string `short:"o" placeholder:"FILE" help:"Write there instead of to stdout. A file that is there is not overwritten."`
}

// Help is shown by --help.
func (schemaExportCommand) Help() string {
	return `Examples:
  waltap schema export --quorum zk1:2181 --tables 'shop:.*' -o shop.yaml
  waltap schema export -f pipeline.yaml -o tables.yaml`
}

// schemaTo says what is compared with which destination.
type schemaTo struct {
	schemaFrom
	Schema   string `placeholder:"FILE" help:"The definitions, as exported and edited. Default: those of the source as it is now."`
	ToQuorum string `placeholder:"HOST:PORT" help:"Without -f: ZooKeeper of the destination."`
	ToZnode  string `default:"/hbase" help:"Its root."`
	Alter    bool   `help:"Change attributes that are there and differ."`
	Shrink   bool   `help:"With --alter: also to fewer VERSIONS and shorter TTLs, which removes cells at the destination's next major compaction."`
	JSON     bool   `name:"json" help:"Write one JSON object."`
}

type (
	schemaDiffCommand  struct{ schemaTo }
	schemaApplyCommand struct {
		schemaTo
		DryRun bool `help:"Only show what would be done; the same as diff."`
	}
)

// Help is shown by --help.
func (schemaDiffCommand) Help() string {
	return `Examples:
  waltap schema diff -f pipeline.yaml
  waltap schema diff --schema shop.yaml --to-quorum otherzk1:2181
  waltap schema diff --quorum zk1:2181 --tables 'shop:.*' --to-quorum otherzk1:2181 --json`
}

// Help is shown by --help.
func (schemaApplyCommand) Help() string {
	return `Examples:
  waltap schema apply -f pipeline.yaml --dry-run
  waltap schema apply --schema shop.yaml --to-quorum otherzk1:2181
  waltap schema apply -f pipeline.yaml --schema tables.yaml --alter`
}

// load reads the configuration, if there is one.
func (s *schemaFrom) load() error {
	if s.File == "" {
		return nil
	}
	if s.Quorum != "" || s.Tables != "" || s.Rename != "" || s.NamespaceRename != "" || s.FamilyRename != "" {
		return errors.New("-f takes the place of --quorum, --tables and the renames")
	}
	cfg, err := config.ParseFile(s.File)
	if err != nil {
		return fmt.Errorf("read the configuration:\n%w", err)
	}
	source, err := chooseConnector(cfg, "source", s.Source, func(c *config.Connector) bool { return c.Source != nil })
	if err != nil {
		return err
	}
	sink, err := chooseConnector(cfg, "sink", s.Sink, func(c *config.Connector) bool { return c.Sink != nil })
	if err != nil {
		return err
	}
	if source != nil {
		s.source = source.Source
	}
	if sink != nil {
		s.sink = sink.Sink
	}
	return nil
}

// chooseConnector is the one connector of a kind, or that of the name; nil when there is none.
func chooseConnector(cfg *config.Process, kind, name string, is func(*config.Connector) bool) (found *config.Connector, err error) {
	var names []string
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		if is(c) && (name == "" || name == c.Name) {
			found, names = c, append(names, c.Name)
		}
	}
	switch {
	case len(names) > 1:
		return nil, fmt.Errorf("the configuration has the %ss %s: choose one by --%s", kind, strings.Join(names, ", "), kind)
	case name != "" && found == nil:
		return nil, fmt.Errorf("the configuration has no %s %s", kind, name)
	}
	return found, nil
}

// selection is what is exported, and the source's cluster.
func (s *schemaFrom) selection() (sel tables.Selection, cluster admin.Config, err error) {
	if s.File != "" {
		if s.source == nil {
			return sel, cluster, errors.New("the configuration has no source: give --quorum and --tables instead of -f")
		}
		sel = tables.SelectionOf(s.source, s.sink)
		sel.Keep = s.Keep
		return sel, admin.Config{Quorum: s.source.HBase.ZooKeeperQuorum, Root: s.source.HBase.ZNodeParent}, nil
	}
	if s.Quorum == "" || s.Tables == "" {
		return sel, cluster, errors.New("give -f, or --quorum and --tables")
	}
	patterns, err := config.ParseTablePatterns(s.Tables)
	if err != nil {
		return sel, cluster, fmt.Errorf("--tables: %w", err)
	}
	filter := config.TableFilter{Include: patterns}
	sel = tables.Selection{Match: filter.Match, Named: filter.Named(), Keep: s.Keep}
	if sel.Mapping, err = s.mapping(); err != nil {
		return sel, cluster, err
	}
	return sel, admin.Config{Quorum: strings.Split(s.Quorum, ","), Root: s.Znode, Keys: admin.Keys{Quorum: "--quorum", Root: "--znode"}}, nil
}

func (s *schemaFrom) mapping() (m schema.Mapping, err error) {
	var errs [3]error
	m.Tables, errs[0] = schema.ParseRenames(s.Rename)
	m.Namespaces, errs[1] = schema.ParseNamespaceRenames(s.NamespaceRename)
	m.Families, errs[2] = schema.ParseFamilyRenames(s.FamilyRename)
	return m, errors.Join(errs[:]...)
}

// export describes the tables of the source.
func (s *schemaFrom) export(ctx context.Context) (*tables.File, error) {
	sel, cfg, err := s.selection()
	if err != nil {
		return nil, err
	}
	c, err := openCluster(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer c.Close()
	return tables.Export(ctx, c, sel)
}

func openCluster(ctx context.Context, cfg admin.Config) (*admin.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, schemaOpenTimeout)
	defer cancel()
	return admin.Open(ctx, cfg)
}

func (cmd *schemaExportCommand) Run(e *env) error {
	if err := cmd.load(); err != nil {
		return err
	}
	f, err := cmd.export(e.ctx)
	if err != nil {
		return err
	}
	text, err := f.YAML()
	if err != nil {
		return err
	}
	if cmd.Out == "" {
		_, err := e.stdout.Write(text)
		return err
	}
	out, err := os.OpenFile(cmd.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, perhaps edited: remove it, or name another file", cmd.Out)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%d tables of cluster %s (HBase %s) written to %s\n", len(f.Tables), f.Source.Cluster, f.Source.Version, cmd.Out)
	return err
}

// open reads the definitions and connects to the destination, which is to be closed.
func (s *schemaTo) open(e *env) (f *tables.File, dst *admin.Cluster, o tables.Options, err error) {
	if err := s.load(); err != nil {
		return nil, nil, o, err
	}
	if s.Shrink && !s.Alter {
		return nil, nil, o, errors.New("--shrink goes with --alter")
	}
	cfg, err := s.destination()
	if err != nil {
		return nil, nil, o, err
	}
	if s.Schema != "" {
		if s.Quorum != "" || s.Tables != "" {
			return nil, nil, o, errors.New("--schema takes the place of --quorum and --tables")
		}
		f, err = tables.ReadFile(s.Schema)
	} else {
		f, err = s.export(e.ctx)
	}
	if err != nil {
		return nil, nil, o, err
	}
	o = tables.Options{Alter: s.Alter, Shrink: s.Shrink, Keep: s.Keep}
	if s.sink != nil {
		o.Mapping = &s.sink.Mapping
	}
	if dst, err = openCluster(e.ctx, cfg); err != nil {
		return nil, nil, o, fmt.Errorf("connect to the destination: %w", err)
	}
	return f, dst, o, nil
}

func (s *schemaTo) destination() (admin.Config, error) {
	switch {
	case s.ToQuorum != "" && s.File != "":
		return admin.Config{}, errors.New("-f takes the place of --to-quorum")
	case s.ToQuorum != "":
		return admin.Config{Quorum: strings.Split(s.ToQuorum, ","), Root: s.ToZnode, Keys: admin.Keys{Quorum: "--to-quorum", Root: "--to-znode"}}, nil
	case s.File == "":
		return admin.Config{}, errors.New("give -f, or --to-quorum")
	case s.sink == nil:
		return admin.Config{}, errors.New("the configuration has no sink: give --to-quorum instead of -f")
	}
	return admin.Config{Quorum: s.sink.HBase.ZooKeeperQuorum, Root: s.sink.HBase.ZNodeParent}, nil
}

func (cmd *schemaDiffCommand) Run(e *env) error { return cmd.diff(e) }

func (s *schemaTo) diff(e *env) error {
	f, dst, o, err := s.open(e)
	if err != nil {
		return err
	}
	defer dst.Close()
	all, err := tables.Diff(e.ctx, f, dst, o)
	if err != nil {
		return err
	}
	report := schemaReport{Destination: dst.ID(), Same: !tables.Differ(all), Differences: all}
	if err := report.write(e.stdout, s.JSON); err != nil {
		return err
	}
	if !report.Same {
		return different(nil)
	}
	return nil
}

func (cmd *schemaApplyCommand) Run(e *env) error {
	if cmd.DryRun {
		return cmd.diff(e)
	}
	f, dst, o, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer dst.Close()
	report := schemaReport{Destination: dst.ID(), Done: []string{}}
	o.Log = func(text string) {
		report.Done = append(report.Done, text)
		if !cmd.JSON {
			fmt.Fprintln(e.stdout, text)
		}
	}
	all, err := tables.Apply(e.ctx, f, dst, o)
	if err != nil && !cmd.JSON {
		return err
	}
	if err != nil {
		report.Error = err.Error()
	}
	left := o.Left(all)
	report.Same, report.Differences = err == nil && len(left) == 0, all
	if !cmd.JSON {
		report.Differences = left
	}
	if err := errors.Join(err, report.write(e.stdout, cmd.JSON)); err != nil {
		return err
	}
	if len(left) > 0 {
		return different(nil)
	}
	return nil
}
