package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
)

// Ends of names of registryKeys.
const (
	registryURL = ".schema.registry.url"
	registrySSL = ".schema.registry.ssl."
)

// converterKeys are the keys of encodings and of the schema registry.
var converterKeys = slices.Concat([]Key{
	{
		Name: valueConverter, Scope: InSource, Type: String, Default: string(FormatAvro),
		Values: []string{"avro", "json", "debezium-avro", "debezium-json", "io.confluent.connect.avro.AvroConverter", "org.apache.kafka.connect.json.JsonConverter"},
		Doc:    "Encoding of record values; docs/record.md shows all of them. avro: in Confluent's wire format with a schema registry, in single-object encoding without. json: bytes as base64. debezium-avro and debezium-json: in the shape of Debezium's events. The class names of Kafka Connect mean avro and json; the latter with schemas.enable, unless that is set.",
		set:    setFormat(func(t *target) *Converter { return &t.source.ValueConverter }),
	},
	{
		Name: keyConverter, Scope: InSource, Type: String, Default: string(FormatBytes),
		Values: []string{"bytes", "string", "json", "avro", "org.apache.kafka.connect.converters.ByteArrayConverter", "org.apache.kafka.connect.storage.StringConverter", "org.apache.kafka.connect.json.JsonConverter", "io.confluent.connect.avro.AvroConverter"},
		Doc:    "Encoding of record keys. bytes: the row key. string: the row key as text, other bytes as \\xNN. json and avro: a record with the field row. A row's partition follows from its bytes in any case.",
		set:    setFormat(func(t *target) *Converter { return &t.source.KeyConverter }),
	},
},
	jsonKeys(valueConverter, func(t *target) *Converter { return &t.source.ValueConverter }),
	jsonKeys(keyConverter, func(t *target) *Converter { return &t.source.KeyConverter }),
	registryKeys(valueConverter, InSource|InSink, "none: Avro in single-object encoding; a sink reads no Avro of a registry", func(t *target) *Registry {
		if t.source != nil {
			return &t.source.ValueConverter.Registry
		}
		return &t.sink.Registry
	}),
	registryKeys(keyConverter, InSource, "that of value.converter, with its other keys", func(t *target) *Registry { return &t.source.KeyConverter.Registry }),
)

func jsonKeys(prefix string, converter func(*target) *Converter) []Key {
	return []Key{
		{
			Name: prefix + ".schemas.enable", Scope: InSource, Type: Boolean, DefaultDoc: "false; true with the class JsonConverter", Example: "true",
			Doc: "JSON with its schema around it, as Kafka Connect's JsonConverter reads it with the same setting.",
			set: boolean(func(t *target) *bool { return &converter(t).SchemasEnable }),
		},
		{
			Name: prefix + ".json.text", Scope: InSource, Type: Boolean, DefaultDoc: "false", Example: "true",
			Doc: "In JSON, write bytes that are text as they are, in a field with Text at the end of its name (valueText), instead of as base64.",
			set: boolean(func(t *target) *bool { return &converter(t).JSONText }),
		},
		{
			Name: prefix + ".schema.registry.wait.ms", Scope: InSource, Type: Milliseconds, DefaultDoc: "30000", Max: maxMilliseconds, Example: "60000",
			Doc: "How long to wait at the start for a registry that does not answer, before the connector fails; HBase keeps its WAL meanwhile.",
			set: milliseconds(func(t *target) *time.Duration { return &converter(t).Registry.Wait }),
		},
		{
			Name: prefix + ".auto.register.schemas", Scope: InSource, Type: Boolean, DefaultDoc: "true", Example: "false",
			Doc: "Put the schema into the registry when a topic is first used. false: it must be there (docs/record.md shows it).",
			set: boolean(func(t *target) *bool { return &converter(t).AutoRegister }),
		},
	}
}

// registryKeyNames are the ends of the names of registryKeys.
var registryKeyNames = func() (names []string) {
	for _, k := range registryKeys("", 0, "", nil) {
		names = append(names, k.Name)
	}
	return names
}()

func registryKeys(prefix string, scope Scope, none string, registry func(*target) *Registry) []Key {
	return []Key{
		{
			Name: prefix + registryURL, Scope: scope, Type: List, DefaultDoc: none, Example: "http://registry-1:8081, http://registry-2:8081",
			Doc: "Schema registry, with Confluent's REST interface; several URLs are tried one after the other. Apicurio's end with /apis/ccompat/v7. A source registers the schema of a topic under <topic>-value and <topic>-key.",
			set: into(parseRegistryURLs, func(t *target) *[]string { return &registry(t).URLs }),
		},
		{
			Name: prefix + ".basic.auth.credentials.source", Scope: scope, Type: String, DefaultDoc: "USER_INFO, when basic.auth.user.info is given", Values: []string{"USER_INFO"}, Example: "USER_INFO",
			Doc: "Where user and password for the registry come from.",
			set: func(*target, string) error { return nil },
		},
		{
			Name: prefix + ".basic.auth.user.info", Scope: scope, Type: Password, Example: "waltap:${file:/etc/waltap/secrets.properties:registry.password}", asWritten: true,
			Doc: "User and password for the registry (HTTP basic authentication), user:password. The password, or the whole, is a reference.",
			set: setUserInfo(registry),
		},
		{
			Name: prefix + ".bearer.auth.credentials.source", Scope: scope, Type: String, DefaultDoc: "STATIC_TOKEN, when bearer.auth.token is given", Values: []string{"STATIC_TOKEN"}, Example: "STATIC_TOKEN",
			Doc: "Where the bearer token for the registry comes from.",
			set: func(*target, string) error { return nil },
		},
		{
			Name: prefix + ".bearer.auth.token", Scope: scope, Type: Password, Example: "${directory:/run/secrets:registry-token}",
			Doc: "Bearer token for the registry; a reference.",
			set: password(func(t *target) *secret.Secret { return &registry(t).Token }),
		},
		{
			Name: prefix + registrySSL + "truststore.location", Scope: scope, Type: String, DefaultDoc: "none: the authorities that this machine trusts", Example: "/etc/waltap/registry-ca.pem",
			Doc: "PEM file with the certificates of the authorities that sign the registry's certificate.",
			set: text(func(t *target) *string { return &registry(t).TLS.TrustStore }),
		},
		{
			Name: prefix + registrySSL + "truststore.certificates", Scope: scope, Type: String, Example: "${directory:/run/secrets:registry-ca.crt}",
			Doc: "The same inline.",
			set: text(func(t *target) *string { return &registry(t).TLS.Certificates }),
		},
		{
			Name: prefix + registrySSL + "truststore.type", Scope: scope, Type: String, DefaultDoc: "PEM", Values: []string{"PEM"}, anyValue: true, Example: "PEM",
			Doc: "JKS and PKCS12 are refused with the command that converts them.",
			set: checkPEM(kafka.TrustStoreCommand("truststore.jks")),
		},
		{
			Name: prefix + registrySSL + "keystore.location", Scope: scope, Type: String, Example: "/etc/waltap/registry-client.pem",
			Doc: "PEM file with waltap's own private key and its certificate chain, for a registry that wants one.",
			set: text(func(t *target) *string { return &registry(t).TLS.KeyStore }),
		},
		{
			Name: prefix + registrySSL + "keystore.certificate.chain", Scope: scope, Type: String, Example: "${directory:/run/secrets:tls.crt}",
			Doc: "The certificate chain inline, PEM; with keystore.key.",
			set: text(func(t *target) *string { return &registry(t).TLS.Chain }),
		},
		{
			Name: prefix + registrySSL + "keystore.key", Scope: scope, Type: Password, Example: "${directory:/run/secrets:tls.key}",
			Doc: "The private key inline, PEM (PKCS#8, also encrypted); a reference.",
			set: password(func(t *target) *secret.Secret { return &registry(t).TLS.Key }),
		},
		{
			Name: prefix + registrySSL + "keystore.type", Scope: scope, Type: String, DefaultDoc: "PEM", Values: []string{"PEM"}, anyValue: true, Example: "PEM",
			Doc: "JKS and PKCS12 are refused with the command that converts them.",
			set: checkPEM(kafka.KeyStoreCommand("keystore.jks")),
		},
		{
			Name: prefix + registrySSL + "key.password", Scope: scope, Type: Password, Example: "${env:REGISTRY_KEY_PASSWORD}",
			Doc: "Password of the private key, when that is encrypted; a reference.",
			set: password(func(t *target) *secret.Secret { return &registry(t).TLS.KeyPassword }),
		},
	}
}

// checkPEM takes a store.type of PEM only.
func checkPEM(command string) func(*target, string) error {
	return func(_ *target, value string) error {
		kind, err := parseStoreType(value)
		if err == nil && kind != "PEM" {
			err = fmt.Errorf("waltap reads PEM, not %s: convert the store, set location to the new file and remove this key: %s", kind, command)
		}
		return err
	}
}
