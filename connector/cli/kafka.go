package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waltap/waltap/connector"
	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/kafka"
)

// kafkaConnectTimeout bounds the first contact with Kafka.
const kafkaConnectTimeout = 15 * time.Second

// kafkaFlags say which Kafka cluster is meant.
type kafkaFlags struct {
	BootstrapServer string `help:"Kafka brokers, host:port,host:port." placeholder:"HOST:PORT"`
	File            string `short:"f" help:"Take the brokers, with how they are reached (security.protocol, sasl.*, ssl.*), from this configuration instead." placeholder:"FILE"`
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
