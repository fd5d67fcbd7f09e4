package connector

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/capture"
)

// encodings finds how the records of a source's topics are written. With a registry, a topic's schemas are registered the first
// time it is asked for; the ids are kept, so that a registry that goes away later stops nothing that runs.
type encodings struct {
	prefix     string
	key, value converter

	mu   sync.Mutex
	done map[string]source.Encoding // by topic
}

var _ capture.Encodings = (*encodings)(nil)

// converter is a configured one with its registry, nil for none.
type converter struct {
	name string // of its key
	config.Converter
	registry *registry.Client
}

func newEncodings(s *config.Source, log *slog.Logger) (*encodings, error) {
	e := &encodings{prefix: s.TopicPrefix, done: make(map[string]source.Encoding)}
	for _, c := range []struct {
		name string
		to   *converter
		from config.Converter
	}{{"key.converter", &e.key, s.KeyConverter}, {"value.converter", &e.value, s.ValueConverter}} {
		c.to.name, c.to.Converter = c.name, c.from
		if !c.from.Format.IsAvro() || len(c.from.Registry.URLs) == 0 {
			continue
		}
		var err error
		if c.to.registry, err = OpenRegistry(&c.from.Registry, log); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

// OpenRegistry returns nil when none is configured.
func OpenRegistry(r *config.Registry, log *slog.Logger) (*registry.Client, error) {
	if len(r.URLs) == 0 {
		return nil, nil
	}
	tls, err := r.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("%s.schema.registry.%w", r.Key, err)
	}
	return registry.New(registry.Config{URLs: r.URLs, User: r.User, Password: r.Password.Reveal(), Token: r.Token.Reveal(), TLS: tls, Wait: r.Wait, Log: log})
}

func (e *encodings) close() {
	for _, c := range []*converter{&e.key, &e.value} {
		if c.registry != nil {
			c.registry.Close()
		}
	}
}

// Of implements capture.Encodings.
func (e *encodings) Of(ctx context.Context, topic string) (source.Encoding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.done[topic]; ok {
		return known, nil
	}
	key, err := e.keyEncoder(ctx, topic)
	if err != nil {
		return source.Encoding{}, err
	}
	value, err := e.valueEncoder(ctx, topic)
	if err != nil {
		return source.Encoding{}, err
	}
	e.done[topic] = source.Encoding{Key: key, Value: value}
	return e.done[topic], nil
}

// keyEncoder returns nil for the row's bytes.
func (e *encodings) keyEncoder(ctx context.Context, topic string) (schema.Encoder, error) {
	c := &e.key
	switch c.Format {
	case config.FormatString:
		return schema.StringKeyEncoder{}, nil
	case config.FormatJSON:
		return schema.JSONKeyEncoder{Text: c.JSONText, Schema: c.SchemasEnable}, nil
	case config.FormatAvro:
		head, err := c.head(ctx, topic+"-key", schema.KeyAvroSchema)
		return schema.AvroKeyEncoder{Head: head}, err
	}
	return nil, nil
}

func (e *encodings) valueEncoder(ctx context.Context, topic string) (schema.Encoder, error) {
	c := &e.value
	debezium := schema.Debezium{Name: e.prefix}
	switch c.Format {
	case config.FormatJSON:
		return schema.JSONEncoder{Text: c.JSONText, Schema: c.SchemasEnable}, nil
	case config.FormatDebeziumJSON:
		return &schema.DebeziumJSONEncoder{Debezium: debezium, Text: c.JSONText, Schema: c.SchemasEnable}, nil
	case config.FormatDebeziumAvro:
		head, err := c.head(ctx, topic+"-value", schema.DebeziumAvroSchema)
		return &schema.DebeziumAvroEncoder{Debezium: debezium, Head: head}, err
	}
	head, err := c.head(ctx, topic+"-value", schema.AvroSchema)
	return schema.AvroEncoder{Head: head}, err
}

// head is what goes before an Avro body of the schema text: its id in the registry, under subject, or else its fingerprint.
func (c *converter) head(ctx context.Context, subject, text string) (schema.Head, error) {
	if c.registry == nil {
		return schema.SingleObjectHead(text), nil
	}
	ask := c.registry.Register
	if !c.AutoRegister {
		ask = c.registry.Lookup
	}
	id, err := ask(ctx, subject, text)
	if err != nil {
		return nil, fmt.Errorf("%s: subject %s: %w%s", c.name, subject, err, c.remedy(err, subject))
	}
	return schema.ConfluentHead(id), nil
}

// remedy is what the operator can do about a refusal.
func (c *converter) remedy(err error, subject string) string {
	key, at, name := c.Registry.Key, c.Registry.PublicURL(), url.PathEscape(subject)
	switch status := registry.Status(err); {
	case status == http.StatusConflict:
		return fmt.Sprintf("; the subject holds another schema, with which its compatibility mode does not go together: delete it (curl -X DELETE %s/subjects/%s), "+
			"or let it hold both (curl -X PUT -H 'Content-Type: application/json' -d '{\"compatibility\":\"NONE\"}' %s/config/%s), or capture under another topic.prefix", at, name, at, name)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Sprintf("; check %s.basic.auth.user.info or %s.bearer.auth.token, and the user's right to write the subject", key, key)
	case status == http.StatusNotFound && !c.AutoRegister:
		return fmt.Sprintf("; register the schema, which docs/record.md shows, or set %s.auto.register.schemas: true", c.name)
	case status == http.StatusNotFound:
		return fmt.Sprintf("; is %s.schema.registry.url right? Apicurio's ends with /apis/ccompat/v7", key)
	case registry.Untrusted(err):
		return fmt.Sprintf("; give the certificate of the authority that signed the registry's in %s.schema.registry.ssl.truststore.location", key)
	case registry.Retriable(err):
		return fmt.Sprintf("; records are written once it has given the schema's id: HBase keeps its WAL until then. Check %s.schema.registry.url and start again", key)
	}
	return ""
}
