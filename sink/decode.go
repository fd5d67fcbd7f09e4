package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
)

// UnreadableError is what is wrong with a record that no reading again makes readable; the records around it may be good.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return e.Err.Error() }

func (e *UnreadableError) Unwrap() error { return e.Err }

// Schemas finds the schemas that Avro records were written with and that this release does not know: in the schema registry,
// or on the topic on which the records' source publishes those it writes with. It is safe for concurrent use.
type Schemas struct {
	client   *kafka.Client    // nil: no topics
	registry *registry.Client // nil: none
	writers  schema.Writers
	finding  sync.Mutex
}

// NewSchemas returns Schemas that look where they are given something to look in; both may be nil.
func NewSchemas(client *kafka.Client, registry *registry.Client) *Schemas {
	return &Schemas{client: client, registry: registry}
}

// NewDecoder returns a Decoder that shares the schemas.
func (s *Schemas) NewDecoder() *Decoder {
	return &Decoder{schemas: s, records: schema.Decoder{Writers: &s.writers}}
}

// Decoder reads records in every encoding, see schema.Decoder. It is used by one goroutine.
type Decoder struct {
	schemas *Schemas
	records schema.Decoder
}

// Decode reads the value of a record of topic into c, as schema.Decoder.Decode does; the schema it was written with is looked up
// the first time. Errors: *UnreadableError; *PermanentError when the registry lets us not in; others when it, or Kafka, is
// away, so that the same call may succeed later.
func (d *Decoder) Decode(ctx context.Context, topic string, value []byte, c *schema.Change) error {
	err := d.records.Decode(value, c)
	if err == nil {
		return nil
	}
	var unknown *schema.UnknownSchemaError // on the heap: not for each record
	if errors.As(err, &unknown) {
		if ferr := d.schemas.find(ctx, topic, unknown); ferr != nil {
			return ferr
		}
		err = d.records.Decode(value, c)
	}
	if err != nil {
		return &UnreadableError{err}
	}
	return nil
}

// find looks a schema up and adds it to the known ones.
func (s *Schemas) find(ctx context.Context, topic string, unknown *schema.UnknownSchemaError) error {
	s.finding.Lock() // so that many partitions that meet a new schema ask once each at most, one after the other
	defer s.finding.Unlock()
	if unknown.Schema.InRegistry {
		return s.ask(ctx, unknown)
	}
	return s.read(ctx, topic, unknown)
}

func (s *Schemas) ask(ctx context.Context, unknown *schema.UnknownSchemaError) error {
	if s.registry == nil {
		return &UnreadableError{unknown}
	}
	text, err := s.registry.Schema(ctx, unknown.Schema.ID)
	switch status := registry.Status(err); {
	case err == nil:
		return unreadable(s.writers.Add(unknown.Schema, text))
	case registry.Retriable(err):
		return err
	case status == http.StatusNotFound || status == http.StatusOK: // no such schema, or none that could be ours
		return &UnreadableError{fmt.Errorf("decode change: it was written with %s: %w", unknown.Schema, err)}
	}
	return &PermanentError{fmt.Errorf("value.converter.*: read %s: %w", unknown.Schema, err)}
}

// read looks on the schema topics of the prefixes that topic may have.
func (s *Schemas) read(ctx context.Context, topic string, unknown *schema.UnknownSchemaError) error {
	if s.client == nil {
		return &UnreadableError{unknown}
	}
	infos, err := s.client.Topics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var text string
	for _, t := range infos {
		prefix, ok := schema.PrefixOfSchemaTopic(t.Name)
		if !ok || !strings.HasPrefix(topic, prefix+".") {
			continue
		}
		err := s.client.ReadAll(ctx, t.Name, func(r kafka.Record) error {
			if f, err := strconv.ParseUint(string(r.Key), 16, 64); err == nil && f == unknown.Schema.Fingerprint && len(r.Value) > 0 {
				text = string(r.Value)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read topic %s: %w", t.Name, err)
		}
	}
	if text == "" {
		return &UnreadableError{unknown}
	}
	return unreadable(s.writers.Add(unknown.Schema, text))
}

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &UnreadableError{err}
}
