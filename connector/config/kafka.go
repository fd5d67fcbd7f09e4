package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
)

// Kafka says how the brokers are reached, and who waltap is there.
type Kafka struct {
	ClientID string
	SASL     *kafka.SASL // nil: users do not authenticate
	TLS      *kafka.TLS  // nil: nothing is encrypted
}

// Producer holds the keys producer.override.*, of a source.
type Producer struct {
	CompressionType string // none, gzip, snappy, lz4 or zstd
	BatchSize       int
	Linger          time.Duration
	MaxRequestSize  int // 0: no limit
	RequestTimeout  time.Duration
	Idempotence     Idempotence
}

// Idempotence is an enable.idempotence; the zero value is that it was not given.
type Idempotence byte

// What a producer does about producer ids.
const (
	IdempotenceWherePossible Idempotence = iota
	IdempotenceRequired
	IdempotenceOff
)

// Consumer holds the keys consumer.override.*, of a sink.
type Consumer struct {
	FetchMinBytes          int
	FetchMaxBytes          int // 0: the sink's default
	MaxPartitionFetchBytes int // 0: the sink's default
	FetchMaxWait           time.Duration
	SessionTimeout         time.Duration
	HeartbeatInterval      time.Duration // 0: a tenth of SessionTimeout, at most 3 s
	MaxPollInterval        time.Duration
}

// security is what the keys security.protocol, sasl.* and ssl.* say, before they are seen together.
type security struct {
	protocol           string
	mechanism          string
	jaas               jaas
	username           string
	password           secret.Secret
	trustType, keyType string
	tls                kafka.TLS
}

const (
	keyProtocol  = "security.protocol"
	keyMechanism = "sasl.mechanism"
	keyJAAS      = "sasl.jaas.config"
	keyUsername  = "sasl.username"
	keyPassword  = "sasl.password"
)

var (
	protocols  = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
	mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

// completeSecurity makes of the security keys what a Kafka client takes. A key that has no effect is a fault.
func completeSecurity(s *section, p *Process, sec *security, f *faults) {
	if sec.protocol == "" { // faulted already
		return
	}
	before := len(*f)
	sasl, ssl := strings.HasPrefix(sec.protocol, "SASL_"), strings.HasSuffix(sec.protocol, "SSL")
	for i := range kafkaKeys {
		k := &kafkaKeys[i]
		if !s.has(k.Name) || k.Scope != InProcess || s.keys[k.Name].value == k.Default {
			continue
		}
		if strings.HasPrefix(k.Name, "sasl.") && !sasl {
			f.add(s.fault(k.Name), "has no effect with %s %s: set that to SASL_%s, or remove the key", keyProtocol, sec.protocol, sec.protocol)
		}
		if strings.HasPrefix(k.Name, "ssl.") && !ssl {
			f.add(s.fault(k.Name), "has no effect with %s %s: set that to %s, or remove the key", keyProtocol, sec.protocol, encryptedProtocol(sasl))
		}
	}
	if sasl {
		p.Kafka.SASL = completeSASL(s, sec, f)
	}
	if ssl {
		p.Kafka.TLS = &sec.tls
		completeStores(s, sec, f)
	}
	if !ssl || len(*f) > before {
		return
	}
	_, err := sec.tls.Load()
	if fault, ok := errors.AsType[*kafka.KeyFault](err); ok {
		f.add(s.fault(fault.Key), "%v", fault.Err)
	} else if err != nil {
		f.add(s.fault(keyProtocol), "%v", err)
	}
}

func encryptedProtocol(sasl bool) string {
	if sasl {
		return "SASL_SSL"
	}
	return "SSL"
}

// completeSASL takes the credentials from where they stand: in sasl.jaas.config, or in keys of their own.
func completeSASL(s *section, sec *security, f *faults) *kafka.SASL {
	if !s.has(keyMechanism) {
		f.add(s.fault(keyMechanism), "required with %s %s: one of %s", keyProtocol, sec.protocol, strings.Join(mechanisms, ", "))
	}
	if s.has(keyJAAS) {
		for _, name := range []string{keyUsername, keyPassword} {
			if s.has(name) {
				f.add(s.fault(name), "%s is given too: give the credentials in one of the two ways", keyJAAS)
			}
		}
		if sec.jaas.module != "" && s.has(keyMechanism) && !sec.jaas.fits(sec.mechanism) {
			f.add(s.fault(keyJAAS), "%s is not the login module of %s %s: want %s", sec.jaas.module, keyMechanism, sec.mechanism, moduleOf(sec.mechanism))
		}
		return &kafka.SASL{Mechanism: sec.mechanism, Username: sec.jaas.username, Password: sec.jaas.password}
	}
	for _, name := range []string{keyUsername, keyPassword} {
		if !s.has(name) {
			f.add(s.fault(name), "required with %s %s, unless %s is given", keyProtocol, sec.protocol, keyJAAS)
		}
	}
	return &kafka.SASL{Mechanism: sec.mechanism, Username: sec.username, Password: sec.password}
}

// completeStores refuses what is given twice or by halves, and the key stores of Java.
func completeStores(s *section, sec *security, f *faults) {
	checkStores(s, "ssl.", f)
	store := func(name, kind, command string) {
		if kind != "PEM" {
			f.add(s.fault(name+"type"), "waltap reads PEM, not %s: convert the store, set %slocation to the new file and remove this key: %s", kind, name, command)
		}
	}
	store("ssl.truststore.", sec.trustType, kafka.TrustStoreCommand(orStore(sec.tls.TrustStore, "truststore.jks")))
	store("ssl.keystore.", sec.keyType, kafka.KeyStoreCommand(orStore(sec.tls.KeyStore, "keystore.jks")))
}

// checkStores refuses what is given twice or by halves of the keys that begin with prefix.
func checkStores(s *section, prefix string, f *faults) {
	trust, key, password := prefix+"truststore.", prefix+"keystore.", prefix+"key.password"
	if s.has(trust+"location") && s.has(trust+"certificates") {
		f.add(s.fault(trust+"certificates"), "%slocation is given too: give one of the two", trust)
	}
	for _, name := range []string{key + "key", key + "certificate.chain"} {
		if s.has(key+"location") && s.has(name) {
			f.add(s.fault(name), "%slocation is given too, which holds key and certificates: give one of the two", key)
		}
	}
	if s.has(key+"key") != s.has(key+"certificate.chain") && !s.has(key+"location") {
		f.add(s.fault(key+"key"), "%skey and %scertificate.chain belong together: give both", key, key)
	}
	if s.has(password) && !s.has(key+"location") && !s.has(key+"key") {
		f.add(s.fault(password), "there is no key: give %slocation, or %skey and %scertificate.chain", key, key, key)
	}
}

func orStore(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}

// parseStoreType takes the types that Kafka has; completeStores refuses those that waltap does not read.
func parseStoreType(s string) (string, error) {
	if types := []string{"PEM", "JKS", "PKCS12"}; !slices.Contains(types, strings.ToUpper(s)) {
		return "", fmt.Errorf("%q is not one of PEM", s)
	}
	return strings.ToUpper(s), nil
}

// parseHostCheck takes https, and as Kafka does the empty value for no check.
func parseHostCheck(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "https":
		return false, nil
	case "":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither https nor empty", s)
}

// parseTLSVersions sets the range that a list of ssl.enabled.protocols spans.
func parseTLSVersions(t *target, s string) error {
	versions := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}
	list, err := parseEach(s, func(e string) (uint16, error) {
		v, ok := versions[e]
		if !ok {
			return 0, fmt.Errorf("%q is not one of TLSv1.2, TLSv1.3", e)
		}
		return v, nil
	})
	if err != nil {
		return err
	}
	t.security.tls.MinVersion, t.security.tls.MaxVersion = slices.Min(list), slices.Max(list)
	return nil
}

func parseAcks(s string) (string, error) {
	if s != "all" && s != "-1" {
		return "", fmt.Errorf("%q is not all: HBase is told that a record is safe only when all in-sync replicas have it", s)
	}
	return s, nil
}

func parseIdempotence(s string) (Idempotence, error) {
	switch s {
	case "true":
		return IdempotenceRequired, nil
	case "false":
		return IdempotenceOff, nil
	}
	return 0, fmt.Errorf("%q is not true or false", s)
}

func parseIsolation(s string) (string, error) {
	switch s {
	case "read_uncommitted":
		return s, nil
	case "read_committed":
		return "", fmt.Errorf("waltap's sources write without transactions: there is nothing that read_committed would leave out; remove the key")
	}
	return "", fmt.Errorf("%q is not read_uncommitted", s)
}

// completeProducer refuses sizes that contradict each other.
func completeProducer(s *section, p *Producer, f *faults) {
	if p.MaxRequestSize > 0 && p.BatchSize > p.MaxRequestSize {
		if s.has("producer.override.batch.size") {
			f.add(s.fault("producer.override.batch.size"), "%d is larger than producer.override.max.request.size %d", p.BatchSize, p.MaxRequestSize)
		}
		p.BatchSize = p.MaxRequestSize
	}
}

// completeConsumer refuses times that contradict each other.
func completeConsumer(s *section, c *Consumer, f *faults) {
	if c.HeartbeatInterval >= c.SessionTimeout && c.HeartbeatInterval > 0 {
		f.add(s.fault("consumer.override.heartbeat.interval.ms"), "must be less than consumer.override.session.timeout.ms (%d), a third at most", c.SessionTimeout.Milliseconds())
	}
}
