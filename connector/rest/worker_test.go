package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/rest/resttest"
	connectorstatus "github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/capture"
)

// TestWorkerAnswersAsConnectDid replays the script against a worker of waltap, with a Kafka of the process's own; its connectors have
// made some progress and move nothing. TestRESTAnswersAsConnect of package e2e does it with real ones.
func TestWorkerAnswersAsConnectDid(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	process := &config.Process{GroupID: "g", REST: config.REST{MaxBody: 1 << 20}, Worker: config.Worker{ConfigTopic: "configs", StatusTopic: "status", ConfigReplicas: 1, StatusReplicas: 1, SessionTimeout: 6 * time.Second}}
	loggers := herder.NewLoggers(slog.DiscardHandler, slog.LevelInfo)
	loggers.Logger("waltap")
	w, err := worker.New(ctx, worker.Config{Process: process, Kafka: client, Version: "0.1.0", ID: "127.0.0.1:8083", Parse: process.ParseConnector, Status: &connectorstatus.Process{}, Log: slog.New(slog.DiscardHandler),
		SetLogLevel: func(logger, level string) error { _, err := loggers.Set(logger, level); return err },
		Control:     func(context.Context, *config.Connector) (worker.Control, error) { return enabledPeer{}, nil },
		Run: func(ctx context.Context, c *config.Connector, st *connectorstatus.Connector, _ worker.Options) error {
			return idle(ctx, client, c, st)
		}})
	if err != nil {
		t.Fatal(err)
	}
	wctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(wctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, client.Close()); err != nil {
			t.Error(err)
		}
	})
	h, err := New(Config{Herder: w, Process: process, Loggers: loggers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	for w.Health(ctx) != nil && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	got, err := resttest.Replay(ctx, side(s.URL), resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resttest.Diff(resttest.Script, recorded(t), got) {
		t.Error(d)
	}
}

// idle is a connector that has made some progress and moves nothing.
func idle(ctx context.Context, client *kafka.Client, c *config.Connector, st *connectorstatus.Connector) error {
	if c.Sink != nil {
		if err := client.CommitOffsets(ctx, c.Sink.GroupID, map[kafka.TopicPartition]int64{{Topic: "t"}: 4}); err != nil {
			return err
		}
	} else {
		s, err := checkpoint.Open(ctx, client, schema.OffsetsTopic(c.Source.TopicPrefix))
		if err != nil {
			return err
		}
		if err := errors.Join(s.Put(ctx, c.Name, map[string]string{"table": "default:t"}, map[string]any{"epoch": 1}), s.Close()); err != nil {
			return err
		}
	}
	st.Set(connectorstatus.Running, "")
	<-ctx.Done()
	return nil
}

type enabledPeer struct{}

func (enabledPeer) Peer(context.Context) (capture.PeerState, error)  { return capture.PeerEnabled, nil }
func (enabledPeer) Disable(context.Context) (bool, error)            { return false, nil }
func (enabledPeer) Enable(context.Context) (bool, error)             { return false, nil }
func (enabledPeer) Remove(context.Context) error                     { return nil }
func (enabledPeer) Close()                                           {}
func (enabledPeer) Backlog(context.Context) (capture.Backlog, error) { return capture.Backlog{}, nil }
func (enabledPeer) RollSize(context.Context) (int64, error)          { return 1, nil }
func (enabledPeer) DropSnapshots(context.Context) ([]string, error)  { return nil, nil }
