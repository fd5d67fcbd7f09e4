package worker_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/rest"
	"github.com/waltap/waltap/connector/rest/resttest"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/connector/worker"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source/capture"
)

const (
	goodSource = `"connector.class":"HBaseSource","tasks.max":"1","hbase.zookeeper.quorum":"zk","topic.prefix":"p","table.include.list":"t"`
	goodSink   = `"connector.class":"HBaseSink","tasks.max":"1","hbase.zookeeper.quorum":"zk","topics":"t"`
)

// noPeer is the control of a source that has none.
type noPeer struct{}

func (noPeer) Peer(context.Context) (capture.PeerState, error) { return capture.PeerAbsent, nil }
func (noPeer) Disable(context.Context) (bool, error)           { return false, nil }
func (noPeer) Enable(context.Context) (bool, error)            { return false, nil }
func (noPeer) Remove(context.Context) error                    { return nil }
func (noPeer) Close()                                          {}

// runs moves one record, so to say, and keeps an offset, as the connectors do to whose answers Connect's were recorded.
func runs(client *kafka.Client) func(context.Context, *config.Connector, *status.Connector, worker.Options) error {
	return func(ctx context.Context, c *config.Connector, st *status.Connector, _ worker.Options) error {
		st.Set(status.Running, "")
		if c.Source != nil {
			s, err := checkpoint.Open(ctx, client, schema.OffsetsTopic(c.Source.TopicPrefix))
			if err == nil {
				err = s.Put(ctx, c.Name, map[string]string{"table": "default:t"}, map[string]any{"epoch": 1})
			}
			if err == nil {
				err = s.Close()
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
			st.Table("default:t").Add(1, 1, 1, 1)
		} else {
			st.Topic("t")
			if err := client.CommitOffsets(ctx, c.Sink.GroupID, map[kafka.TopicPartition]int64{{Topic: "t"}: 1}); err != nil && ctx.Err() == nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	}
}

// Two workers answer the script as a distributed worker of Kafka Connect did, whichever of them is asked.
func TestWorkersAnswerAsConnectDid(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t", "p.default.t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	var urls []string
	for _, id := range []string{"a:1", "b:1"} {
		client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: cluster.ListenAddrs()})
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		loggers := herder.NewLoggers(log.Handler(), slog.LevelInfo)
		loggers.Logger("waltap")
		p := &config.Process{GroupID: "g", REST: config.REST{MaxBody: 1 << 20}, Worker: config.Worker{ConfigTopic: "configs", StatusTopic: "status", ConfigReplicas: 1, StatusReplicas: 1, SessionTimeout: 6 * time.Second}}
		w, err := worker.New(ctx, worker.Config{Process: p, Kafka: client, Version: "test", ID: id, Run: runs(client), Parse: p.ParseConnector, Log: log, Status: new(status.Process),
			SetLogLevel: func(logger, level string) error { _, err := loggers.Set(logger, level); return err },
			Control:     func(context.Context, *config.Connector) (worker.Control, error) { return noPeer{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		wctx, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.Run(wctx) }()
		h, err := rest.New(rest.Config{Herder: w, Process: p, Loggers: loggers, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(h)
		t.Cleanup(func() {
			srv.Close()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			client.Close()
		})
		if err := w.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		urls = append(urls, srv.URL)
	}
	b, err := os.ReadFile(filepath.Join("..", "rest", "testdata", "connect-4.3.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := resttest.Read(b, resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	got, err := resttest.Replay(ctx, resttest.Side{URL: urls[1], Vars: map[string]string{
		"source": "{" + goodSource + "}", "source+number": `{` + goodSource + `,"snapshot.max.threads":3}`, "source+name": `{` + goodSource + `,"name":"v"}`,
		"sink": "{" + goodSink + "}", "sourceClass": "HBaseSource", "sinkClass": "HBaseSink", "topic": "t",
		"partition": `{"table":"default:t"}`, "offset": `{"epoch":1}`, "badPartition": `{"nothing":"x"}`, "badOffset": `{"epoch":"x"}`,
	}}, resttest.Script)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range resttest.Diff(resttest.Script, want, got) {
		t.Error(d)
	}
}
