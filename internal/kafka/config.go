package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/waltap/waltap/internal/secret"
)

// Config says how to reach a Kafka cluster. Only BootstrapServers is required.
type Config struct {
	// BootstrapServers are host:port addresses; any one that answers is enough (bootstrap.servers).
	BootstrapServers []string
	// ClientID is sent with every request and shows in the brokers' logs and quotas (client.id). Default "waltap".
	ClientID string
	// DialTimeout bounds the opening of one connection: TCP, TLS, version negotiation and SASL together. Default 10s, as Java clients have for the first part alone.
	DialTimeout time.Duration
	// RequestTimeout bounds one exchange with a broker, except a produce, which has its own. Default 15s.
	RequestTimeout time.Duration
	// APITimeout bounds one call of this package (other than Produce and ConsumeGroup), retries included, when the
	// call's context does not end sooner. Default 30s.
	APITimeout time.Duration
	// TLS turns on encryption (security.protocol SSL or SASL_SSL).
	TLS *TLS
	// SASL turns on authentication (security.protocol SASL_PLAINTEXT or SASL_SSL).
	SASL *SASL
	// Dial opens a TCP connection; default a net.Dialer. Tests inject faults here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger receives what an operator may want to know and no error returned elsewhere says. Default: discard.
	Logger *slog.Logger
}

// SASL holds the credentials of a connection: sasl.mechanism and the parts of sasl.jaas.config.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username  string
	Password  secret.Secret
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: s.Password.Reveal()}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password.Reveal())
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password.Reveal())
	default:
		return nil, fmt.Errorf("sasl.mechanism %q is not supported: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
	}
}

// withDefaults returns cfg with its defaults filled in, or every fault that it has.
func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	if len(cfg.BootstrapServers) == 0 {
		errs = append(errs, errors.New("bootstrap.servers is empty"))
	}
	for _, s := range cfg.BootstrapServers {
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("bootstrap.servers: %q is not host:port", s))
		}
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "waltap"
	}
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"dial timeout", &cfg.DialTimeout, 10 * time.Second},
		{"request timeout", &cfg.RequestTimeout, 15 * time.Second},
		{"API timeout", &cfg.APITimeout, 30 * time.Second},
	} {
		if *d.v < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative", d.name, *d.v))
		}
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if cfg.SASL != nil {
		if _, err := cfg.SASL.mechanism(); err != nil {
			errs = append(errs, err)
		}
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(errs) > 0 {
		return cfg, fmt.Errorf("check Kafka configuration: %w", errors.Join(errs...))
	}
	return cfg, nil
}

func (cfg Config) bootstrap() string { return strings.Join(cfg.BootstrapServers, ",") }
