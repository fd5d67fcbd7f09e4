package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/dlq"
	"github.com/waltap/waltap/connector/tail"
	"github.com/waltap/waltap/internal/kafka"
)

type dlqCommands struct {
	kafkaFlags
	Topic     string `help:"The dead-letter topic. Default: that of the connectors of the configuration." placeholder:"TOPIC"`
	Connector string `help:"Only dead letters of this connector." placeholder:"NAME"`

	List   dlqListCommand   `cmd:"" help:"List the records of a dead-letter topic, with the reason of each."`
	Replay dlqReplayCommand `cmd:"" help:"Put dead letters back to the partition they were taken from, once their reason is mended."`
}

type (
	dlqListCommand struct {
		From string `name:"from-topic" help:"Only records that were on this topic." placeholder:"TOPIC"`
		Full bool   `help:"Show reasons in full."`
		JSON bool   `name:"json" help:"A JSON object per record, with bytes as base64."`
	}
	dlqReplayCommand struct {
		Entries    []string `arg:"" optional:"" help:"Which ones, as waltap dlq list shows them. Default: all that were not put back yet."`
		From       string   `name:"from-topic" help:"Only records that were on this topic." placeholder:"TOPIC"`
		Again      bool     `help:"Also those that were put back before."`
		Unreadable bool     `help:"Also those that this waltap cannot read."`
		DryRun     bool     `help:"Only show what would be done."`
	}
)

// open connects to the dead-letter topic that is meant.
func (d *dlqCommands) open(e *env, replay bool) (*kafka.Client, *dlq.Queue, error) {
	client, cfg, err := d.connect(e.ctx)
	if err != nil {
		return nil, nil, err
	}
	topic, err := d.topic(cfg)
	schemas, serr := d.schemas(client, cfg)
	if err = errors.Join(err, serr); err == nil {
		var q *dlq.Queue
		if q, err = dlq.Open(e.ctx, client, schemas, topic, replay); err == nil {
			return client, q, nil
		}
	}
	return nil, nil, errors.Join(err, client.Close())
}

func (d *dlqCommands) topic(cfg *config.Process) (string, error) {
	if d.Topic != "" {
		return d.Topic, nil
	}
	var topics []string
	for i := range cfg.Connectors {
		c := &cfg.Connectors[i]
		var topic string
		if c.Source != nil {
			topic = c.Source.Errors.DeadLetterTopic
		} else {
			topic = c.Sink.Errors.DeadLetterTopic
		}
		if topic != "" && (d.Connector == "" || d.Connector == c.Name) && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	if len(topics) != 1 {
		return "", usageError{fmt.Errorf("say with --topic which dead-letter topic is meant; the configuration has %d: %s", len(topics), strings.Join(topics, ", "))}
	}
	return topics[0], nil
}

func (cmd *dlqListCommand) Run(e *env, root *commands) (err error) {
	client, q, err := root.Dlq.open(e, false)
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, q.Close()) }()
	show, end := cmd.printer(e.stdout)
	err = q.Each(e.ctx, func(x *dlq.Entry) error {
		if root.Dlq.Connector != "" && x.Connector != root.Dlq.Connector || cmd.From != "" && x.Topic != cmd.From {
			return nil
		}
		return show(x)
	})
	return errors.Join(err, end())
}

func (cmd *dlqListCommand) printer(out io.Writer) (show func(*dlq.Entry) error, end func() error) {
	if cmd.JSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(x *dlq.Entry) error { return enc.Encode(newEntryJSON(x)) }, func() error { return nil }
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, err := fmt.Fprintln(w, "ENTRY\tRECORD\tKEY\tCONNECTOR\tSTAGE\tSTATE\tREASON")
	return func(x *dlq.Entry) error {
		_, werr := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", x.ID, place(x), tail.Escape(x.Key), dash(x.Connector), dash(x.Stage), state(x), cmd.reason(x.Message))
		return errors.Join(err, werr)
	}, w.Flush
}

// place is where the record of a dead letter was.
func place(x *dlq.Entry) string {
	switch {
	case x.Topic == "":
		return "-"
	case x.Offset < 0: // a source's: it never was there
		return x.Topic
	}
	return fmt.Sprintf("%s/%d/%d", x.Topic, x.Partition, x.Offset)
}

func state(x *dlq.Entry) string {
	switch {
	case !x.Replayed.IsZero():
		return "put back " + x.Replayed.Format(time.RFC3339)
	case x.Before != "":
		return "failed again"
	case x.Fault != nil:
		return "unreadable"
	}
	return "-"
}

// reason is the first line of a message, and not too much of that.
func (cmd *dlqListCommand) reason(message string) string {
	const most = 200
	message = strings.ReplaceAll(message, "\t", " ")
	if cmd.Full {
		return dash(strings.ReplaceAll(message, "\n", " | "))
	}
	line, _, more := strings.Cut(message, "\n")
	if runes := []rune(line); len(runes) > most {
		line, more = string(runes[:most]), true
	}
	if more {
		line += " …"
	}
	return dash(line)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type entryJSON struct {
	Entry      string `json:"entry"`
	Topic      string `json:"topic"`
	Partition  int32  `json:"partition"`
	Offset     int64  `json:"offset"`
	Connector  string `json:"connector"`
	Stage      string `json:"stage"`
	Exception  string `json:"exception"`
	Reason     string `json:"reason"`
	Unreadable string `json:"unreadable,omitempty"`
	Replayed   string `json:"replayed,omitempty"`
	Before     string `json:"before,omitempty"`
	Key        []byte `json:"key"`
	Value      []byte `json:"value"`
}

func newEntryJSON(x *dlq.Entry) entryJSON {
	j := entryJSON{Entry: x.ID.String(), Topic: x.Topic, Partition: x.Partition, Offset: x.Offset, Connector: x.Connector, Stage: x.Stage,
		Exception: x.Exception, Reason: x.Message, Before: x.Before, Key: x.Key, Value: x.Value}
	if x.Fault != nil {
		j.Unreadable = x.Fault.Error()
	}
	if !x.Replayed.IsZero() {
		j.Replayed = x.Replayed.Format(time.RFC3339)
	}
	return j
}

func (cmd *dlqReplayCommand) Run(e *env, root *commands) (err error) {
	sel := dlq.Selection{Connector: root.Dlq.Connector, Topic: cmd.From, Again: cmd.Again, Unreadable: cmd.Unreadable, DryRun: cmd.DryRun}
	for _, s := range cmd.Entries {
		id, err := dlq.ParseID(s)
		if err != nil {
			return usageError{err}
		}
		sel.IDs = append(sel.IDs, id)
	}
	client, q, err := root.Dlq.open(e, true)
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, q.Close()) }()
	var put, before, left int
	err = q.Replay(e.ctx, sel, func(x *dlq.Entry, to kafka.TopicPartition, why error) error {
		var werr error
		switch {
		case errors.Is(why, dlq.ErrReplayed) && len(sel.IDs) == 0:
			before++
		case why != nil:
			left++
			_, werr = fmt.Fprintf(e.stdout, "%s stays: %v\n", x.ID, why)
		default:
			put++
			_, werr = fmt.Fprintf(e.stdout, "%s to %s\n", x.ID, to)
		}
		return werr
	})
	if err != nil {
		return err
	}
	if cmd.DryRun {
		_, err = fmt.Fprintf(e.stdout, "dry run: %d would be put back, %d were before, %d would stay\n", put, before, left)
		return err
	}
	if _, err = fmt.Fprintf(e.stdout, "%d put back, %d were before, %d stay\n", put, before, left); err != nil {
		return err
	}
	if left > 0 && len(sel.IDs) > 0 {
		return fmt.Errorf("%d of %d dead letters stay where they are; --again puts back once more what was put back before", left, len(sel.IDs))
	}
	return nil
}
