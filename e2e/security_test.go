//go:build e2e

package e2e

import (
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/testcert"
)

// secretsFile holds the passwords of the users, key password.<user>.
func secretsFile(t *testing.T) string {
	t.Helper()
	text := "password.wrong=swordfish\n"
	for user, password := range testenv.Passwords {
		text += "password." + user + "=" + password + "\n"
	}
	file := filepath.Join(t.TempDir(), "secrets.properties")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// noSecret fails the test when text holds a password.
func noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, password := range append(slices.Collect(maps.Values(testenv.Passwords)), "swordfish") {
		if strings.Contains(text, password) {
			t.Errorf("%s tells a password", where)
		}
	}
	if strings.Contains(text, "PRIVATE KEY") {
		t.Errorf("%s tells a private key", where)
	}
}

// TestKafkaRefusesWithTheRemedy: what a real broker does with a client that is wrong in one thing.
func TestKafkaRefusesWithTheRemedy(t *testing.T) {
	t.Parallel()
	k := env.SecureKafka(t)
	secrets := secretsFile(t)
	stranger, err := testcert.NewAuthority("a stranger")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	strangerCA, strangerKey := filepath.Join(dir, "stranger.pem"), filepath.Join(dir, "stranger-key.pem")
	chain, key, err := stranger.Issue(testcert.Leaf{Subject: pkix.Name{CommonName: "waltap"}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{strangerCA: stranger.PEM(), strangerKey: key + chain} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, saslPort, err := net.SplitHostPort(k.Listener(servers.SASLSSL))
	if err != nil {
		t.Fatal(err)
	}
	sasl := func(protocol, mechanism, user, password string) keys {
		return keys{"security.protocol": protocol, "sasl.mechanism": mechanism, "sasl.username": user,
			"sasl.password": fmt.Sprintf("${file:%s:password.%s}", secrets, password)}
	}
	with := func(base keys, name, value string) keys {
		base[name] = value
		return base
	}
	trust := func(base keys) keys { return with(base, "ssl.truststore.location", k.AuthorityFile()) }
	for _, tc := range []struct {
		name, bootstrap string
		keys            keys
		want            []string
	}{
		{"SCRAM, wrong password", k.Listener(servers.SASLSSL), trust(sasl("SASL_SSL", "SCRAM-SHA-512", "waltap", "wrong")), []string{`user "waltap" or the password is wrong`, "sasl.password"}},
		{"PLAIN, wrong password", k.Listener(servers.SASLPlaintext), sasl("SASL_PLAINTEXT", "PLAIN", "waltap", "wrong"), []string{`user "waltap" or the password is wrong`, "sasl.password"}},
		{"no such user", k.Listener(servers.SASLSSL), trust(sasl("SASL_SSL", "SCRAM-SHA-256", "nobody", "waltap")), []string{`user "nobody"`}},
		{"another authority", k.Listener(servers.SASLSSL), with(sasl("SASL_SSL", "SCRAM-SHA-512", "waltap", "waltap"), "ssl.truststore.location", strangerCA), []string{"unknown authority", `"CN=waltap e2e CA"`, "ssl.truststore.location"}},
		{"another host", net.JoinHostPort("127.0.0.1", saslPort), trust(sasl("SASL_SSL", "SCRAM-SHA-512", "waltap", "waltap")), []string{"certificate is for localhost", "advertised.listeners"}},
		{"no TLS at a port with TLS", k.Listener(servers.SSL), nil, []string{"TLS", "set security.protocol to SSL"}},
		{"no TLS, but a user, at a port with TLS", k.Listener(servers.SASLSSL), sasl("SASL_PLAINTEXT", "SCRAM-SHA-512", "waltap", "waltap"), []string{"TLS", "set security.protocol to SASL_SSL"}},
		{"TLS at a port without", k.Bootstrap(), trust(keys{"security.protocol": "SSL"}), []string{"does not seem to speak TLS", "security.protocol to PLAINTEXT"}},
		{"TLS and a user at a port without TLS", k.Listener(servers.SASLPlaintext), trust(sasl("SASL_SSL", "SCRAM-SHA-512", "waltap", "waltap")), []string{"does not seem to speak TLS", "security.protocol to SASL_PLAINTEXT"}},
		{"no user at a port that wants one", k.Listener(servers.SASLPlaintext), nil, []string{"set security.protocol to SASL_PLAINTEXT"}},
		{"no user at a port with TLS that wants one", k.Listener(servers.SASLSSL), trust(keys{"security.protocol": "SSL"}), []string{"set security.protocol to SASL_SSL"}},
		{"a user at a port that wants none", k.Bootstrap(), sasl("SASL_PLAINTEXT", "PLAIN", "waltap", "waltap"), []string{"does not authenticate users", "security.protocol to PLAINTEXT"}},
		{"no certificate where one is wanted", k.Listener(servers.SSL), trust(keys{"security.protocol": "SSL"}), []string{"ssl.keystore.location"}},
		{"a certificate of another authority", k.Listener(servers.SSL), with(trust(keys{"security.protocol": "SSL"}), "ssl.keystore.location", strangerKey), []string{"ssl.keystore.location"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &pipe{name: testenv.Name(t), tables: ".*:nosuch.*"}
			log := refused(t, kafkaYAML(tc.bootstrap, tc.keys, p.sourceConfig()), append(tc.want, "bootstrap.servers")...)
			noSecret(t, "the error", log)
		})
	}
}

// TestMutualTLSWithTopicsMadeByHand: a client certificate from a Java key store, converted by the commands that are printed; the
// rights by waltap acls; all topics by the commands that are printed.
func TestMutualTLSWithTopicsMadeByHand(t *testing.T) {
	t.Parallel()
	k := env.SecureKafka(t)
	name := testenv.Name(t)
	createTable(t, name, "a")
	load(t, name, 200, "a")
	javaKey, javaTrust := javaStores(t, k)
	client := keys{"security.protocol": "SSL", "ssl.truststore.location": javaTrust, "ssl.keystore.location": javaKey, "ssl.key.password": "${directory:" + filepath.Dir(javaKey) + ":password}"}
	made := keys{"topic.creation.enable": "false"}
	p := &pipe{name: name, tables: name, source: made, sink: made,
		process: func(connectors ...string) string { return kafkaYAML(k.Listener(servers.SSL), client, connectors...) }}
	p.cleanUp(t)
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	run := func(command string, connectors ...string) testenv.Result {
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(p.process(connectors...), "${PORT}", "0")), 0o600); err != nil {
			t.Fatal(err)
		}
		r := testenv.RunWaltap(testenv.Context(t, time.Minute), t, command, "-f", file)
		noSecret(t, "waltap "+command, r.Stdout+r.Stderr)
		return r
	}

	// The stores as Java has them are refused, with what to run instead.
	for _, key := range []string{"ssl.truststore.location", "ssl.keystore.location"} {
		r := run("run", p.sourceConfig())
		command, found := strings.CutPrefix(lineWith(r.Stderr, client[key]), "keytool ")
		if r.ExitCode != 2 || !found {
			t.Fatalf("%s: exit code %d: %s", key, r.ExitCode, r.Stderr)
		}
		shell(t, "keytool "+command)
		client[key] = strings.TrimSuffix(client[key], ".jks") + ".pem"
	}

	r := run("acls", p.sourceConfig(), p.sinkConfig())
	if r.ExitCode != 0 || strings.Contains(r.Stdout, "Create") {
		t.Fatalf("waltap acls: %+v", r)
	}
	runAsAdmin(t, k, printedCommands(r.Stdout, "kafka-acls.sh")...)

	// The source names all that it misses at once.
	r = run("run", p.sourceConfig())
	commands := printedCommands(r.Stderr, "kafka-topics.sh")
	var created []string
	for _, c := range commands {
		created = append(created, c[5])
	}
	slices.Sort(created)
	want := []string{"__waltap-offsets." + name, "__waltap-schema." + name, "__waltap-tables." + name, "__waltap-tasks." + name, "__waltap-watermarks." + name, name + ".default." + name}
	if r.ExitCode != 1 || !slices.Equal(created, want) || strings.Count(r.Stderr, "kind: KafkaTopic") != len(want) {
		t.Fatalf("exit code %d, topics %q, want %q: %s", r.ExitCode, created, want, r.Stderr)
	}
	// That of the sinks may be there already: other tests have some.
	runAsAdmin(t, k, append(commands, shellWords("kafka-topics.sh --bootstrap-server - --create --topic __waltap-sinks --partitions 1 --config cleanup.policy=compact --if-not-exists"))...)
	w := p.start(t)
	awaitStreaming(t, w)
	write(t, name, judge.Put("zz", "a", "q", "after"))
	identical(t, name, judge.ScanOptions{})
	noSecret(t, "the log", readLog(t, w))
}

const storePassword = "a-password-of-stores"

// javaStores makes JKS stores of a client certificate and of the broker's authority.
func javaStores(t *testing.T, k *servers.Kafka) (key, trust string) {
	t.Helper()
	dir := t.TempDir()
	chain, private, err := k.Authority().Issue(testcert.Leaf{Subject: pkix.Name{CommonName: "waltap", Organization: []string{"Example"}}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"chain.pem": chain, "key.pem": private, "password": storePassword} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, trust = filepath.Join(dir, "client.jks"), filepath.Join(dir, "trust.jks")
	pass := "-storepass " + storePassword
	shell(t, fmt.Sprintf("openssl pkcs12 -export -in %s/chain.pem -inkey %s/key.pem -out %s/client.p12 -passout pass:%s", dir, dir, dir, storePassword))
	shell(t, fmt.Sprintf("keytool -importkeystore -srckeystore %s/client.p12 -srcstoretype PKCS12 -srcstorepass %s -destkeystore %s -deststoretype JKS -deststorepass %s", dir, storePassword, key, storePassword))
	shell(t, fmt.Sprintf("keytool -importcert -noprompt -alias ca -file %s -keystore %s -storetype JKS %s", k.AuthorityFile(), trust, pass))
	return key, trust
}

// shell runs the commands of a line. Where one asks for a password it is given that of the stores.
func shell(t *testing.T, line string) {
	t.Helper()
	java, err := servers.Java() // keytool stands beside it
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ = strings.Cut(line, " (")
	for command := range strings.SplitSeq(line, " && ") { // each with an input of its own: keytool reads ahead
		cmd := exec.CommandContext(testenv.Context(t, time.Minute), "sh", "-c", command)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(java)+":"+os.Getenv("PATH"))
		cmd.Stdin = strings.NewReader(strings.Repeat(storePassword+"\n", 6))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal, from which openssl would read
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
}

// lineWith is what a line of text that holds part has from "keytool" on.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if at := strings.Index(line, "keytool "); at >= 0 && strings.Contains(line, part) {
			return strings.TrimSpace(line[at:])
		}
	}
	return ""
}
