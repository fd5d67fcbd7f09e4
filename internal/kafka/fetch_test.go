package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchResponse encodes the body of a Fetch response as a broker does.
func fetchResponse(version int16, topic string, partition int32, code int16, highWatermark, logStart int64, recs []byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 0)
	if version >= 7 {
		b = append(b, 0, 0, 0, 0, 0, 0)
	}
	b = be.AppendUint32(b, 1)
	b = append(be.AppendUint16(b, uint16(len(topic))), topic...)
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, uint32(partition))
	b = be.AppendUint16(b, uint16(code))
	b = be.AppendUint64(b, uint64(highWatermark))
	b = be.AppendUint64(b, uint64(highWatermark))
	if version >= 5 {
		b = be.AppendUint64(b, uint64(logStart))
	}
	b = be.AppendUint32(b, 1)
	b = be.AppendUint64(be.AppendUint64(b, 1), 2) // an aborted transaction
	if version >= 11 {
		b = be.AppendUint32(b, 1<<32-1)
	}
	return append(be.AppendUint32(b, uint32(len(recs))), recs...)
}

func TestDecodeFetch(t *testing.T) {
	tp := TopicPartition{"topic", 3}
	for version := int16(4); version <= 11; version++ {
		whole := fetchResponse(version, "topic", 3, 1, 99, 7, []byte("records"))
		p, err := decodeFetch(whole, version, tp)
		wantStart := int64(7)
		if version < 5 {
			wantStart = -1
		}
		if err != nil || p.code != 1 || p.highWatermark != 99 || p.logStart != wantStart || string(p.records) != "records" {
			t.Errorf("version %d: %+v, %v", version, p, err)
		}
		for n := range whole {
			if p, err := decodeFetch(whole[:n], version, tp); err == nil {
				t.Fatalf("version %d: %d of %d bytes decode to %+v", version, n, len(whole), p)
			}
		}
		if _, err := decodeFetch(whole, version, TopicPartition{"topic", 4}); err == nil || !strings.Contains(err.Error(), "topic/4") {
			t.Errorf("version %d: other partition: %v", version, err)
		}
	}
}

// seed creates a topic of one partition and fills it.
func seed(t *testing.T, c *Client, calls ...[]Record) {
	t.Helper()
	p := newTestProducer(t, c, ProducerConfig{})
	for _, recs := range calls {
		if err := produceWait(testContext(t), p, t0, recs); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFetch(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	large := []Record{{Key: []byte("k"), Value: []byte(strings.Repeat("x", 100_000)), Headers: []Header{{"h", []byte("v")}, {"null", nil}}}}
	seed(t, c, records("a", 10), large, records("b", 10))
	ctx := testContext(t)

	// One byte is asked for, a batch is returned all the same.
	var got []string
	for offset := int64(4); offset < 21; {
		res, err := c.Fetch(ctx, t0, offset, 1, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if res.HighWatermark != 21 || res.LogStart != 0 || res.NextOffset <= offset {
			t.Fatalf("high watermark %d, log start %d, next %d after %d", res.HighWatermark, res.LogStart, res.NextOffset, offset)
		}
		for _, r := range res.Records {
			got = append(got, fmt.Sprintf("%s@%d", r.Value[:min(3, len(r.Value))], r.Offset))
			if r.Offset == 10 && (len(r.Headers) != 2 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "v" || r.Headers[1].Value != nil) {
				t.Errorf("headers are %v", r.Headers)
			}
		}
		offset = res.NextOffset
	}
	want := "a-4@4 a-5@5 a-6@6 a-7@7 a-8@8 a-9@9 xxx@10 b-0@11 b-1@12 b-2@13 b-3@14 b-4@15 b-5@16 b-6@17 b-7@18 b-8@19 b-9@20"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}

	res, err := c.Fetch(ctx, t0, 21, 1<<20, 10*time.Millisecond)
	if err != nil || len(res.Records) != 0 || res.NextOffset != 21 {
		t.Errorf("at the end: %+v, %v", res, err)
	}
	for _, offset := range []int64{22, 1000} {
		_, err = c.Fetch(ctx, t0, offset, 1<<20, time.Second)
		oor, ok := errors.AsType[*OffsetOutOfRangeError](err)
		if !ok || oor.LogStart != 0 || oor.LogEnd != 21 || oor.Offset != offset || oor.TP != t0 {
			t.Errorf("beyond the end: %v", err)
		}
	}
}

func TestFetchRidesOverALeaderChange(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	seed(t, c, records("a", 3))
	for node := range int32(2) {
		if err := cluster.MoveTopicPartition("t", 0, node); err != nil {
			t.Fatal(err)
		}
		if res, err := c.Fetch(testContext(t), t0, 0, 1<<20, time.Second); err != nil || len(res.Records) != 3 {
			t.Errorf("leader %d: %d records, %v", node, len(res.Records), err)
		}
	}
}

func TestFetchUnknown(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster, func(cfg *Config) { cfg.APITimeout = 100 * time.Millisecond })
	for _, tp := range []TopicPartition{{"none", 0}, {"t", 7}} {
		if _, err := c.Fetch(testContext(t), tp, 0, 1<<20, time.Second); !errors.Is(err, ErrUnknownTopic) || !strings.Contains(err.Error(), tp.String()) {
			t.Errorf("%s: %v", tp, err)
		}
	}
}

// TestReadAllOverHoles reads a log whose batches are as the log cleaner and a transaction coordinator leave them.
func TestReadAllOverHoles(t *testing.T) {
	log := []struct {
		base, next int64
		b          []byte
	}{
		{5, 8, encode(t, compress.None, 5, records("a", 3)...)},
		{8, 20, compacted(encode(t, compress.Gzip, 8, records("b", 2)...), 11)},
		{20, 21, control(t, 20)},
		{30, 40, emptied(t, 30, 9)},
		{40, 41, encode(t, compress.Snappy, 40, records("c", 1)...)},
		{41, 42, control(t, 41)},
	}
	for _, tc := range []struct {
		name string
		end  int64
		want []string
	}{
		{"to a marker", 42, []string{"a-0", "a-1", "a-2", "b-0", "b-1", "c-0"}},
		{"to a record", 41, []string{"a-0", "a-1", "a-2", "b-0", "b-1", "c-0"}},
		{"to an emptied batch", 40, []string{"a-0", "a-1", "a-2", "b-0", "b-1"}},
		{"to the middle of a batch", 9, []string{"a-0", "a-1", "a-2", "b-0"}},
		{"behind all that is left", 50, []string{"a-0", "a-1", "a-2", "b-0", "b-1", "c-0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
			cluster.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				req := kreq.(*kmsg.ListOffsetsRequest)
				res := req.ResponseKind().(*kmsg.ListOffsetsResponse)
				offset := tc.end
				if req.Topics[0].Partitions[0].Timestamp == FirstOffset {
					offset = 5
				}
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.Offset = offset
				res.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
				return res, nil, true
			})
			cluster.ControlKey(int16(kmsg.Fetch), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				req := kreq.(*kmsg.FetchRequest)
				p := kmsg.NewFetchResponseTopicPartition()
				p.HighWatermark = 50
				for _, l := range log {
					if l.next > req.Topics[0].Partitions[0].FetchOffset {
						p.RecordBatches = l.b
						break
					}
				}
				res := req.ResponseKind().(*kmsg.FetchResponse)
				res.Topics = []kmsg.FetchResponseTopic{{Topic: "t", Partitions: []kmsg.FetchResponseTopicPartition{p}}}
				return res, nil, true
			})
			if got := values(t, connect(t, cluster), "t"); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestOffsets(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(2, "t"))
	c := connect(t, cluster)
	ctx := testContext(t)
	at := time.UnixMilli(1_700_000_000_000)
	recs := records("a", 3)
	for i := range recs {
		recs[i].Time = at.Add(time.Duration(i) * time.Minute)
	}
	for i := range recs {
		seed(t, c, recs[i:i+1])
	}
	for _, tc := range []struct {
		name string
		f    func() (map[int32]int64, error)
		want string
	}{
		{"start", func() (map[int32]int64, error) { return c.StartOffsets(ctx, "t") }, "map[0:0 1:0]"},
		{"end", func() (map[int32]int64, error) { return c.EndOffsets(ctx, "t") }, "map[0:3 1:0]"},
		{"at a record", func() (map[int32]int64, error) { return c.OffsetsAt(ctx, "t", at.Add(time.Minute)) }, "map[0:1 1:0]"},
		{"after all", func() (map[int32]int64, error) { return c.OffsetsAt(ctx, "t", at.Add(time.Hour)) }, "map[0:3 1:0]"},
	} {
		if got, err := tc.f(); err != nil || fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v, %v; want %s", tc.name, got, err, tc.want)
		}
	}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.TopicAuthorizationFailed})
	if _, err := c.EndOffsets(ctx, "t"); !hasCode(err, codeTopicAuthorization) || Retriable(err) {
		t.Errorf("no right: %v", err)
	}
}

// A record that is written while the offsets are asked for lies behind the answer, not before it.
func TestOffsetsAtWhileTheLogGrows(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	ctx := testContext(t)
	at := time.UnixMilli(1_700_000_000_000)
	seed(t, c, []Record{{Value: []byte("old"), Time: at.Add(-time.Hour)}})
	asked := make(map[int64]bool)
	var grown atomic.Bool
	second := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: -1, When: func(r kmsg.Request) bool {
		asked[r.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp] = true
		return len(asked) > 1 && !grown.Load()
	}})
	p := newTestProducer(t, c, ProducerConfig{})
	go func() {
		err := second.Wait(ctx, 1)
		if err == nil {
			err = produceWait(ctx, p, t0, []Record{{Value: []byte("new"), Time: at.Add(time.Hour)}})
		}
		if err != nil {
			t.Error(err)
		}
		grown.Store(true)
	}()
	if got, err := c.OffsetsAt(ctx, "t", at); err != nil || got[0] != 1 {
		t.Errorf("offset %v, %v; want 1, that of the new record", got, err)
	}
}

func TestOffsetsAtTimesThatKafkaTakesForNames(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	seed(t, c, records("a", 3))
	for _, ms := range []int64{-1, -2, -3, math.MinInt32, 0} {
		if got, err := c.OffsetsAt(testContext(t), "t", time.UnixMilli(ms)); err != nil || got[0] != 0 {
			t.Errorf("%d ms: offset %v, %v; want 0", ms, got, err)
		}
	}
}

// An offset that is not in the log is reported only with what is: until that can be read, the fetch is one to be made again.
func TestFetchOutsideOfALogWhoseEndsCannotBeRead(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster, func(cfg *Config) { cfg.APITimeout = time.Second })
	seed(t, c, records("a", 3))
	ended := make(chan struct{})
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		<-ended
		return nil, nil, false
	})
	_, err := c.Fetch(testContext(t), TopicPartition{"t", 0}, 9, 1<<20, time.Millisecond)
	if _, ok := errors.AsType[*OffsetOutOfRangeError](err); ok || !Retriable(err) {
		t.Errorf("%v; want an error that may heal", err)
	}
	close(ended)
	_, err = connect(t, cluster).Fetch(testContext(t), TopicPartition{"t", 0}, 9, 1<<20, time.Millisecond)
	if oor, ok := errors.AsType[*OffsetOutOfRangeError](err); !ok || oor.LogStart != 0 || oor.LogEnd != 3 {
		t.Errorf("%v; want the log's ends", err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	ctx, cancel := context.WithCancel(testContext(t))
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true})
	done := make(chan error, 1)
	go func() {
		_, err := c.Fetch(ctx, t0, 0, 1, time.Hour)
		done <- err
	}()
	if err := asked.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestFetchRawAgain: a fetch into the memory of another one holds nothing of that, and a failed one nothing at all.
func TestFetchRawAgain(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	seed(t, c, records("a", 10), []Record{{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"h", []byte("x")}, {"null", nil}}}})
	ctx := testContext(t)
	var res RawFetch
	if err := c.FetchRaw(ctx, t0, FetchSpec{MaxBytes: 1 << 20, MaxWait: time.Second}, &res); err != nil || len(res.Records) != 11 || res.NextOffset != 11 {
		t.Fatalf("%d records, next %d, %v", len(res.Records), res.NextOffset, err)
	}
	first := &res.body[0]
	if err := c.FetchRaw(ctx, t0, FetchSpec{Offset: 10, MaxBytes: 1 << 20, MaxWait: time.Second}, &res); err != nil || len(res.Records) != 1 || res.HighWatermark != 11 {
		t.Fatalf("%d records, high watermark %d, %v", len(res.Records), res.HighWatermark, err)
	}
	if &res.body[0] != first {
		t.Error("the memory was not used again")
	}
	r := res.Records[0].Record(t0)
	if string(r.Key) != "k" || string(r.Value) != "v" || r.Offset != 10 || r.Topic != "t" || r.Time.IsZero() ||
		len(r.Headers) != 2 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "x" || r.Headers[1].Key != "null" || r.Headers[1].Value != nil {
		t.Errorf("read %+v", r)
	}
	if err := c.FetchRaw(ctx, t0, FetchSpec{Offset: 1000, MaxBytes: 1 << 20, MaxWait: time.Second}, &res); err == nil || len(res.Records) != 0 || res.NextOffset != 0 {
		t.Errorf("behind the end: %d records, next %d, %v", len(res.Records), res.NextOffset, err)
	}
}

// TestFetchesThatAreHeld: what a fetch has brought stays as it is while others are made, whatever memory they are given.
func TestFetchesThatAreHeld(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "t"))
	c := connect(t, cluster)
	ctx := testContext(t)
	const size = 200
	codecs := []string{"snappy", "none", "lz4", "snappy", "gzip", "none", "zstd", "snappy"}
	for i, codec := range codecs {
		p := newTestProducer(t, c, ProducerConfig{Compression: codec})
		if err := produceWait(ctx, p, t0, records(fmt.Sprint(codec, i), size)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(res *RawFetch, offset int64) {
		t.Helper()
		for i := range res.Records {
			r := res.Records[i].Record(t0)
			n := (offset + int64(i)) / size
			want := fmt.Sprintf("%s%d-%d", codecs[n], n, r.Offset%size)
			if r.Offset != offset+int64(i) || string(r.Value) != want {
				t.Fatalf("record %d is %q at %d, want %q", offset+int64(i), r.Value, r.Offset, want)
			}
		}
	}
	var held []*RawFetch
	for _, most := range []int{1, 1, 1 << 20, 1} { // a batch at a time, and all of them at once
		for offset := int64(0); offset < int64(len(codecs))*size; {
			res := new(RawFetch)
			if err := c.FetchRaw(ctx, t0, FetchSpec{Offset: offset, MaxBytes: most, MaxWait: time.Second}, res); err != nil || len(res.Records)%size != 0 || len(res.Records) == 0 {
				t.Fatalf("from %d: %d records, %v", offset, len(res.Records), err)
			}
			check(res, offset)
			if codec := codecs[offset/size]; most == 1 && (res.body == nil) != (codec != "none") {
				t.Errorf("a batch in %s left %d bytes of the answer to its fetch", codec, cap(res.body))
			}
			held = append(held, res)
			offset = res.NextOffset
		}
	}
	for _, res := range held {
		check(res, res.Records[0].Offset)
	}
}
