package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/tail"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

type tailCommand struct {
	kafkaFlags
	Topic string `arg:"" help:"The topic; any that a waltap source writes, or a dead-letter topic."`

	From     string `help:"Where to begin: earliest | latest | timestamp:2026-11-20T10:00:00Z | offsets:TOPIC/0=17,… (those partitions only). Default: latest; with --until-end earliest." placeholder:"START"`
	UntilEnd bool   `help:"End where the topic ends now."`
	Limit    int    `help:"End after so many records." placeholder:"N"`

	Table     []string  `help:"Only changes of these tables, namespace:table." placeholder:"TABLE"`
	RowPrefix string    `help:"Only rows that begin so; \\xNN is a byte, as in the HBase shell." placeholder:"PREFIX"`
	Op        []string  `enum:"put,update,delete" help:"Only changes of these kinds: put, update, delete." placeholder:"OP"`
	Since     time.Time `help:"Only changes written at the source at this time (RFC 3339) or later." placeholder:"TIME"`
	Until     time.Time `help:"Only changes written at the source before this time." placeholder:"TIME"`

	JSON       bool `name:"json" help:"A JSON object per record, with bytes as base64, instead of a line per cell."`
	ValueBytes int  `default:"200" help:"Bytes of a value to show, 0 for all; not with --json; default ${default}." placeholder:"N"`
}

func (cmd *tailCommand) Run(e *env) error {
	start, err := cmd.start()
	if err != nil {
		return usageError{err}
	}
	filter, err := cmd.filter()
	if err != nil {
		return usageError{err}
	}
	client, process, err := cmd.connect(e.ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	schemas, err := cmd.schemas(client, process)
	if err != nil {
		return usageError{err}
	}
	offsets, err := startOffsets(e.ctx, client, cmd.Topic, start)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(e.stdout, 64<<10)
	cfg := tail.Config{Kafka: client, Schemas: schemas, Topic: cmd.Topic, Start: offsets, UntilEnd: cmd.UntilEnd, Limit: cmd.Limit, Filter: filter, Flush: out.Flush, Notes: e.stderr,
		Printer: &tail.Text{W: out, ValueBytes: cmd.ValueBytes}}
	if cmd.JSON {
		cfg.Printer = &tail.JSON{W: out}
	}
	sum, err := tail.Run(e.ctx, cfg)
	if err != nil {
		return err
	}
	if sum.Unreadable > 0 && !filter.Empty() {
		_, err = fmt.Fprintf(e.stderr, "%d records could not be read and are not shown; without a filter they are\n", sum.Unreadable)
	}
	return err
}

// start reads --from.
func (cmd *tailCommand) start() (config.ConsumerStart, error) {
	from := config.StartLatest
	if cmd.UntilEnd {
		from = config.StartEarliest
	}
	start, err := config.ParseConsumerStart(cmp.Or(cmd.From, string(from)))
	if err == nil && start.Mode == config.StartCommitted {
		err = errors.New("there is no group whose offsets are committed")
	}
	for topic := range start.Offsets {
		if topic != cmd.Topic {
			err = fmt.Errorf("topic %s is not %s", topic, cmd.Topic)
		}
	}
	if err != nil {
		return start, fmt.Errorf("--from: %w", err)
	}
	return start, nil
}

func (cmd *tailCommand) filter() (tail.Filter, error) {
	f := tail.Filter{Ops: cmd.Op, Since: cmd.Since, Until: cmd.Until}
	for _, t := range cmd.Table {
		if err := schema.CheckTable(t); err != nil {
			return f, fmt.Errorf("--table: %w", err)
		}
		f.Tables = append(f.Tables, schema.NormalizeTable(t))
	}
	var err error
	if f.RowPrefix, err = config.ParseRow(cmd.RowPrefix); err != nil {
		return f, fmt.Errorf("--row-prefix: %w", err)
	}
	return f, nil
}

// startOffsets finds where to begin on each partition.
func startOffsets(ctx context.Context, client *kafka.Client, topic string, start config.ConsumerStart) (map[int32]int64, error) {
	low, err := client.StartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	switch start.Mode {
	case config.StartLatest:
		return client.EndOffsets(ctx, topic)
	case config.StartTimestamp:
		return client.OffsetsAt(ctx, topic, start.Time)
	case config.StartOffsets:
		high, err := client.EndOffsets(ctx, topic)
		if err != nil {
			return nil, err
		}
		for p, offset := range start.Offsets[topic] {
			if _, there := low[p]; !there {
				return nil, fmt.Errorf("--from: topic %s has no partition %d", topic, p)
			}
			if offset < low[p] || offset > high[p] {
				return nil, fmt.Errorf("--from: %s/%d holds offsets %d to %d, not %d", topic, p, low[p], high[p], offset)
			}
		}
		return start.Offsets[topic], nil
	}
	return low, nil
}

type decodeCommand struct {
	File string `arg:"" help:"A file with the value of one record; - is standard input."`
	JSON bool   `name:"json" help:"Write a JSON object, with bytes as base64."`

	registryFlags
}

func (cmd *decodeCommand) Run(e *env) error {
	schemas, err := cmd.schemas(nil, nil)
	if err != nil {
		return usageError{err}
	}
	var b []byte
	if cmd.File == "-" {
		b, err = io.ReadAll(os.Stdin)
	} else {
		b, err = os.ReadFile(cmd.File)
	}
	if err != nil {
		return fmt.Errorf("read the value: %w", err)
	}
	var c schema.Change
	if err := schemas.NewDecoder().Decode(e.ctx, "", b, &c); err != nil {
		return err
	}
	if cmd.JSON {
		return tail.DescribeJSON(e.stdout, &c)
	}
	return tail.Describe(e.stdout, &c)
}
