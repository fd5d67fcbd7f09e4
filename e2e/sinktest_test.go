//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
	"github.com/waltap/waltap/sink/sinktest"
)

// kafkaClient is a client of the tests' own.
func kafkaClient(t *testing.T) *kafka.Client {
	t.Helper()
	c, err := kafka.Connect(testenv.Context(t, 30*time.Second), kafka.Config{BootstrapServers: []string{env.Kafka.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// publish writes one record, as a source would.
func publish(ctx context.Context, c *kafka.Client, tp kafka.TopicPartition, r kafka.Record) error {
	p := c.NewProducer(kafka.ProducerConfig{})
	defer p.Close()
	done := make(chan error, 1)
	p.Produce(ctx, tp, []kafka.Record{r}, func(err error) { done <- err })
	return <-done
}

// publishJSON makes a compacted topic and writes one entry to it.
func publishJSON(ctx context.Context, c *kafka.Client, topic, key string, value any) error {
	err := c.EnsureTopics(ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": "compact"}})
	if err != nil {
		return err
	}
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return publish(ctx, c, kafka.TopicPartition{Topic: topic}, kafka.Record{Key: []byte(key), Value: b})
}

// openSink opens the HBase sink at the destination, as a connector does.
func openSink(ctx context.Context, client *kafka.Client, change func(*hbase.Config)) (*hbase.Applier, error) {
	cfg := hbase.Config{
		Target:      admin.Config{Quorum: []string{env.Destination.ZKQuorum()}, Root: env.Destination.ZNodeParent()},
		Descriptors: sink.NewDescriptors(client), Create: true, Evolve: true, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	return hbase.Open(ctx, cfg)
}

// keepsAll are the attributes of a family that keeps what is deleted.
var keepsAll = map[string]string{"VERSIONS": "1000", "KEEP_DELETED_CELLS": "TRUE"}

func TestSinkHBaseIsAcceptable(t *testing.T) { acceptable(t, hbase.Replication) }

func TestSinkHBaseByMutationIsAcceptable(t *testing.T) { acceptable(t, hbase.Mutation) }

// acceptable runs the acceptance suite against the destination, which is stopped in it.
func acceptable(t *testing.T, mode hbase.Mode) {
	client := kafkaClient(t)
	prefix, tables := testenv.Name(t), 0
	comeBack(t, env.Destination.Running, env.Destination.Restart)
	sinktest.Run(t, sinktest.Target{
		NewTable: func(ctx context.Context) (string, string, error) {
			tables++
			table := fmt.Sprintf("default:%s_%d", prefix, tables)
			topic, err := schema.DataTopic(prefix, table)
			if err != nil {
				return "", "", err
			}
			return table, topic, publishJSON(ctx, client, schema.TablesTopic(prefix), table, schema.Table{Name: table, Epoch: 1,
				Families: []schema.Family{{Name: sinktest.Family, Attributes: keepsAll}}, Splits: [][]byte{[]byte("m")}})
		},
		Open: func(ctx context.Context) (sink.Applier, error) {
			return openSink(ctx, client, func(c *hbase.Config) { c.Mode = mode })
		},
		Cells: func(ctx context.Context, table string) ([]sinktest.Cell, error) {
			cells, err := env.Dst.Cells(ctx, table, judge.ScanOptions{})
			if err != nil {
				return nil, err
			}
			out := make([]sinktest.Cell, len(cells))
			for i, c := range cells {
				typ, err := schema.ParseCellType(c.Type)
				if err != nil {
					return nil, err
				}
				out[i] = sinktest.Cell{Row: string(c.Row), Cell: schema.Cell{Family: c.Family, Qualifier: c.Qualifier,
					Timestamp: c.Timestamp, Type: typ, Value: c.Value, Tags: c.Tags}}
			}
			return out, nil
		},
		Stop: env.Destination.Stop, Start: env.Destination.Restart,
	})
}
