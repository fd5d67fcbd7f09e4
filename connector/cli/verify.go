package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/verify"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/scan"
)

// endsFlags say which two clusters, which tables, and what of them.
type endsFlags struct {
	File   string `short:"f" help:"Take the two ends, the tables, renames and filters from this configuration, and what the target must have from its watermarks." placeholder:"FILE"`
	Source string `help:"With -f: the source connector, when there are several." placeholder:"NAME"`
	Sink   string `help:"With -f: the sink connector, when there are several." placeholder:"NAME"`

	SourceQuorum string `help:"Without -f: ZooKeeper of the source, host:port,host:port." placeholder:"HOST:PORT"`
	SourceZnode  string `help:"Its root." default:"/hbase"`
	TargetQuorum string `help:"ZooKeeper of the target." placeholder:"HOST:PORT"`
	TargetZnode  string `help:"Its root." default:"/hbase"`

	Table        []string `help:"Tables, namespace:table, or namespace:table=namespace:table when it has another name at the target. With -f: only these of the configuration's." placeholder:"TABLE"`
	FamilyRename string   `help:"Without -f: families that have another name at the target, as hbase.family.rename." placeholder:"FROM=TO"`
	Family       []string `help:"Only these families, named as at the source." placeholder:"FAMILY"`
	RowStart     string   `help:"Only rows from this one on; \\xNN is a byte, as in the HBase shell." placeholder:"ROW"`
	RowStop      string   `help:"Only rows before this one." placeholder:"ROW"`
	MinTime      string   `help:"Only cells with this timestamp or a later one: RFC 3339, or ms." placeholder:"TIME"`
	MaxTime      string   `help:"Only cells with an earlier timestamp." placeholder:"TIME"`
	Visible      bool     `help:"Compare what a client sees, not versions that are hidden and delete markers. For ends that cannot scan raw."`
	Versions     int      `help:"With --visible: so many versions of a column; 0 for all that are kept." placeholder:"N"`

	RecheckFor       time.Duration `help:"How long a row must go on differing before it counts, where no watermark proves that the target has caught up." default:"30s"`
	WatermarkTimeout time.Duration `help:"How long the watermark and the sink's offsets may stand still." default:"10m"`
	NoWatermark      bool          `help:"With -f, when the pipeline is stopped: no watermark will come, so read rows that differ again for --recheck-for."`
	NoRecheck        bool          `help:"Count rows that differ at first sight. Gives false alarms on tables that are written to."`

	Parallel         int   `help:"Ranges of rows compared at once; default ${default}." default:"4" placeholder:"N"`
	MaxRowsPerSecond int64 `help:"Hold the reading back, at each end; 0: no limit." placeholder:"N"`
	MaxMBPerSecond   int64 `name:"max-mb-per-second" help:"The same in MiB." placeholder:"N"`

	Out        string `short:"o" help:"Write a line of JSON for each difference to this file." placeholder:"FILE"`
	Exceptions bool   `help:"Also for those that leave a row good (docs/verify.md)."`
	Report     string `help:"Write the report as JSON to this file, for --changed-since of a later pass." placeholder:"FILE"`
	JSON       bool   `name:"json" help:"Write the report as JSON to standard output."`
	Quiet      bool   `short:"q" help:"Show no progress."`
}

type verifyCommand struct {
	endsFlags `embed:""`

	Sample       float64 `help:"Compare a part only: a ratio between 0 and 1." placeholder:"RATIO"`
	SampleBy     string  `help:"regions: read only that part of the regions. rows: read all, compare that part of the rows." enum:"regions,rows" default:"regions"`
	Hash         bool    `help:"Compare hashes of ranges of rows, and rows only where those differ."`
	HashRows     int     `help:"Rows of such a range; default ${default}." default:"8192" placeholder:"N"`
	ChangedSince string  `help:"Compare only rows whose keys appear in the topics since: the report of an earlier pass (--report), or a time (RFC 3339). Needs -f." placeholder:"FILE|TIME"`

	MaxBadRows int64 `help:"Stop when so many rows are bad; 0: never." placeholder:"N"`

	State  string `help:"Keep the progress in this file, so that --resume can go on from it." placeholder:"FILE"`
	Resume bool   `help:"Go on where the comparison of --state was ended, with the same flags; begin it when there is none."`
}

// setUp makes Options of the flags; done closes what they hold.
func (f *endsFlags) setUp(e *env) (o verify.Options, done func(), err error) {
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	done = func() {}
	if f.File != "" {
		o, done, err = f.fromFile(e.ctx, log)
	} else {
		o, err = f.fromFlags(log)
	}
	if err != nil {
		return o, done, err
	}
	if err := f.narrow(&o); err != nil {
		done()
		return o, func() {}, err
	}
	o.RecheckFor, o.WatermarkTimeout, o.NoRecheck = f.RecheckFor, f.WatermarkTimeout, f.NoRecheck
	if f.NoWatermark && o.Pipeline != nil {
		o.Pipeline.NoWatermark = true
	}
	o.Parallel, o.Limits = f.Parallel, scan.Limits{RowsPerSecond: f.MaxRowsPerSecond, BytesPerSecond: f.MaxMBPerSecond << 20}
	o.DifferencesFile, o.Exceptions, o.Log = f.Out, f.Exceptions, log
	if !f.Quiet {
		o.Progress = func(p verify.Progress) { showVerify(e.stderr, &p) }
	}
	return o, done, nil
}

// fromFlags is for two clusters without a pipeline.
func (f *endsFlags) fromFlags(log *slog.Logger) (o verify.Options, err error) {
	if f.SourceQuorum == "" || f.TargetQuorum == "" || len(f.Table) == 0 {
		return o, errors.New("give -f, or --source-quorum, --target-quorum and --table")
	}
	o.Source = admin.Config{Quorum: strings.Split(f.SourceQuorum, ","), Root: f.SourceZnode, Logger: log, Keys: admin.Keys{Quorum: "--source-quorum", Root: "--source-znode"}}
	o.Target = admin.Config{Quorum: strings.Split(f.TargetQuorum, ","), Root: f.TargetZnode, Logger: log, Keys: admin.Keys{Quorum: "--target-quorum", Root: "--target-znode"}}
	var pairs []string
	for _, t := range f.Table {
		from, _, renamed := strings.Cut(t, "=")
		if err := schema.CheckTable(from); err != nil {
			return o, fmt.Errorf("--table: %w", err)
		}
		o.Tables = append(o.Tables, schema.NormalizeTable(from))
		if renamed {
			pairs = append(pairs, t)
		}
	}
	if o.Mapping.Tables, err = schema.ParseRenames(strings.Join(pairs, ",")); err != nil {
		return o, fmt.Errorf("--table: %w", err)
	}
	if f.FamilyRename != "" {
		if o.Mapping.Families, err = schema.ParseFamilyRenames(f.FamilyRename); err != nil {
			return o, fmt.Errorf("--family-rename: %w", err)
		}
	}
	return o, nil
}

// fromFile is for the two ends of a pipeline.
func (f *endsFlags) fromFile(ctx context.Context, log *slog.Logger) (o verify.Options, done func(), err error) {
	done = func() {}
	if f.SourceQuorum != "" || f.TargetQuorum != "" || f.FamilyRename != "" {
		return o, done, errors.New("-f names the two ends and what is renamed: --source-quorum, --target-quorum and --family-rename do not go with it")
	}
	cfg, err := config.ParseFile(f.File)
	if err != nil {
		return o, done, fmt.Errorf("read the configuration:\n%w", err)
	}
	if len(cfg.Migration.Waves) > 0 {
		return o, done, errors.New("the file is of a migration in waves, whose connectors have names of their own: waltap migrate verify --wave, waltap migrate repair --wave")
	}
	if o, err = verify.FromConfig(cfg, f.Source, f.Sink, log); err != nil {
		return o, done, err
	}
	for _, t := range f.Table {
		if strings.Contains(t, "=") {
			return o, done, fmt.Errorf("--table %s: with -f the configuration says what is renamed", t)
		}
		t = schema.NormalizeTable(t)
		if !o.Select(t) {
			return o, done, fmt.Errorf("--table %s: the configuration's source does not capture it, or its sink does not read its topic", t)
		}
		o.Tables = append(o.Tables, t)
	}
	cctx, cancel := context.WithTimeout(ctx, kafkaConnectTimeout)
	defer cancel()
	client, err := kafka.Connect(cctx, connector.KafkaConfig(cfg, nil))
	if err != nil {
		return o, done, err
	}
	found := cfg.Registry()
	registry, err := connector.OpenRegistry(&found, log)
	if err != nil {
		client.Close()
		return o, done, err
	}
	o.Pipeline.Kafka, o.Pipeline.Schemas = client, sink.NewSchemas(client, registry)
	return o, func() {
		if registry != nil {
			registry.Close()
		}
		client.Close()
	}, nil
}

// narrow takes over what of the tables is compared.
func (f *endsFlags) narrow(o *verify.Options) (err error) {
	if o.RowStart, err = config.ParseRow(f.RowStart); err != nil {
		return fmt.Errorf("--row-start: %w", err)
	}
	if o.RowStop, err = config.ParseRow(f.RowStop); err != nil {
		return fmt.Errorf("--row-stop: %w", err)
	}
	for _, t := range []struct {
		flag, text string
		to         *int64
	}{{"--min-time", f.MinTime, &o.MinTimestamp}, {"--max-time", f.MaxTime, &o.MaxTimestamp}} {
		if *t.to, err = parseMoment(t.text); err != nil {
			return fmt.Errorf("%s: %w", t.flag, err)
		}
	}
	o.Families, o.Visible, o.Versions = f.Family, f.Visible, f.Versions
	return nil
}

// parseMoment reads a time, RFC 3339 or ms; "" is 0.
func parseMoment(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a time such as 2026-11-20T10:00:00Z nor a number of ms", s)
	}
	return t.UnixMilli(), nil
}

func (cmd *verifyCommand) Run(e *env) error {
	o, done, err := cmd.setUp(e)
	if err != nil {
		return err
	}
	defer done()
	if err := cmd.mode(e.ctx, &o); err != nil {
		return err
	}
	o.StateFile, o.Resume, o.MaxBadRows = cmd.State, cmd.Resume, cmd.MaxBadRows
	r, err := verify.Run(e.ctx, o)
	if err != nil {
		if cmd.State != "" {
			return fmt.Errorf("%w\n(--resume goes on from %s)", err, cmd.State)
		}
		return err
	}
	return cmd.finish(e, r)
}

// mode takes over what is chosen of the rows.
func (cmd *verifyCommand) mode(ctx context.Context, o *verify.Options) error {
	chosen := 0
	if cmd.Sample != 0 {
		chosen++
		o.Mode, o.SampleRatio = verify.SampleRegions, cmd.Sample
		if cmd.SampleBy == "rows" {
			o.Mode = verify.SampleRows
		}
	}
	if cmd.Hash {
		chosen++
		o.Mode, o.HashRows = verify.Hash, cmd.HashRows
	}
	if cmd.ChangedSince != "" {
		chosen++
		o.Mode = verify.Changed
		if o.Pipeline == nil {
			return errors.New("--changed-since needs -f: the pipeline's topics name the rows")
		}
		var err error
		if o.ChangedSince, err = cmd.since(ctx, o); err != nil {
			return fmt.Errorf("--changed-since: %w", err)
		}
	}
	if chosen > 1 {
		return errors.New("--sample, --hash and --changed-since exclude each other")
	}
	return nil
}

// since reads --changed-since.
func (cmd *verifyCommand) since(ctx context.Context, o *verify.Options) (verify.Offsets, error) {
	if t, err := time.Parse(time.RFC3339, cmd.ChangedSince); err == nil {
		return o.Pipeline.OffsetsAt(ctx, t)
	}
	b, err := os.ReadFile(cmd.ChangedSince)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a time nor a report that can be read: %w", cmd.ChangedSince, err)
	}
	var r verify.Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the report %s: %w", cmd.ChangedSince, err)
	}
	if len(r.Since) == 0 {
		return nil, fmt.Errorf("the report %s is not of a pass with -f", cmd.ChangedSince)
	}
	if r.Mode == verify.SampleRows || r.Mode == verify.SampleRegions {
		return nil, fmt.Errorf("the report %s is of a sample: the rows that it left out are not known to be good", cmd.ChangedSince)
	}
	if !r.Clean() {
		return nil, fmt.Errorf("the report %s is of a pass with %d bad rows: repair them and compare in full, for a pass of changed rows does not look at them", cmd.ChangedSince, r.BadRows)
	}
	return r.Since, nil
}

// finish shows the report, and says by its error what it has found.
func (f *endsFlags) finish(e *env, r *verify.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if f.Report != "" {
		if err := os.WriteFile(f.Report, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if f.JSON {
		_, err = fmt.Fprintln(e.stdout, string(b))
	} else {
		err = printReport(e.stdout, r)
	}
	if err != nil {
		return err
	}
	if !r.Clean() {
		if r.Stopped {
			return different(fmt.Errorf("%d of %d rows differ; the rest was not compared (--max-bad-rows)", r.BadRows, r.Rows()))
		}
		return different(fmt.Errorf("%d of %d rows differ", r.BadRows, r.Rows()))
	}
	return nil
}

// printReport writes what was counted, in the words of HBase's VerifyReplication where it has them.
func printReport(w io.Writer, r *verify.Report) error {
	var b strings.Builder
	for i := range r.Tables {
		t := &r.Tables[i]
		fmt.Fprintf(&b, "%s\n", tableTitle(t))
		printCounts(&b, &t.Counts)
	}
	if len(r.Tables) > 1 {
		fmt.Fprintf(&b, "all %d tables\n", len(r.Tables))
		printCounts(&b, &r.Counts)
	}
	how := "read again for some time"
	if r.Proved {
		how = "read again behind the watermark"
	}
	fmt.Fprintf(&b, "%s in %s; rows that differed were %s\n", r.Mode, r.Ended.Sub(r.Started).Round(100*time.Millisecond), how)
	if r.Stopped {
		fmt.Fprintf(&b, "stopped early: the counts are of what was compared until then\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func tableTitle(t *verify.TableReport) string {
	if t.Table == t.Target {
		return t.Table
	}
	return t.Table + " = " + t.Target
}

func printCounts(b *strings.Builder, c *verify.Counts) {
	for _, l := range []struct {
		name   string
		n      int64
		always bool
	}{
		{"GOODROWS", c.GoodRows, true}, {"BADROWS", c.BadRows, true}, {"ONLY_IN_SOURCE_TABLE_ROWS", c.OnlyInSourceRows, false},
		{"ONLY_IN_TARGET_TABLE_ROWS", c.OnlyInTargetRows, false}, {"CONTENT_DIFFERENT_ROWS", c.ContentDifferentRows, false},
		{"rows not in the sample", c.SkippedRows, false}, {"rows read again", c.RecheckedRows, false}, {"of them equal then", c.SettledRows, false},
		{"rows good but for exceptions", c.ExceptedRows, false}, {"cells read at the source", c.Cells, false},
	} {
		if l.n > 0 || l.always {
			fmt.Fprintf(b, "  %s=%d\n", l.name, l.n)
		}
	}
	for _, k := range verify.Kinds {
		if n := c.Differences[k]; n > 0 {
			fmt.Fprintf(b, "  difference %s=%d\n", k, n)
		}
	}
	for _, x := range slices.Sorted(maps.Keys(c.Exceptions)) {
		fmt.Fprintf(b, "  exception %s=%d\n", x, c.Exceptions[x])
	}
}

// showVerify writes a line of progress.
func showVerify(w io.Writer, p *verify.Progress) {
	line := fmt.Sprintf("%s: %d rows, %d bad, %d/s, %.1f MiB/s, range %d of %d", p.Phase, p.Rows(), p.BadRows, p.RowsSecond, float64(p.BytesSecond)/(1<<20), p.RangesDone, p.Ranges)
	if p.Fraction > 0 {
		line += fmt.Sprintf(", %.0f%%", 100*p.Fraction)
	}
	if p.Waiting > 0 {
		line += fmt.Sprintf("; %d rows differed and are read again", p.Waiting)
		if p.WaitingFor != "" {
			line += ", waiting for " + p.WaitingFor
		}
	}
	fmt.Fprintln(w, line)
}
