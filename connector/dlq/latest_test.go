package dlq

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
)

func TestLatest(t *testing.T) {
	r := newRig(t)
	other, err := deadletter.Open(r.ctx, deadletter.Config{Kafka: r.client, Topic: deadTopic, ReplicationFactor: 1, Context: true, Connector: "other"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	start := time.UnixMilli(1_790_000_000_000)
	for i := range 30 {
		l := letter(fmt.Sprintf("row %02d", i), 0, func(rec *kafka.Record) { rec.Time = start.Add(time.Duration(i) * time.Second) })
		if i%10 != 3 {
			r.send(l)
		} else if err := other.Send(r.ctx, []deadletter.Letter{l}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(topic, connector string, most int) (rows []string, records int64) {
		t.Helper()
		l, err := Latest(r.ctx, r.client, topic, connector, most)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Latest {
			row := string(e.Key)
			if !e.Replayed.IsZero() {
				row += " put back"
			}
			rows = append(rows, row)
		}
		return rows, l.Records
	}
	for _, tc := range []struct {
		topic, connector string
		most             int
		want             []string
		records          int64
	}{
		{deadTopic, "", 3, []string{"row 29", "row 28", "row 27"}, 30},
		{deadTopic, "copy", 8, []string{"row 29", "row 28", "row 27", "row 26", "row 25", "row 24", "row 22", "row 21"}, 30},
		{deadTopic, "other", 2, []string{"row 23"}, 30}, // of the newest eight
		{deadTopic, "none", 20, nil, 30},
		{"no.such.topic", "", 5, nil, 0},
	} {
		if rows, records := look(tc.topic, tc.connector, tc.most); !slices.Equal(rows, tc.want) || records != tc.records {
			t.Errorf("%+v: %q of %d", tc, rows, records)
		}
	}
	if _, err := r.replay(Selection{IDs: []ID{{0, 28}}}); err != nil {
		t.Fatal(err)
	}
	if rows, _ := look(deadTopic, "", 3); !slices.Equal(rows, []string{"row 29", "row 28 put back", "row 27"}) {
		t.Errorf("after a replay: %q", rows)
	}
}
