package connector

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
)

// RegistryCheck is the check of CheckEncodings and CheckRegistry.
var RegistryCheck = &check.Check{Name: "registry", Title: "The schema registry answers and has the schemas, or takes them",
	Means:  "The schemas of keys and values are looked up under the subject of each topic. Nothing is registered. Only where a registry is configured.",
	Limits: "Whether the registry will take a schema that a subject lacks: its compatibility mode and the user's right to write are first seen when the connector starts.",
	Remedy: "Check *.schema.registry.url and what goes with it (Apicurio's URL ends with /apis/ccompat/v7)."}

// CheckEncodings looks the schemas of a source's topics up.
func CheckEncodings(ctx context.Context, s *config.Source, topics []string) []check.Result {
	now := *s // a registry that is away is not waited for
	now.KeyConverter.Registry.Wait, now.ValueConverter.Registry.Wait = 0, 0
	e, err := newEncodings(&now, slog.New(slog.DiscardHandler))
	if err != nil {
		return []check.Result{RegistryCheck.Error("", err)}
	}
	defer e.close()
	t := check.Tally{Check: RegistryCheck}
	for _, c := range []struct {
		*converter
		suffix, text string
	}{{&e.key, "-key", schema.KeyAvroSchema}, {&e.value, "-value", e.valueSchema()}} {
		if c.registry == nil {
			continue
		}
		for _, topic := range topics {
			r, there := c.look(ctx, topic+c.suffix, c.text)
			if !there {
				t.Add(r)
				break // the others are as this one
			}
			if r.Severity == check.OK {
				t.Right("subject "+topic+c.suffix, r.Found)
				continue
			}
			t.Add(r)
		}
	}
	return t.Results()
}

// valueSchema is the Avro schema of values.
func (e *encodings) valueSchema() string {
	if e.value.Format == config.FormatDebeziumAvro {
		return schema.DebeziumAvroSchema
	}
	return schema.AvroSchema
}

// look looks a schema up; there is false when the registry does not serve us.
func (c *converter) look(ctx context.Context, subject, text string) (r check.Result, there bool) {
	id, err := c.registry.Lookup(ctx, subject, text)
	switch {
	case err == nil:
		return RegistryCheck.Right(subject, "the schemas are there, such as id %d", id), true
	case registry.Status(err) == http.StatusNotFound && registry.Code(err) != 0 && c.AutoRegister:
		return RegistryCheck.Right(subject, "the schemas are there, or will be registered"), true
	case registry.Status(err) == http.StatusNotFound && registry.Code(err) != 0:
		return RegistryCheck.Error("subject "+subject, fmt.Errorf("the schema is not registered, and %s.auto.register.schemas is false%s", c.name, c.remedy(err, subject))), true
	}
	return RegistryCheck.Error("", fmt.Errorf("%s: %w%s", c.name, err, c.remedy(err, subject))), false
}

// CheckRegistry asks the registry of a sink for anything.
func CheckRegistry(ctx context.Context, r config.Registry) []check.Result {
	r.Wait = 0
	client, err := OpenRegistry(&r, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return []check.Result{RegistryCheck.Error("", err)}
	case client == nil:
		return nil
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		c := converter{name: r.Key, Converter: config.Converter{Registry: r, AutoRegister: true}}
		return []check.Result{RegistryCheck.Error("", fmt.Errorf("%w%s", err, c.remedy(err, "")))}
	}
	return []check.Result{RegistryCheck.Right("", "it answers")}
}
