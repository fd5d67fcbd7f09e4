package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/testcert"
)

func parseSource(t *testing.T, keys ...string) (*Source, error) {
	t.Helper()
	all := map[string]string{"connector.class": "HBaseSource", "hbase.zookeeper.quorum": "zk", "topic.prefix": "p", "table.include.list": "t"}
	for _, k := range keys {
		name, value, _ := strings.Cut(k, "=")
		all[name] = value
	}
	c, err := ParseConnector("s", all)
	if err != nil {
		return nil, err
	}
	return c.Source, nil
}

// TestConnectClasses: what Kafka Connect's users write means what it means there.
func TestConnectClasses(t *testing.T) {
	url := Registry{Key: "value.converter", URLs: []string{"http://r:8081"}, Wait: 30 * time.Second}
	for _, tc := range []struct {
		keys       []string
		key, value Converter
	}{
		{nil, Converter{Format: FormatBytes}, Converter{Format: FormatAvro}},
		{[]string{"value.converter=io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url=http://r:8081"},
			Converter{Format: FormatBytes, Registry: url}, Converter{Format: FormatAvro, Registry: url}},
		{[]string{"value.converter=org.apache.kafka.connect.json.JsonConverter", "key.converter=org.apache.kafka.connect.storage.StringConverter"},
			Converter{Format: FormatString}, Converter{Format: FormatJSON, SchemasEnable: true}},
		{[]string{"value.converter=org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable=false",
			"key.converter=org.apache.kafka.connect.converters.ByteArrayConverter"},
			Converter{Format: FormatBytes}, Converter{Format: FormatJSON}},
		{[]string{"value.converter=json", "value.converter.json.text=true", "key.converter=json", "key.converter.schemas.enable=true"},
			Converter{Format: FormatJSON, SchemasEnable: true}, Converter{Format: FormatJSON, JSONText: true}},
		{[]string{"value.converter=debezium-json", "value.converter.schemas.enable=true", "key.converter=org.apache.kafka.connect.json.JsonConverter"},
			Converter{Format: FormatJSON, SchemasEnable: true}, Converter{Format: FormatDebeziumJSON, SchemasEnable: true}},
		{[]string{"value.converter=debezium-avro", "value.converter.schema.registry.url=http://r:8081", "key.converter=io.confluent.connect.avro.AvroConverter"},
			Converter{Format: FormatAvro, Registry: url}, Converter{Format: FormatDebeziumAvro, Registry: url}},
	} {
		s, err := parseSource(t, tc.keys...)
		if err != nil {
			t.Errorf("%v: %v", tc.keys, err)
			continue
		}
		tc.key.AutoRegister, tc.value.AutoRegister = true, true
		if d := cmp.Diff([]Converter{tc.key, tc.value}, []Converter{s.KeyConverter, s.ValueConverter}); d != "" {
			t.Errorf("%v (-want +got):\n%s", tc.keys, d)
		}
	}
}

func TestConverterFaults(t *testing.T) {
	t.Setenv("WALTAP_TEST_PASSWORD", "p4ssw0rd")
	const registry = "value.converter.schema.registry.url=http://r"
	for _, tc := range []struct {
		keys []string
		want string
	}{
		{[]string{"value.converter=avr"}, `value.converter: "avr" is not one of avro, json, debezium-avro, debezium-json, io.confluent.connect.avro.AvroConverter, org.apache.kafka.connect.json.JsonConverter: did you mean avro?`},
		{[]string{"value.converter=bytes"}, `value.converter: "bytes" is not one of avro, json, debezium-avro, debezium-json, io.confluent.connect.avro.AvroConverter, org.apache.kafka.connect.json.JsonConverter`},
		{[]string{"value.converter=io.confluent.connect.avro.AvroConverter"}, "value.converter.schema.registry.url: required by AvroConverter; value.converter: avro does without a registry"},
		{[]string{"value.converter.schemas.enable=true"}, "value.converter.schemas.enable: value.converter is avro: only JSON has it; remove the key"},
		{[]string{"key.converter.json.text=true"}, "key.converter.json.text: key.converter is bytes: only JSON has it; remove the key"},
		{[]string{"value.converter=json", "value.converter.schema.registry.url=http://r"}, "value.converter.schema.registry.url: value.converter is json: only Avro uses a registry; remove the key"},
		{[]string{"value.converter.schema.registry.url=registry:8081"}, `value.converter.schema.registry.url: "registry:8081" is not the URL of a registry: want such as http://registry:8081`},
		{[]string{"value.converter.schema.registry.url=http://u:secret@r"}, `value.converter.schema.registry.url: user and password do not go into the URL: give them in basic.auth.user.info`},
		{[]string{"value.converter.basic.auth.user.info=u:${env:WALTAP_TEST_PASSWORD}"}, "value.converter.basic.auth.user.info: there is no registry: give value.converter.schema.registry.url too"},
		{[]string{registry, "value.converter.basic.auth.user.info=u:secret"}, "value.converter.basic.auth.user.info: " + errLiteral.Error()},
		{[]string{registry, "value.converter.basic.auth.user.info=secret"}, "value.converter.basic.auth.user.info: want user:password"},
		{[]string{registry, "value.converter.basic.auth.user.info=${env:WALTAP_TEST_NONE}"}, "value.converter.basic.auth.user.info: ${env:WALTAP_TEST_NONE}: environment variable WALTAP_TEST_NONE is not set: want ${env:NAME}"},
		{[]string{registry, "value.converter.basic.auth.user.info=${env:WALTAP_TEST_PASSWORD}"}, "value.converter.basic.auth.user.info: want user:password"},
		{[]string{registry, "value.converter.bearer.auth.token=secret"}, "value.converter.bearer.auth.token: " + errLiteral.Error()},
		{[]string{registry, "value.converter.basic.auth.credentials.source=USER_INFO"}, "value.converter.basic.auth.user.info: required by value.converter.basic.auth.credentials.source"},
		{[]string{registry, "value.converter.basic.auth.credentials.source=URL"}, `value.converter.basic.auth.credentials.source: "URL" is not one of USER_INFO
value.converter.basic.auth.user.info: required by value.converter.basic.auth.credentials.source`},
		{[]string{registry, "value.converter.basic.auth.user.info=u:${env:WALTAP_TEST_PASSWORD}", "value.converter.bearer.auth.token=${env:WALTAP_TEST_PASSWORD}"},
			"value.converter.bearer.auth.token: value.converter.basic.auth.user.info is given too: give one of the two"},
		{[]string{registry, "value.converter.schema.registry.ssl.truststore.location=/nowhere/ca.pem"}, "value.converter.schema.registry.ssl.truststore.location: open /nowhere/ca.pem: no such file or directory"},
		{[]string{registry, "value.converter.schema.registry.ssl.keystore.key=${env:WALTAP_TEST_PASSWORD}"}, `value.converter.schema.registry.ssl.keystore.key: value.converter.schema.registry.ssl.keystore.key and value.converter.schema.registry.ssl.keystore.certificate.chain belong together: give both`},
		{[]string{registry, "value.converter.schema.registry.ssl.truststore.type=JKS"}, "value.converter.schema.registry.ssl.truststore.type: waltap reads PEM, not JKS: convert the store, set location to the new file and remove this key: " + kafka.TrustStoreCommand("truststore.jks")},
	} {
		_, err := parseSource(t, tc.keys...)
		want := "connector s: " + strings.ReplaceAll(tc.want, "\n", "\nconnector s: ")
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "p4ssw0rd") {
			t.Errorf("%v:\n got %v\nwant %s", tc.keys, err, want)
		}
	}
}

func TestRegistryOfEverything(t *testing.T) {
	ca, err := testcert.NewAuthority("registry")
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := ca.Issue(testcert.Leaf{Hosts: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"USER": "u:p:w", "CA": ca.PEM(), "CHAIN": chain, "KEY": key} {
		t.Setenv("WALTAP_TEST_"+name, value)
	}
	const tls = "value.converter.schema.registry.ssl."
	s, err := parseSource(t, "value.converter.schema.registry.url=https://r", "value.converter.basic.auth.user.info=${env:WALTAP_TEST_USER}",
		tls+"truststore.certificates=${env:WALTAP_TEST_CA}", tls+"truststore.type=PEM", tls+"keystore.key=${env:WALTAP_TEST_KEY}", tls+"keystore.certificate.chain=${env:WALTAP_TEST_CHAIN}")
	if err != nil {
		t.Fatal(err)
	}
	r := s.ValueConverter.Registry
	c, err := r.TLS.Load()
	if err != nil || c.RootCAs == nil || len(c.Certificates) != 1 || r.User != "u" || r.Password.Reveal() != "p:w" {
		t.Errorf("%+v, %v", r, err)
	}
}
