package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink"
)

// offsetsTimeout bounds one offsets command.
const offsetsTimeout = time.Minute

type offsetsCommands struct {
	BootstrapServer string   `help:"Kafka brokers, host:port,host:port." placeholder:"HOST:PORT"`
	Group           string   `help:"The consumer group; that of a sink connector is connect-<name> unless consumer.group.id says otherwise." placeholder:"GROUP"`
	File            string   `short:"f" help:"Take brokers, with how they are reached (security.protocol, sasl.*, ssl.*), group and topics from this configuration instead." placeholder:"FILE"`
	Connector       string   `help:"The sink connector of the configuration; not needed when there is one." placeholder:"NAME"`
	Topic           []string `help:"Only these topics. Default: those of the connector, or those the group has offsets of." placeholder:"TOPIC"`

	Get   offsetsGetCommand   `cmd:"" help:"Show where a group stands on each partition."`
	Set   offsetsSetCommand   `cmd:"" help:"Set the offsets of single partitions. The group must not run."`
	Reset offsetsResetCommand `cmd:"" help:"Move a group on all partitions. The group must not run. Topics that were created again, or got other partitions, are accepted as they are now."`

	Forget offsetsForgetCommand `cmd:"" help:"Forget topics that were deleted on purpose, so that the group goes on without them. The group must not run."`
}

type (
	offsetsGetCommand    struct{}
	offsetsForgetCommand struct{}
	offsetsSetCommand    struct {
		Offsets []string `arg:"" help:"The next offset to apply: topic/partition=offset."`
		DryRun  bool     `help:"Only show what would be done."`
	}
	offsetsResetCommand struct {
		ToEarliest  bool     `help:"To the first record." xor:"to" required:""`
		ToLatest    bool     `help:"Behind the last record." xor:"to" required:""`
		ToTimestamp string   `help:"To the first record produced to Kafka at or after this time (RFC 3339)." xor:"to" required:"" placeholder:"TIME"`
		ToOffset    []string `help:"To these offsets, topic/partition=offset; other partitions stay." xor:"to" required:"" placeholder:"OFFSET"`
		DryRun      bool     `help:"Only show what would be done."`
	}
)

// groupOffsets is a group and the partitions a command is about.
type groupOffsets struct {
	client     *kafka.Client
	group      string
	wants      func(topic string) bool // which topics are the group's; nil: not known
	partitions []kafka.TopicPartition
	committed  map[kafka.TopicPartition]int64 // -1: none
	start, end map[kafka.TopicPartition]int64
}

// open connects; done closes the connection.
func (o *offsetsCommands) open(e *env) (ctx context.Context, g *groupOffsets, done func(), err error) {
	cluster, group, wants, err := o.target()
	if err != nil {
		return nil, nil, nil, usageError{err}
	}
	ctx, cancel := context.WithTimeout(e.ctx, offsetsTimeout)
	client, err := kafka.Connect(ctx, cluster)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	g = &groupOffsets{client: client, group: group, wants: wants}
	return ctx, g, func() { client.Close(); cancel() }, nil
}

// openRead is open, and reads where the group stands.
func (o *offsetsCommands) openRead(e *env) (ctx context.Context, g *groupOffsets, done func(), err error) {
	if ctx, g, done, err = o.open(e); err != nil {
		return nil, nil, nil, err
	}
	if err := g.read(ctx, o.Topic); err != nil {
		done()
		return nil, nil, nil, err
	}
	return ctx, g, done, nil
}

// target finds the cluster, the group and, unless it is nil, which topics belong to it.
func (o *offsetsCommands) target() (cluster kafka.Config, group string, wants func(string) bool, err error) {
	if o.File == "" {
		if o.BootstrapServer == "" || o.Group == "" {
			return cluster, "", nil, errors.New("give --bootstrap-server and --group, or -f and the connector's name")
		}
		cluster.BootstrapServers = strings.Split(o.BootstrapServer, ",")
		return cluster, o.Group, nil, nil
	}
	if o.BootstrapServer != "" || o.Group != "" {
		return cluster, "", nil, errors.New("-f takes the place of --bootstrap-server and --group")
	}
	cfg, err := config.ParseFile(o.File)
	if err != nil {
		return cluster, "", nil, fmt.Errorf("read the configuration:\n%w", err)
	}
	var sinks []string
	var found *config.Sink
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		if c.Sink == nil {
			continue
		}
		sinks = append(sinks, c.Name)
		if o.Connector == "" || o.Connector == c.Name {
			found = c.Sink
		}
	}
	if len(sinks) == 0 {
		return cluster, "", nil, fmt.Errorf("%s has no connector of class %s", o.File, config.HBaseSink)
	}
	if found == nil || o.Connector == "" && len(sinks) > 1 {
		return cluster, "", nil, fmt.Errorf("say with --connector which sink of %s is meant; it has: %s", o.File, strings.Join(sinks, ", "))
	}
	return connector.KafkaConfig(cfg, nil), found.GroupID, found.MatchTopic, nil
}

func (g *groupOffsets) read(ctx context.Context, only []string) error {
	infos, err := g.client.Topics(ctx)
	if err != nil {
		return err
	}
	var all []kafka.TopicPartition
	known := make(map[string]bool)
	for _, t := range infos {
		known[t.Name] = true
		if len(only) > 0 && !slices.Contains(only, t.Name) || len(only) == 0 && g.wants != nil && !g.wants(t.Name) {
			continue
		}
		for p := range t.Partitions {
			all = append(all, kafka.TopicPartition{Topic: t.Name, Partition: p})
		}
	}
	for _, name := range only {
		if !known[name] {
			return fmt.Errorf("there is no topic %s", name)
		}
	}
	if g.committed, err = g.client.CommittedOffsets(ctx, g.group, all); err != nil {
		return err
	}
	has := make(map[string]bool)
	for tp, offset := range g.committed {
		has[tp.Topic] = has[tp.Topic] || offset >= 0
	}
	for _, tp := range all {
		if len(only) > 0 || g.wants != nil || has[tp.Topic] {
			g.partitions = append(g.partitions, tp)
		}
	}
	if len(g.partitions) == 0 {
		return fmt.Errorf("group %s has no offsets; say with --topic which topics are meant", g.group)
	}
	if g.start, err = g.offsets(ctx, g.client.StartOffsets); err != nil {
		return err
	}
	g.end, err = g.offsets(ctx, g.client.EndOffsets)
	return err
}

// offsets reads an offset of each of the partitions.
func (g *groupOffsets) offsets(ctx context.Context, read func(context.Context, string) (map[int32]int64, error)) (map[kafka.TopicPartition]int64, error) {
	found := make(map[kafka.TopicPartition]int64)
	for _, topic := range g.topics() {
		offsets, err := read(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p, offset := range offsets {
			found[kafka.TopicPartition{Topic: topic, Partition: p}] = offset
		}
	}
	return found, nil
}

// topics lists the topics of the partitions, which are sorted.
func (g *groupOffsets) topics() []string {
	var topics []string
	for _, tp := range g.partitions {
		topics = append(topics, tp.Topic)
	}
	return slices.Compact(topics)
}

func (cmd *offsetsGetCommand) Run(e *env, root *commands) error {
	ctx, g, done, err := root.Offsets.openRead(e)
	if err != nil {
		return err
	}
	defer done()
	members, err := g.client.GroupMembers(ctx, g.group)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "group %s, %d running members\n", g.group, len(members))
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITION\tCOMMITTED\tLOG START\tLOG END\tLAG")
	for _, tp := range g.partitions {
		at := g.committed[tp]
		if at < 0 {
			at = g.start[tp]
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\n", tp.Topic, tp.Partition, offsetText(g.committed[tp]), g.start[tp], g.end[tp], g.end[tp]-at)
	}
	return w.Flush()
}

func offsetText(offset int64) string {
	if offset < 0 {
		return "-"
	}
	return strconv.FormatInt(offset, 10)
}

func (cmd *offsetsSetCommand) Run(e *env, root *commands) error {
	ctx, g, done, err := root.Offsets.openRead(e)
	if err != nil {
		return err
	}
	defer done()
	next, err := g.named(cmd.Offsets)
	if err != nil {
		return err
	}
	return g.move(ctx, e.stdout, next, cmd.DryRun)
}

func (cmd *offsetsResetCommand) Run(e *env, root *commands) error {
	var at time.Time
	if cmd.ToTimestamp != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, cmd.ToTimestamp); err != nil {
			return usageError{fmt.Errorf("--to-timestamp %q is not a time: want RFC 3339, such as 2026-11-20T10:00:00Z", cmd.ToTimestamp)}
		}
		if at.UnixMilli() < 0 {
			return usageError{fmt.Errorf("--to-timestamp %s is before 1970: use --to-earliest", cmd.ToTimestamp)}
		}
	}
	ctx, g, done, err := root.Offsets.openRead(e)
	if err != nil {
		return err
	}
	defer done()
	var next map[kafka.TopicPartition]int64
	switch {
	case cmd.ToEarliest:
		next = g.start
	case cmd.ToLatest:
		next = g.end
	case len(cmd.ToOffset) > 0:
		next, err = g.named(cmd.ToOffset)
	default:
		next, err = g.offsets(ctx, func(ctx context.Context, topic string) (map[int32]int64, error) {
			return g.client.OffsetsAt(ctx, topic, at)
		})
	}
	if err != nil {
		return err
	}
	if err := g.move(ctx, e.stdout, next, cmd.DryRun); err != nil || cmd.DryRun || len(cmd.ToOffset) > 0 {
		return err
	}
	return sink.ForgetTopics(ctx, g.client, g.group, g.topics())
}

// named reads offsets of single partitions, which the logs must hold.
func (g *groupOffsets) named(args []string) (map[kafka.TopicPartition]int64, error) {
	next := make(map[kafka.TopicPartition]int64)
	for _, arg := range args {
		topic, p, offset, err := config.ParseOffset(arg)
		if err != nil {
			return nil, usageError{err}
		}
		tp := kafka.TopicPartition{Topic: topic, Partition: p}
		if !slices.Contains(g.partitions, tp) {
			return nil, fmt.Errorf("%s is none of the group's partitions; say with --topic which topics are meant", tp)
		}
		if offset < g.start[tp] || offset > g.end[tp] {
			return nil, fmt.Errorf("%s holds offsets %d to %d, not %d", tp, g.start[tp], g.end[tp], offset)
		}
		next[tp] = offset
	}
	return next, nil
}

// move commits next for the group, if it does not run, and shows before and after.
func (g *groupOffsets) move(ctx context.Context, out io.Writer, next map[kafka.TopicPartition]int64, dryRun bool) error {
	if err := g.checkStopped(ctx); err != nil {
		return err
	}
	if !dryRun {
		if err := g.client.CommitOffsets(ctx, g.group, maps.Clone(next)); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITION\tBEFORE\tAFTER\tLOG START\tLOG END")
	for _, tp := range g.partitions {
		if offset, moved := next[tp]; moved {
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\n", tp.Topic, tp.Partition, offsetText(g.committed[tp]), offset, g.start[tp], g.end[tp])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if dryRun {
		_, err := fmt.Fprintln(out, "dry run: nothing was changed")
		return err
	}
	return nil
}

// checkStopped refuses to touch a group that runs.
func (g *groupOffsets) checkStopped(ctx context.Context) error {
	members, err := g.client.GroupMembers(ctx, g.group)
	if err != nil || len(members) == 0 {
		return err
	}
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, m.ClientID+" on "+m.Host)
	}
	return fmt.Errorf("group %s has %d running members (%s): stop them first", g.group, len(members), strings.Join(hosts, ", "))
}

func (cmd *offsetsForgetCommand) Run(e *env, root *commands) error {
	topics := root.Offsets.Topic
	if len(topics) == 0 {
		return usageError{errors.New("say with --topic which topics are to be forgotten")}
	}
	ctx, g, done, err := root.Offsets.open(e)
	if err != nil {
		return err
	}
	defer done()
	if err := g.checkStopped(ctx); err != nil {
		return err
	}
	infos, err := g.client.Topics(ctx)
	if err != nil {
		return err
	}
	for _, t := range infos {
		if slices.Contains(topics, t.Name) {
			return fmt.Errorf("topic %s is there: waltap offsets reset moves the group on it", t.Name)
		}
	}
	if err := sink.ForgetTopics(ctx, g.client, g.group, topics); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "group %s has forgotten %s\n", g.group, strings.Join(topics, ", "))
	return err
}
