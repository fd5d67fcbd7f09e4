package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/sink"
)

// kafkaConnectTimeout bounds the first contact with Kafka.
const kafkaConnectTimeout = 15 * time.Second

// kafkaFlags say which Kafka cluster is meant.
type kafkaFlags struct {
	BootstrapServer string `help:"Kafka brokers, host:port,host:port." placeholder:"HOST:PORT"`
	File            string `short:"f" help:"Take the brokers, with how they are reached (security.protocol, sasl.*, ssl.*), and the schema registry from this configuration instead." placeholder:"FILE"`

	registryFlags
}

// registryFlags say where the schemas of Avro records are.
type registryFlags struct {
	SchemaRegistryURL string `help:"Schema registry of Avro records. Default: with -f that of the configuration's first connector that has one, with its user and certificates." placeholder:"URL"`
}

// connect returns a client and, with -f, the configuration.
func (k *kafkaFlags) connect(ctx context.Context) (*kafka.Client, *config.Process, error) {
	if (k.File == "") == (k.BootstrapServer == "") {
		return nil, nil, usageError{errors.New("give either --bootstrap-server or -f")}
	}
	cfg := &config.Process{BootstrapServers: strings.Split(k.BootstrapServer, ",")}
	if k.File != "" {
		var err error
		if cfg, err = config.ParseFile(k.File); err != nil {
			return nil, nil, usageError{fmt.Errorf("read the configuration:\n%w", err)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaConnectTimeout)
	defer cancel()
	client, err := kafka.Connect(ctx, connector.KafkaConfig(cfg, nil))
	return client, cfg, err
}

// schemas are those of the registry, and of the sources that publish theirs; client and cfg may be nil.
func (r *registryFlags) schemas(client *kafka.Client, cfg *config.Process) (*sink.Schemas, error) {
	found := config.Registry{Key: "--schema-registry-url"}
	if r.SchemaRegistryURL != "" {
		found.URLs = strings.Split(r.SchemaRegistryURL, ",")
	} else if cfg != nil {
		found = cfg.Registry()
	}
	registry, err := connector.OpenRegistry(&found, slog.New(slog.DiscardHandler))
	return sink.NewSchemas(client, registry), err
}
