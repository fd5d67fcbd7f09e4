package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConsumerStart(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	offsets := func(m map[string]map[int32]int64) ConsumerStart {
		return ConsumerStart{Mode: StartOffsets, Offsets: m}
	}
	for text, want := range map[string]ConsumerStart{
		"committed":                           {Mode: StartCommitted},
		"earliest":                            {Mode: StartEarliest},
		"latest":                              {Mode: StartLatest},
		"timestamp:2026-11-20T10:00:00Z":      {Mode: StartTimestamp, Time: at},
		"timestamp:2026-11-20T11:00:00+01:00": {Mode: StartTimestamp, Time: at},
		"timestamp:2026-11-20T10:00:00.25Z":   {Mode: StartTimestamp, Time: at.Add(250 * time.Millisecond)},
		"offsets:t/0=0":                       offsets(map[string]map[int32]int64{"t": {0: 0}}),
		"offsets:t/0=1,":                      offsets(map[string]map[int32]int64{"t": {0: 1}}),
		"offsets:a.b/0=17, a.b/11=0,c/2=9223372036854775807": offsets(map[string]map[int32]int64{"a.b": {0: 17, 11: 0}, "c": {2: math.MaxInt64}}),
	} {
		got, err := parseConsumerStart(text)
		if err != nil || cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)) != "" {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// Every fault names the key and says what would be right.
func TestConsumerStartThatIsNone(t *testing.T) {
	const (
		modes  = "none of committed, earliest, latest, timestamp:2026-11-20T10:00:00Z, offsets:topic/0=17"
		when   = "want RFC 3339, such as 2026-11-20T10:00:00Z"
		offset = "want topic/partition=offset, such as orders.default.orders/0=17"
	)
	for text, want := range map[string]string{
		"":          "the value is empty: give one or remove the key",
		"Latest":    modes,
		"last":      modes,
		"latest:":   modes,
		"latest:x":  modes,
		":":         modes,
		"earliest ": "", // spaces around a value are dropped
		"timestamp": when, "timestamp:": when, "timestamp:2026-11-20": when, "timestamp:2026-11-20T10:00:00": when, "timestamp:1700000000000": when,
		"timestamp:1969-12-31T23:59:59.999Z": "is before 1970: want earliest",
		"offsets":                            "the list is empty: want topic/partition=offset", "offsets:": "the list is empty", "offsets:,": "the list is empty",
		"offsets:a": offset, "offsets:a=1": offset, "offsets:a/0": offset, "offsets:a/0=": offset, "offsets:a/=1": offset, "offsets:/0=1": offset,
		"offsets:a/-1=0": offset, "offsets:a/0=-1": offset, "offsets:a/4294967296=1": offset, "offsets:a/0=9223372036854775808": offset,
		"offsets:a b/0=1": offset, "offsets:a/0=1;b/0=1": offset, "offsets:a/0=0x1": offset,
		"offsets:a/0=1,a/0=2":                             "a/0 stands twice: name each partition once",
		"offsets:" + strings.Repeat("a", 250) + "/0=1":    offset,
		"offsets:" + strings.Repeat("a", 249) + "/0=1":    "",
		"offsets:a/0=1,b/1=2,c/2=3,d/3=4,e/4=5,f/5=6,g/x": offset,
	} {
		_, err := ParseConnector("copy", map[string]string{"connector.class": "HBaseSink", "hbase.zookeeper.quorum": "zk", "topics": "a", "consumer.start": text})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "connector copy: consumer.start: ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: the error should name the key and say %q: %v", text, want, err)
		}
	}
}

// startText writes a start as the key has it.
func startText(s ConsumerStart) string {
	switch s.Mode {
	case StartTimestamp:
		return "timestamp:" + s.Time.Format(time.RFC3339Nano)
	case StartOffsets:
		var list []string
		for _, topic := range slices.Sorted(maps.Keys(s.Offsets)) {
			for _, p := range slices.Sorted(maps.Keys(s.Offsets[topic])) {
				list = append(list, fmt.Sprintf("%s/%d=%d", topic, p, s.Offsets[topic][p]))
			}
		}
		return "offsets:" + strings.Join(list, ",")
	}
	return string(s.Mode)
}

func FuzzConsumerStart(f *testing.F) {
	for _, text := range []string{"committed", "latest:", "timestamp:2026-11-20T10:00:00.5+01:00", "offsets:a.b/0=17, a.b/11=0,c/2=9223372036854775807", "offsets:a/-1=0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseConsumerStart(text)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		for topic, partitions := range s.Offsets {
			for p, offset := range partitions {
				if topic == "" || p < 0 || offset < 0 {
					t.Fatalf("%q gives %s/%d=%d", text, topic, p, offset)
				}
			}
		}
		if s.Mode == StartTimestamp && s.Time.UnixMilli() < 0 || s.Mode == StartOffsets && len(s.Offsets) == 0 {
			t.Fatalf("%q gives %+v", text, s)
		}
		again, err := parseConsumerStart(startText(s))
		if err != nil || cmp.Diff(s, again, cmp.Comparer(time.Time.Equal)) != "" {
			t.Fatalf("%q gives %+v; written as %q and read again: %+v, %v", text, s, startText(s), again, err)
		}
	})
}
