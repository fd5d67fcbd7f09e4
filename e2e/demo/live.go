package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/web"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// live keeps writing a little and shows what arrives in the topic.
func (d *demo) live(ctx context.Context) error {
	step("everything stays up; a slow writer goes on. A page to look at: %s%s   status: %s/status   metrics: %s/metrics", d.http, web.Path, d.http, d.http)
	fmt.Printf("          source ZooKeeper %s, destination ZooKeeper %s, Kafka %s\n", d.env.Source.ZKQuorum(), d.env.Destination.ZKQuorum(), d.env.Kafka.Bootstrap())
	fmt.Print("          changes in the topic as they come (Ctrl-C ends):\n\n")
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{d.env.Kafka.Bootstrap()}})
	if err != nil {
		return err
	}
	defer client.Close()
	topic, err := schema.DataTopic(prefix, table)
	if err != nil {
		return err
	}
	ends, err := client.EndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	if _, err := d.env.Src.StartMutator(ctx, table, judge.MutatorSpec{
		Families: []string{"a", "b", "c"}, Keys: 1000, Seed: time.Now().UnixNano(), Rate: 3, Threads: 1, ValueSize: 12,
	}); err != nil {
		return err
	}
	failed := make(chan error, len(ends))
	for p, at := range ends {
		go func() { failed <- follow(ctx, client, kafka.TopicPartition{Topic: topic, Partition: p}, at) }()
	}
	return <-failed
}

func follow(ctx context.Context, client *kafka.Client, tp kafka.TopicPartition, at int64) error {
	for {
		res, err := client.Fetch(ctx, tp, at, 1<<20, time.Second)
		if err != nil {
			return err
		}
		for _, r := range res.Records {
			var c schema.Change
			if err := schema.DecodeAvro(r.Value, &c); err != nil {
				return err
			}
			fmt.Println(line(&c, tp.Partition, r.Offset))
		}
		at = res.NextOffset
	}
}

// line shows a change in a line.
func line(c *schema.Change, partition int32, offset int64) string {
	var cells []string
	for _, k := range c.Cells {
		s := fmt.Sprintf("%s %s:%s@%d", k.Type, k.Family, text(k.Qualifier), k.Timestamp)
		if k.Type == schema.Put {
			s += "=" + text(k.Value)
		}
		cells = append(cells, s)
	}
	return fmt.Sprintf("%s  %-6s %s seq %d row %s  %s  (%d/%d)", time.UnixMilli(c.Timestamp).Format("15:04:05.000"),
		c.Op(), c.Table, c.Sequence, text(c.Row), strings.Join(cells, ", "), partition, offset)
}

func text(b []byte) string {
	s := strconv.Quote(string(b))
	return s[1 : len(s)-1]
}
