package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/internal/kafka"
)

type signalCommands struct {
	restFlags `embed:""`

	SignalTopic string     `help:"Send it through this topic (signal.kafka.topic) instead of the REST API; the name is then the source's topic.prefix." placeholder:"TOPIC"`
	Kafka       kafkaFlags `embed:""`

	ExecuteSnapshot signalSnapshot     `cmd:"" help:"Scan tables again, beside the stream."`
	StopSnapshot    signalStopSnapshot `cmd:"" help:"End such scans."`
	PauseSnapshot   signalPause        `cmd:"" help:"Let a scan read nothing until it is resumed."`
	ResumeSnapshot  signalResume       `cmd:"" help:"Let a paused scan go on."`
	SetRate         signalRate         `cmd:"" help:"Set the limits of a scan while it runs."`
}

type (
	signalSnapshot struct {
		nameArg `embed:""`

		Table    []string `required:"" help:"Tables, namespace:table; regular expressions that match the whole name." placeholder:"TABLE"`
		Rows     string   `help:"Only these rows of them, such as: row >= 'a' AND row < 'b', or row LIKE 'a%'; \\xNN is a byte." placeholder:"FILTER"`
		Blocking bool     `help:"The changes of all tables wait meanwhile, as with snapshot.order: exact at a start."`
	}
	signalStopSnapshot struct {
		nameArg `embed:""`

		Table []string `help:"Only these tables." placeholder:"TABLE"`
	}
	signalPause struct {
		nameArg `embed:""`
	}
	signalResume struct {
		nameArg `embed:""`
	}
	signalRate struct {
		nameArg `embed:""`

		RowsPerSecond  *int64 `help:"Most rows a second; 0: no limit." placeholder:"N"`
		BytesPerSecond *int64 `help:"Most bytes a second; 0: no limit." placeholder:"N"`
	}
)

func (signalSnapshot) Help() string {
	return "Example:\n  waltap signal execute-snapshot orders-source --table default:orders"
}

func (signalStopSnapshot) Help() string {
	return "Example:\n  waltap signal stop-snapshot orders-source"
}

func (signalPause) Help() string {
	return "Example:\n  waltap signal pause-snapshot orders-source"
}

func (signalResume) Help() string {
	return "Example:\n  waltap signal resume-snapshot orders-source"
}

func (signalRate) Help() string {
	return "Example:\n  waltap signal set-rate orders-source --rows-per-second 20000 --bytes-per-second 0"
}

func (cmd *signalSnapshot) Run(e *env, root *commands) error {
	data := herder.SnapshotData{Type: herder.Incremental, DataCollections: cmd.Table}
	if cmd.Blocking {
		data.Type = herder.Blocking
	}
	if cmd.Rows != "" {
		for _, table := range cmd.Table {
			data.AdditionalConditions = append(data.AdditionalConditions, herder.Condition{DataCollection: table, Filter: cmd.Rows})
		}
	}
	return root.Signal.send(e, cmd.Name, herder.ExecuteSnapshot, data)
}

func (cmd *signalStopSnapshot) Run(e *env, root *commands) error {
	return root.Signal.send(e, cmd.Name, herder.StopSnapshot, herder.SnapshotData{Type: herder.Incremental, DataCollections: append([]string{}, cmd.Table...)})
}

func (cmd *signalPause) Run(e *env, root *commands) error {
	return root.Signal.send(e, cmd.Name, herder.PauseSnapshot, struct{}{})
}

func (cmd *signalResume) Run(e *env, root *commands) error {
	return root.Signal.send(e, cmd.Name, herder.ResumeSnapshot, struct{}{})
}

func (cmd *signalRate) Run(e *env, root *commands) error {
	return root.Signal.send(e, cmd.Name, herder.SetRate, herder.RateData{RowsPerSecond: cmd.RowsPerSecond, BytesPerSecond: cmd.BytesPerSecond})
}

// send checks a signal and gives it to the REST API, or to the topic.
func (f *signalCommands) send(e *env, name, kind string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write the signal: %w", err)
	}
	s := herder.Signal{Type: kind, Data: b}
	if err := s.Check(); err != nil {
		return usageError{err}
	}
	if f.SignalTopic != "" {
		return f.produce(e, name, s)
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	if _, err := c.do(e.ctx, "POST", connectorPath(name, "signals"), s, nil); err != nil {
		return err
	}
	return e.say("signal %s sent to connector %s", kind, name)
}

// produce puts a signal on the topic, under the key that its source looks for.
func (f *signalCommands) produce(e *env, prefix string, s herder.Signal) (err error) {
	s.ID = fmt.Sprintf("waltap-%d", time.Now().UnixNano())
	value, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write the signal: %w", err)
	}
	client, _, err := f.Kafka.connect(e.ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	info, err := client.Topic(e.ctx, f.SignalTopic)
	if err != nil {
		return fmt.Errorf("--signal-topic: %w", err)
	}
	if info.Partitions != 1 {
		return usageError{fmt.Errorf("--signal-topic: %s has %d partitions: a topic of signals has one", f.SignalTopic, info.Partitions)}
	}
	p := client.NewProducer(kafka.ProducerConfig{})
	defer func() { err = errors.Join(err, p.Close()) }()
	done := make(chan error, 1)
	p.Produce(e.ctx, kafka.TopicPartition{Topic: f.SignalTopic}, []kafka.Record{{Key: []byte(prefix), Value: value}}, func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("put the signal on topic %s: %w", f.SignalTopic, err)
		}
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
	return e.say("signal %s is on topic %s under key %s", s.Type, f.SignalTopic, prefix)
}
