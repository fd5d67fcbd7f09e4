package connector

import (
	"log/slog"
	"math"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
)

// KafkaConfig is how a process reaches Kafka; log may be nil.
func KafkaConfig(p *config.Process, log *slog.Logger) kafka.Config {
	return kafka.Config{BootstrapServers: p.BootstrapServers, ClientID: p.Kafka.ClientID, TLS: p.Kafka.TLS, SASL: p.Kafka.SASL, Logger: log}
}

func producerConfig(p config.Producer) kafka.ProducerConfig {
	return kafka.ProducerConfig{
		Compression: p.CompressionType, MaxBatchBytes: p.BatchSize, MaxRequestBytes: p.MaxRequestSize, Linger: p.Linger, RequestTimeout: p.RequestTimeout,
		DisableIdempotence: p.Idempotence == config.IdempotenceOff, RequireIdempotence: p.Idempotence == config.IdempotenceRequired,
	}
}

// fetchMaxBytes is how much a sink fetches at once: each partition is fetched by itself, so all limits count.
func fetchMaxBytes(s *config.Sink) int {
	most := math.MaxInt
	for _, limit := range []int{s.Consumer.FetchMaxBytes, s.Consumer.MaxPartitionFetchBytes} {
		if limit > 0 {
			most = min(most, limit)
		}
	}
	if most == math.MaxInt {
		return 0 // the sink's own default
	}
	return most
}
