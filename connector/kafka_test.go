package connector

import (
	"testing"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
)

func TestKafkaConfig(t *testing.T) {
	p := &config.Process{BootstrapServers: []string{"k:1"}, Kafka: config.Kafka{ClientID: "c", SASL: &kafka.SASL{Username: "u"}, TLS: &kafka.TLS{TrustStore: "f"}}}
	got := KafkaConfig(p, nil)
	if got.BootstrapServers[0] != "k:1" || got.ClientID != "c" || got.SASL != p.Kafka.SASL || got.TLS != p.Kafka.TLS {
		t.Errorf("%+v", got)
	}
}

func TestProducerConfig(t *testing.T) {
	got := producerConfig(config.Producer{CompressionType: "zstd", BatchSize: 1, Linger: time.Second, MaxRequestSize: 2, RequestTimeout: time.Minute, Idempotence: config.IdempotenceRequired})
	if got.Compression != "zstd" || got.MaxBatchBytes != 1 || got.Linger != time.Second || got.MaxRequestBytes != 2 || got.RequestTimeout != time.Minute ||
		!got.RequireIdempotence || got.DisableIdempotence {
		t.Errorf("%+v", got)
	}
	if got := producerConfig(config.Producer{}); got.RequireIdempotence || got.DisableIdempotence {
		t.Errorf("by default: %+v", got)
	}
	if got := producerConfig(config.Producer{Idempotence: config.IdempotenceOff}); !got.DisableIdempotence {
		t.Errorf("off: %+v", got)
	}
}

func TestFetchMaxBytes(t *testing.T) {
	for _, tc := range []struct{ all, partition, want int }{{0, 0, 0}, {5, 0, 5}, {0, 7, 7}, {5, 7, 5}, {9, 7, 7}} {
		s := &config.Sink{Consumer: config.Consumer{FetchMaxBytes: tc.all, MaxPartitionFetchBytes: tc.partition}}
		if got := fetchMaxBytes(s); got != tc.want {
			t.Errorf("fetch.max.bytes %d, max.partition.fetch.bytes %d: %d, want %d", tc.all, tc.partition, got, tc.want)
		}
	}
}
