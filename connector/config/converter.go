package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
)

// Converter says how keys or values of a source's records are written.
type Converter struct {
	Format        Format
	SchemasEnable bool // JSON: with its schema, for Kafka Connect's JsonConverter
	JSONText      bool // JSON: bytes that are text as they are
	AutoRegister  bool // schemas are put into the registry; else they must be there
	Registry      Registry
}

// Format is what a key.converter or value.converter writes.
type Format string

// The formats of keys and values.
const (
	FormatBytes        Format = "bytes"  // of keys
	FormatString       Format = "string" // of keys
	FormatAvro         Format = "avro"
	FormatJSON         Format = "json"
	FormatDebeziumAvro Format = "debezium-avro" // of values
	FormatDebeziumJSON Format = "debezium-json" // of values
)

// IsAvro reports whether the format is one of Avro's.
func (f Format) IsAvro() bool { return f == FormatAvro || f == FormatDebeziumAvro }

// IsJSON reports whether the format is one of JSON's.
func (f Format) IsJSON() bool { return f == FormatJSON || f == FormatDebeziumJSON }

// classes are those of Kafka Connect that stand for formats.
var classes = map[string]Format{
	"io.confluent.connect.avro.AvroConverter":                FormatAvro,
	"org.apache.kafka.connect.json.JsonConverter":            FormatJSON,
	"org.apache.kafka.connect.storage.StringConverter":       FormatString,
	"org.apache.kafka.connect.converters.ByteArrayConverter": FormatBytes,
}

// Registry is a schema registry, and who waltap is there.
type Registry struct {
	Key      string   // what its keys begin with, such as value.converter
	URLs     []string // none: no registry
	User     string   // "": none
	Password secret.Secret
	Token    secret.Secret
	TLS      kafka.TLS
	Wait     time.Duration // of a source
}

// Registry is that of the first connector that has one.
func (p *Process) Registry() Registry {
	for _, c := range p.Connectors {
		switch {
		case c.Source != nil && len(c.Source.ValueConverter.Registry.URLs) > 0:
			return c.Source.ValueConverter.Registry
		case c.Sink != nil && len(c.Sink.Registry.URLs) > 0:
			return c.Sink.Registry
		}
	}
	return Registry{}
}

// PublicURL is the first of URLs, for commands to run.
func (r *Registry) PublicURL() string { return r.URLs[0] }

// registryWait is the default of schema.registry.wait.ms.
const registryWait = 30 * time.Second

const (
	keyConverter   = "key.converter"
	valueConverter = "value.converter"
)

func setFormat(converter func(*target) *Converter) func(*target, string) error {
	return func(t *target, value string) error {
		format, class := classes[value]
		if !class {
			format = Format(value)
		}
		converter(t).Format = format
		return nil
	}
}

func parseRegistryURLs(s string) ([]string, error) {
	return parseEach(s, func(e string) (string, error) {
		u, err := url.Parse(e)
		switch {
		case err == nil && u.User != nil:
			return "", fmt.Errorf("user and password do not go into the URL: give them in basic.auth.user.info")
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
			return "", fmt.Errorf("%q is not the URL of a registry: want such as http://registry:8081", e)
		}
		return strings.TrimRight(e, "/"), nil
	})
}

// setUserInfo reads user:password, as one reference or with a password that is one.
func setUserInfo(registry func(*target) *Registry) func(*target, string) error {
	return func(t *target, value string) error {
		whole := secret.IsReference(value)
		if whole {
			resolved, err := t.resolver.Resolve(value)
			if err != nil {
				return err
			}
			value = resolved.Text
		}
		user, password, ok := strings.Cut(value, ":")
		if !ok || user == "" {
			return errors.New("want user:password")
		}
		if !whole {
			if !secret.IsReference(password) {
				return errLiteral
			}
			resolved, err := t.resolver.Resolve(password)
			if err != nil {
				return err
			}
			password = resolved.Text
		}
		r := registry(t)
		r.User, r.Password = user, secret.New(password)
		return nil
	}
}

// completeConverters fills what depends on other keys, and faults keys that have no effect.
func completeConverters(s *section, c *Source, f *faults) {
	for _, conv := range []struct {
		prefix string
		*Converter
	}{{keyConverter, &c.KeyConverter}, {valueConverter, &c.ValueConverter}} {
		_, class := classes[s.keys[conv.prefix].value]
		if !s.has(conv.prefix+".schemas.enable") && class && conv.Format == FormatJSON {
			conv.SchemasEnable = true
		}
		if !s.has(conv.prefix + ".auto.register.schemas") {
			conv.AutoRegister = true
		}
		if !conv.Format.IsJSON() {
			s.useless(f, conv.prefix, conv.Format, "only JSON has it", ".schemas.enable", ".json.text")
		}
		if !conv.Format.IsAvro() {
			s.useless(f, conv.prefix, conv.Format, "only Avro uses a registry", slices.Concat(registryKeyNames, []string{".auto.register.schemas", ".schema.registry.wait.ms"})...)
		} else {
			completeRegistry(s, conv.prefix, &conv.Registry, f)
			if len(conv.Registry.URLs) > 0 && !s.has(conv.prefix+".schema.registry.wait.ms") {
				conv.Registry.Wait = registryWait
			}
		}
		if class && conv.Format == FormatAvro && !s.has(conv.prefix+registryURL) && !s.has(valueConverter+registryURL) {
			f.add(s.fault(conv.prefix+registryURL), "required by AvroConverter; %s: avro does without a registry", conv.prefix)
		}
	}
	if len(c.KeyConverter.Registry.URLs) == 0 {
		c.KeyConverter.Registry = c.ValueConverter.Registry
	}
}

// useless faults those of the keys that are given.
func (s *section) useless(f *faults, prefix string, format Format, why string, names ...string) {
	for _, name := range names {
		if s.has(prefix + name) {
			f.add(s.fault(prefix+name), "%s is %s: %s; remove the key", prefix, format, why)
		}
	}
}

func completeRegistry(s *section, prefix string, r *Registry, f *faults) {
	if len(r.URLs) > 0 {
		r.Key = prefix
	}
	if len(r.URLs) == 0 && !s.has(prefix+registryURL) {
		for _, name := range registryKeyNames {
			if s.has(prefix + name) {
				f.add(s.fault(prefix+name), "there is no registry: give %s%s too", prefix, registryURL)
			}
		}
	}
	if r.User != "" && !r.Token.IsZero() {
		f.add(s.fault(prefix+".bearer.auth.token"), "%s.basic.auth.user.info is given too: give one of the two", prefix)
	}
	for name, has := range map[string]bool{".basic.auth.user.info": r.User != "", ".bearer.auth.token": !r.Token.IsZero()} {
		source := strings.TrimSuffix(strings.TrimSuffix(name, ".user.info"), ".token") + ".credentials.source"
		if s.has(prefix+source) && !has && !s.has(prefix+name) {
			f.add(s.fault(prefix+name), "required by %s%s", prefix, source)
		}
	}
	checkRegistryTLS(s, prefix, r, f)
}

func checkRegistryTLS(s *section, prefix string, r *Registry, f *faults) {
	before := len(*f)
	checkStores(s, prefix+registrySSL, f)
	if len(*f) > before {
		return
	}
	_, err := r.TLS.Load()
	if fault, ok := errors.AsType[*kafka.KeyFault](err); ok {
		f.add(s.fault(prefix+strings.TrimSuffix(registrySSL, "ssl.")+fault.Key), "%v", fault.Err)
	} else if err != nil {
		f.add(s.fault(prefix+registryURL), "%v", err)
	}
}
