package config

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/internal/testcert"
)

// stores is a folder with certificates, keys and secrets: DIR in the configurations of these tests.
func stores(t *testing.T) string {
	t.Helper()
	a, err := testcert.NewAuthority("test CA")
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := a.Issue(testcert.Leaf{Subject: pkix.Name{CommonName: "waltap"}, Password: "keypass"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"ca.pem": a.PEM(), "ca.crt": a.PEM(), "tls.crt": chain, "tls.key": key, "tls.password": "keypass\n", "client.pem": chain + key, "chain.pem": chain, "key.pem": key, "store.jks": "\xfe\xed\xfe\xed\x00\x00\x00\x02",
		"password": "hunter2\n",
		"secrets.properties": "kafka.password=hunter2\nkey.password=keypass\nwrong=swordfish\n" +
			`jaas=org.apache.kafka.common.security.plain.PlainLoginModule required username="bob" password="hunter2";` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("WALTAP_TEST_PASSWORD", "hunter2")
	return dir
}

const oneSink = "\nconnectors: [{name: k, connector.class: HBaseSink, hbase.zookeeper.quorum: zk, topics: a}]\n"

// parseProcess parses the keys of a process.
func parseKafka(dir, text string) (*Process, error) {
	return Parse("p.yaml", []byte(strings.ReplaceAll(text, "DIR", dir)+"\nbootstrap.servers: k:9092"+oneSink))
}

func TestSecurity(t *testing.T) {
	dir := stores(t)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	user := func(mechanism, name string) *kafka.SASL {
		return &kafka.SASL{Mechanism: mechanism, Username: name, Password: secret.New("hunter2")}
	}
	both := kafka.TLS{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}
	with := func(change func(*kafka.TLS)) *kafka.TLS {
		c := both
		change(&c)
		return &c
	}
	for _, tc := range []struct {
		name, text string
		want       Kafka
	}{
		{"nothing", "", Kafka{}},
		{"SASL_PLAINTEXT, keys", "security.protocol: SASL_PLAINTEXT\nsasl: {mechanism: SCRAM-SHA-256, username: alice, password: '${file:DIR/secrets.properties:kafka.password}'}",
			Kafka{SASL: user("SCRAM-SHA-256", "alice")}},
		{"password in a file of its own", "security.protocol: SASL_PLAINTEXT\nsasl.mechanism: PLAIN\nsasl.username: alice\nsasl.password: ${directory:DIR:password}",
			Kafka{SASL: user("PLAIN", "alice")}},
		{"password in the environment, user too", "security.protocol: SASL_PLAINTEXT\nsasl.mechanism: PLAIN\nsasl.username: x-${env:WALTAP_TEST_PASSWORD}\nsasl.password: ${env:WALTAP_TEST_PASSWORD}",
			Kafka{SASL: user("PLAIN", "x-hunter2")}},
		{"provider of another name", "config.providers: secrets,env\nconfig.providers.secrets.class: org.apache.kafka.common.config.provider.FileConfigProvider\nsecurity.protocol: SASL_PLAINTEXT\nsasl.mechanism: PLAIN\nsasl.username: alice\nsasl.password: ${secrets:DIR/secrets.properties:kafka.password}",
			Kafka{SASL: user("PLAIN", "alice")}},
		{"JAAS", "security.protocol: SASL_PLAINTEXT\nsasl.mechanism: SCRAM-SHA-512\nsasl.jaas.config: org.apache.kafka.common.security.scram.ScramLoginModule required\\\n  username=\"alice\" password=\"${env:WALTAP_TEST_PASSWORD}\";",
			Kafka{SASL: user("SCRAM-SHA-512", "alice")}},
		{"JAAS as a whole", "security.protocol: SASL_PLAINTEXT\nsasl.mechanism: PLAIN\nsasl.jaas.config: ${file:DIR/secrets.properties:jaas}",
			Kafka{SASL: user("PLAIN", "bob")}},
		{"SSL with the machine's authorities", "security.protocol: SSL", Kafka{TLS: &both}},
		{"SSL with files", "security.protocol: SSL\nssl.truststore: {location: DIR/ca.pem, type: PEM}\nssl.keystore: {location: DIR/client.pem, type: pem}\nssl.key.password: ${file:DIR/secrets.properties:key.password}\nssl.enabled.protocols: TLSv1.3",
			Kafka{TLS: &kafka.TLS{TrustStore: dir + "/ca.pem", KeyStore: dir + "/client.pem", KeyPassword: secret.New("keypass"), MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}}},
		{"SASL_SSL inline", "security.protocol: SASL_SSL\nsasl.mechanism: SCRAM-SHA-512\nsasl.username: alice\nsasl.password: ${env:WALTAP_TEST_PASSWORD}\nssl.truststore.certificates: ${directory:DIR:ca.pem}\nssl.keystore.certificate.chain: ${directory:DIR:chain.pem}\nssl.keystore.key: ${directory:DIR:key.pem}\nssl.key.password: ${file:DIR/secrets.properties:key.password}\nssl.endpoint.identification.algorithm: ''",
			Kafka{SASL: user("SCRAM-SHA-512", "alice"), TLS: with(func(c *kafka.TLS) {
				c.Certificates, c.Chain, c.Key, c.KeyPassword, c.SkipHostCheck = read("ca.pem"), read("chain.pem"), secret.New(read("key.pem")), secret.New("keypass"), true
			})}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseKafka(dir, strings.ReplaceAll(tc.text, "\\\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			tc.want.ClientID = "waltap"
			if d := cmp.Diff(tc.want, got.Kafka); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			shown := fmt.Sprintf("%+v %#v %v", got, got.Kafka.SASL, got.Kafka.TLS)
			if strings.Contains(shown, "hunter2") && !strings.Contains(tc.text, "x-${") || strings.Contains(shown, "keypass") || strings.Contains(shown, "PRIVATE KEY") {
				t.Errorf("a secret shows in %s", shown)
			}
		})
	}
}

func TestSecurityRefused(t *testing.T) {
	dir := stores(t)
	const scram = "security.protocol: SASL_PLAINTEXT\nsasl.mechanism: SCRAM-SHA-512\n"
	for _, tc := range []struct {
		name, text string
		want       []string // the faults, without the file
	}{
		{"a password that stands there", scram + "sasl.username: alice\nsasl.password: hunter2", []string{"4: sasl.password: " + errLiteral.Error()}},
		{"one that is a reference in part", scram + "sasl.username: alice\nsasl.password: hunter2${env:WALTAP_TEST_PASSWORD}", []string{"4: sasl.password: " + errLiteral.Error()}},
		{"a password in JAAS", scram + `sasl.jaas.config: a.b.scram.ScramLoginModule required username="alice" password="hunter2";`, []string{"3: sasl.jaas.config: " + errLiteral.Error()}},
		{"a password without a value", scram + "sasl.username: alice\nsasl.password:", []string{"4: sasl.password: the value is empty: give one or remove the key"}},
		{"a reference to nothing", scram + "sasl.username: alice\nsasl.password: ${env:WALTAP_TEST_NOSUCH}", []string{"4: sasl.password: ${env:WALTAP_TEST_NOSUCH}: environment variable WALTAP_TEST_NOSUCH is not set: want ${env:NAME}"}},
		{"SASL without anything", "security.protocol: SASL_SSL", []string{
			"0: sasl.mechanism: required with security.protocol SASL_SSL: one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
			"0: sasl.password: required with security.protocol SASL_SSL, unless sasl.jaas.config is given",
			"0: sasl.username: required with security.protocol SASL_SSL, unless sasl.jaas.config is given"}},
		{"both ways", scram + "sasl.username: alice\nsasl.jaas.config: ${file:DIR/secrets.properties:jaas}", []string{
			"3: sasl.username: sasl.jaas.config is given too: give the credentials in one of the two ways",
			"4: sasl.jaas.config: org.apache.kafka.common.security.plain.PlainLoginModule is not the login module of sasl.mechanism SCRAM-SHA-512: want scram.ScramLoginModule"}},
		{"keys without effect", "sasl.username: alice\nssl.truststore.location: DIR/ca.pem", []string{
			"1: sasl.username: has no effect with security.protocol PLAINTEXT: set that to SASL_PLAINTEXT, or remove the key",
			"2: ssl.truststore.location: has no effect with security.protocol PLAINTEXT: set that to SSL, or remove the key"}},
		{"SASL keys with SSL", "security.protocol: SSL\nsasl.mechanism: PLAIN", []string{"2: sasl.mechanism: has no effect with security.protocol SSL: set that to SASL_SSL, or remove the key"}},
		{"a JKS store", "security.protocol: SSL\nssl.truststore.location: DIR/store.jks\nssl.truststore.type: JKS", []string{
			"3: ssl.truststore.type: waltap reads PEM, not JKS: convert the store, set ssl.truststore.location to the new file and remove this key: keytool -list -rfc -keystore DIR/store.jks > DIR/store.pem"}},
		{"a JKS store without its type", "security.protocol: SSL\nssl.truststore.location: DIR/store.jks", []string{
			"2: ssl.truststore.location: DIR/store.jks is a JKS key store, waltap reads PEM: convert it with: keytool -list -rfc -keystore DIR/store.jks > DIR/store.pem"}},
		{"a PKCS12 store of our own", "security.protocol: SSL\nssl.keystore.type: PKCS12", []string{
			"2: ssl.keystore.type: waltap reads PEM, not PKCS12: convert the store, set ssl.keystore.location to the new file and remove this key: keytool -importkeystore -srckeystore keystore.jks -destkeystore keystore.jks.p12 -deststoretype PKCS12 && openssl pkcs12 -in keystore.jks.p12 -out keystore.pem (its key stays encrypted: ssl.key.password)"}},
		{"a store's password", "security.protocol: SSL\nssl.keystore.password: hunter2", []string{
			"2: ssl.keystore.password: not supported: a PEM key store has no password; that of its private key is ssl.key.password. docs/kafka-security.md has the commands that convert a JKS or PKCS12 store"}},
		{"twice and by halves", "security.protocol: SSL\nssl.truststore: {location: DIR/ca.pem, certificates: x}\nssl.keystore: {location: DIR/client.pem, key: '${directory:DIR:key.pem}'}", []string{
			"2: ssl.truststore.certificates: ssl.truststore.location is given too: give one of the two",
			"3: ssl.keystore.key: ssl.keystore.location is given too, which holds key and certificates: give one of the two"}},
		{"a key without its chain", "security.protocol: SSL\nssl.keystore.key: ${directory:DIR:key.pem}", []string{
			"2: ssl.keystore.key: ssl.keystore.key and ssl.keystore.certificate.chain belong together: give both"}},
		{"a password of no key", "security.protocol: SSL\nssl.key.password: ${env:WALTAP_TEST_PASSWORD}", []string{
			"2: ssl.key.password: there is no key: give ssl.keystore.location, or ssl.keystore.key and ssl.keystore.certificate.chain"}},
		{"the key's password is wrong", "security.protocol: SSL\nssl.keystore.location: DIR/client.pem\nssl.key.password: ${file:DIR/secrets.properties:wrong}", []string{
			"2: ssl.keystore.location: the private key cannot be decrypted: ssl.key.password is wrong, or the encryption is not PBES2 (openssl pkcs8 -topk8 -v2 aes-256-cbc makes such a key)"}},
		{"a file that is not there", "security.protocol: SSL\nssl.truststore.location: DIR/nosuch.pem", []string{"2: ssl.truststore.location: open DIR/nosuch.pem: no such file or directory"}},
		{"a value of a provider", "security.protocol: ${env:WALTAP_TEST_PASSWORD}", []string{`1: security.protocol: "${env:WALTAP_TEST_PASSWORD}" is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`}},
		{"a provider without a class", "config.providers: vault", []string{"0: config.providers.vault.class: required, for config.providers names vault: one of FileConfigProvider, DirectoryConfigProvider, EnvVarConfigProvider"}},
		{"a class of a provider that is not named", "config.providers.a.class: FileConfigProvider", []string{"1: config.providers.a.class: config.providers does not name a: add it there"}},
		{"a parameter of a provider", "config.providers: env\nconfig.providers.env.param.allowlist.pattern: .*", []string{"2: config.providers.env.param.allowlist.pattern: unknown key"}},
		{"Kerberos", "security.protocol: SASL_SSL\nsasl.mechanism: GSSAPI\nsasl.kerberos.service.name: kafka\nsasl.username: a\nsasl.password: ${env:WALTAP_TEST_PASSWORD}", []string{
			`2: sasl.mechanism: "GSSAPI" is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`,
			"3: sasl.kerberos.service.name: not supported: sasl.mechanism GSSAPI is not supported: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or a client certificate (ssl.keystore.*)"}},
		{"a misspelt key", "ssl.truststore.locatoin: x", []string{"1: ssl.truststore.locatoin: unknown key: did you mean ssl.truststore.location?"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parseKafka(dir, tc.text)
			if err == nil {
				t.Fatal("accepted")
			}
			var want []string
			for _, w := range tc.want {
				want = append(want, strings.Replace("p.yaml:"+strings.ReplaceAll(w, "DIR", dir), "p.yaml:0:", "p.yaml:", 1))
			}
			if d := cmp.Diff(strings.Join(want, "\n"), err.Error()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			for _, hidden := range []string{"hunter2", "swordfish", "keypass", "PRIVATE KEY"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
}

func TestJAAS(t *testing.T) {
	t.Setenv("WALTAP_TEST_PASSWORD", `it's "quoted"; =\`)
	const module = "org.apache.kafka.common.security.scram.ScramLoginModule"
	for _, text := range []string{
		module + ` required username="al ice" password="${env:WALTAP_TEST_PASSWORD}";`,
		module + " Required\n\tpassword = '${env:WALTAP_TEST_PASSWORD}'\n\tusername = \"al\\x20ice\" ;",
		module + ` required password=${env:WALTAP_TEST_PASSWORD} username="al\ ice";`,
		"shaded." + module + ` optional username='al ice' password="${env:WALTAP_TEST_PASSWORD}";`,
	} {
		text = strings.ReplaceAll(text, `\x20`, " ")
		j, err := parseJAAS(new(secret.Resolver), text)
		if err != nil || j.username != "al ice" || j.password.Reveal() != `it's "quoted"; =\` || !j.fits("SCRAM-SHA-256") || j.fits("PLAIN") {
			t.Errorf("%s: %+v, %v", text, j, err)
		}
	}
	for text, want := range map[string]string{
		"":                            "want one login module",
		"hunter2":                     "want one login module",
		module + ` required;`:         "has no option username",
		module + ` username="a";`:     "want one login module",
		module + ` required username`: "want one login module",
		module + ` required username="a" password="${env:WALTAP_TEST_PASSWORD}"`:                           "want one login module",
		module + ` required username="hunter2`:                                                             "a quote has no end",
		module + ` required username="a" password="${env:X`:                                                "a quote has no end",
		module + ` required username=a password=${env:X`:                                                   "a reference ${ has no end",
		module + ` required username="a" password="${env:WALTAP_TEST_PASSWORD}" tokenauth="hunter2";`:      "an option beside username and password",
		module + ` required username="a" password="${env:WALTAP_TEST_PASSWORD}"; ` + module + ` required;`: "want one login module",
		`com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;`:                            "none that waltap has",
		module + ` required username="a" password="${env:WALTAP_TEST_NOSUCH}";`:                            "WALTAP_TEST_NOSUCH is not set",
		module + ` required username="${env:WALTAP_TEST_NOSUCH}" password="${env:WALTAP_TEST_PASSWORD}";`:  "WALTAP_TEST_NOSUCH is not set",
	} {
		if _, err := parseJAAS(new(secret.Resolver), text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func FuzzJAAS(f *testing.F) {
	f.Add(`a.plain.PlainLoginModule required username="a" password="b";`)
	f.Add(`a='\\`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := jaasWords(text)
		if err != nil {
			return
		}
		if _, options, err := jaasOptions(words); err == nil && len(options) > 2 {
			t.Errorf("%q has options %v", text, options)
		}
	})
}

func TestRefusedKeys(t *testing.T) {
	for _, r := range Refusals() {
		name := strings.Replace(r.Name, "*", "x", 1)
		if k := lookup(name); k != nil {
			t.Errorf("%s is refused and a key", name)
		}
		if !strings.HasPrefix(r.Name, "ssl.") && !strings.HasPrefix(r.Name, "sasl.") && r.Scope == InProcess {
			t.Errorf("%s is no key of a process", r.Name)
		}
		class, more := "HBaseSource", map[string]string{"topic.prefix": "p", "table.include.list": "t"}
		if r.Scope == InSink {
			class, more = "HBaseSink", map[string]string{"topics": "a"}
		}
		if r.Scope == InProcess {
			continue // see TestSecurityRefused
		}
		more["connector.class"], more["hbase.zookeeper.quorum"], more[name] = class, "zk", "1"
		_, err := ParseConnector("c", more)
		if want := "connector c: " + name + ": not supported: " + r.Reason; err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestContradictions(t *testing.T) {
	source := func(more string) string { return strings.TrimRight(goodSource, "\n") + "\n    " + more + "\n" }
	sink := func(more string) string { return strings.TrimRight(goodSink, "\n") + "\n    " + more + "\n" }
	for text, want := range map[string]string{
		source("topic.creation.default.cleanup.policy: compact"):                           "p.yaml:8: connector s: topic.creation.default.cleanup.policy: a record holds the part of a row that was changed, so compaction would lose cells: use delete, or accept that by topic.compacted.allow: true",
		source("producer.override: {batch.size: 2MiB, max.request.size: 1MiB}"):            "p.yaml:8: connector s: producer.override.batch.size: 2097152 is larger than producer.override.max.request.size 1048576",
		sink("consumer.override: {session.timeout.ms: 6000, heartbeat.interval.ms: 6000}"): "p.yaml:7: connector k: consumer.override.heartbeat.interval.ms: must be less than consumer.override.session.timeout.ms (6000), a third at most",
		source("consumer.override.fetch.min.bytes: 1"):                                     "p.yaml:8: connector s: consumer.override.fetch.min.bytes: this is a key of connectors of class HBaseSink",
		source("sasl.mechanism: PLAIN"):                                                    "p.yaml:8: connector s: sasl.mechanism: this is a key of the process (at the top of the file)",
	} {
		if _, err := Parse("p.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	// A smaller limit of a request lowers the default of a batch.
	p, err := Parse("p.yaml", []byte(source("producer.override.max.request.size: 100KiB")))
	if err != nil || p.Connectors[0].Source.Producer.BatchSize != 100<<10 {
		t.Errorf("batch.size %+v, %v", p, err)
	}
}
