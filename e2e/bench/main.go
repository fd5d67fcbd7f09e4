// Command bench measures waltap on real servers, side by side with what it is to be compared with: both sides in one run,
// alternating, several rounds. It prints a table, and writes it with everything it comes from as JSON and into
// docs/performance.md.
//
//	make bench                              all lines at full size (about 25 minutes)
//	make bench RUN=wal-kafka ROUNDS=3 SCALE=0.2   some lines, smaller: a table, and nothing written to docs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
)

// options are the command line.
type options struct {
	run      *regexp.Regexp
	rounds   int
	scale    float64
	profiles string
	json     string
	markdown string
	strict   bool
	aa       bool
	keys     keys // of waltap's sources, beside what the lines set
}

func main() {
	var o options
	run := flag.String("run", ".", "lines to run: a regular expression over their names and shapes, such as wal-kafka/100")
	flag.IntVar(&o.rounds, "rounds", 4, "rounds of each line that count, three quarters or half of them for long ones; one more comes before them")
	flag.Float64Var(&o.scale, "scale", 1, "size of the tables, 1 is the stated one")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU and heap profiles, taken in rounds of their own")
	flag.StringVar(&o.json, "json", "", "file for the result as JSON")
	flag.StringVar(&o.markdown, "markdown", "", "file whose generated section is written anew")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a gate is not reached, or A/A differs too much")
	flag.BoolVar(&o.aa, "aa", true, "measure A/A and the control before all else; without them nothing tells how far ratios can be trusted")
	flag.Func("key", "a further `key=value` of waltap's sources, such as producer.override.compression.type=lz4; may be repeated", func(v string) error {
		k, value, ok := strings.Cut(v, "=")
		if !ok {
			return errors.New("want key=value")
		}
		if o.keys == nil {
			o.keys = make(keys)
		}
		o.keys[k] = value
		return nil
	})
	list := flag.Bool("list", false, "list the lines and end")
	flag.Parse()
	if *list {
		for _, l := range lines {
			fmt.Println(l.name())
		}
		return
	}
	var err error
	if o.run, err = regexp.Compile(*run); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -run:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	rep, err := measure(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if o.strict && !rep.passed() {
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	env        *testenv.Env
	options    options
	scale      float64
	rounds     int // of the line that is measured
	warmUp     int // rounds of it that are not counted
	kafkaWarm  bool
	targetWarm bool               // the destination
	started    []*servers.Process // waltap's
	disturbed  int                // rounds of it that were left out
	idleWait   time.Duration
	profiles   string
	binary     string
	names      *atomic.Int64
	report     *Report
}

// warmUp is how many rounds are not counted: JVMs compile what they run, files come into the page cache.
const warmUp = 1

// warmUps are those of a line that writes to Kafka. Its first one has three, as A/A has for HBase: a broker takes 2.8 CPU seconds for
// its first million records and 1.3 for its tenth, as it compiles what it runs.
func (b *bench) warmUps() int {
	n := b.warmUp
	if !b.kafkaWarm {
		n *= 3
	}
	b.kafkaWarm = true
	return n
}

// targetWarmUps are those of a line that writes to the destination: the first one has two. Native replication's first million cells took
// twice the time of its second.
func (b *bench) targetWarmUps() int {
	n := b.warmUp
	if !b.targetWarm {
		n *= 2
	}
	b.targetWarm = true
	return n
}

// settings of the servers beyond those that the end-to-end tests have: room for the size, and no compaction in the
// middle of a round.
var (
	sourceSite = map[string]string{
		"hbase.regionserver.handler.count":  "30",        // HBase's default
		"hbase.regionserver.hlog.blocksize": "268435456", // as on HDFS with its default blocks: WALs of 128 MiB
		"hbase.regionserver.msginterval":    "3000",      // HBase's default; each report prints the calls under way as text
		"hbase.hstore.compaction.min":       "1000",
		"hbase.hregion.majorcompaction":     "0",
		"hbase.hstore.blockingStoreFiles":   "1000",
	}
	heapMB, kafkaHeapMB = 3072, 1024
)

func measure(ctx context.Context, o options) (rep *Report, err error) {
	b := &bench{options: o, scale: o.scale, warmUp: warmUp, idleWait: idleWait, profiles: o.profiles, names: new(atomic.Int64)}
	if b.profiles != "" {
		if b.profiles, err = filepath.Abs(b.profiles); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	if o.markdown != "" {
		if err := checkPage(o.markdown); err != nil {
			return nil, err
		}
	}
	rep = &Report{Command: command(), Started: time.Now().UTC().Truncate(time.Second), Machine: machine(), Scale: o.scale, Rounds: o.rounds}
	b.report = rep
	if b.binary, err = testenv.Build(ctx, testenv.BuildOptions{}); err != nil {
		return nil, err
	}
	b.step("starting two HBase clusters and a Kafka")
	b.env, err = testenv.Start(ctx, testenv.Options{
		Kafka: true, Destination: true, Steady: true, HeapMB: heapMB, KafkaHeapMB: kafkaHeapMB,
		SourceSite: sourceSite, DestinationSite: sourceSite,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		failed := err != nil && ctx.Err() == nil
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if failed {
			fmt.Fprintln(os.Stderr, "bench: logs are kept in", b.env.Dir)
		}
		err = errors.Join(err, b.env.Close(cctx, failed))
	}()
	if rep.Versions, err = versions(ctx); err != nil {
		return nil, err
	}
	fmt.Print(rep.head())
	chosen := slices.DeleteFunc(slices.Clone(lines), func(l lineSpec) bool { return !o.run.MatchString(l.name()) && !(l.always && o.aa) })
	left := newForecast(chosen, o)
	for i, l := range chosen {
		b.step("%d of %d: %s, %s", i+1, len(chosen), l.name(), left.text())
		if lerr := b.line(ctx, &l); lerr != nil {
			if ctx.Err() != nil {
				fmt.Print(rep.table()) // of the lines that are done; no file
				return nil, fmt.Errorf("%s: %w", l.name(), lerr)
			}
			// The others are worth having, and say that one is not there.
			lerr = fmt.Errorf("%s: %w", l.name(), lerr)
			b.step("  FAILED: %v", lerr)
			rep.Failed = append(rep.Failed, l.name())
			err = errors.Join(err, lerr, b.abandon())
		}
		left.done(&l)
	}
	rep.Took = time.Since(rep.Started).Seconds()
	return rep, errors.Join(err, rep.write(o.json, o.markdown))
}

// line measures one line, and adds what comes of it to the report.
func (b *bench) line(ctx context.Context, l *lineSpec) error {
	b.rounds, b.disturbed = l.rounds(b.options.rounds), 0
	loadBefore := load()
	got, err := l.run(ctx, b, l.shape)
	for i := range got {
		got[i].LoadBefore, got[i].LoadAfter, got[i].Disturbed = loadBefore, load(), b.disturbed
		b.report.add(got[i])
		b.step("  %s", b.report.Lines[len(b.report.Lines)-1].short())
	}
	return err
}

func versions(ctx context.Context) (v Versions, err error) {
	hbase, err := servers.HBaseJars(ctx)
	if err != nil {
		return v, err
	}
	kafka, err := servers.KafkaJars(ctx)
	if err != nil {
		return v, err
	}
	return Versions{
		HBase: jarVersion(hbase, "hbase-server"), Kafka: jarVersion(kafka, "kafka-clients"), Java: javaVersion(ctx), Go: goVersion(), Commit: commit(ctx),
	}, nil
}

// command is how to run this again.
func command() string {
	c := "make bench"
	for _, a := range os.Args[1:] {
		name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case !ok || value == "":
		case name == "run" && value != ".":
			c += " RUN='" + value + "'"
		case name == "rounds" && value != "4", name == "scale" && value != "1", name == "profile":
			c += " " + strings.ToUpper(name) + "=" + value
		}
	}
	return c
}

// name returns a name that was not given before, for tables, peers, topics and groups.
func (b *bench) name(kind string) string { return fmt.Sprintf("%s%d", kind, b.names.Add(1)) }

func (b *bench) step(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
