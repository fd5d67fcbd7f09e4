package servers

import (
	"cmp"
	"context"
	"crypto/x509/pkix"
	"embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/waltap/waltap/internal/testcert"
)

// KafkaSecurity adds listeners with TLS and with users to a broker, and access control. Who comes by the plain listener
// (Kafka.Bootstrap) may do everything; the others may do what access control lists allow.
type KafkaSecurity struct {
	Users map[string]string // passwords; each may use PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
}

// Listeners of a secured broker beside the plain one. Their certificate is for localhost and for no address.
const (
	SASLSSL       = "SASL_SSL"
	SSL           = "SSL" // wants a certificate of Kafka.Authority
	SASLPlaintext = "SASL_PLAINTEXT"
)

type secureKafka struct {
	users     map[string]string
	dir       string
	ports     map[string]int // by listener
	authority *testcert.Authority
}

func newSecureKafka(dir string, o KafkaSecurity) (*secureKafka, error) {
	s := &secureKafka{users: o.Users, dir: dir, ports: make(map[string]int)}
	var err error
	for _, name := range []string{SASLSSL, SSL, SASLPlaintext} {
		if s.ports[name], err = FreePort(); err != nil {
			return nil, err
		}
	}
	if s.authority, err = testcert.NewAuthority("waltap e2e CA"); err != nil {
		return nil, err
	}
	chain, key, err := s.authority.Issue(testcert.Leaf{Subject: pkix.Name{CommonName: "broker"}, Hosts: []string{"localhost"}})
	if err != nil {
		return nil, err
	}
	return s, errors.Join(os.WriteFile(s.file("broker.pem"), []byte(key+chain), 0o600), os.WriteFile(s.file("ca.pem"), []byte(s.authority.PEM()), 0o644))
}

func (s *secureKafka) file(name string) string { return filepath.Join(s.dir, name) }

// properties is what changes in those of a plain broker.
func (s *secureKafka) properties(plain map[string]string) map[string]string {
	props := map[string]string{
		"listeners": plain["listeners"], "advertised.listeners": plain["advertised.listeners"],
		"listener.security.protocol.map": plain["listener.security.protocol.map"],
		"sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"ssl.keystore.type":              "PEM", "ssl.keystore.location": s.file("broker.pem"),
		"ssl.truststore.type": "PEM", "ssl.truststore.location": s.file("ca.pem"),
		"listener.name.ssl.ssl.client.auth": "required",
		"authorizer.class.name":             "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                       "User:ANONYMOUS",
		// Who has authenticated must do so again, or the connection is cut with its next request.
		"connections.max.reauth.ms": "15000",
	}
	plainUsers := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, user := range slices.Sorted(maps.Keys(s.users)) {
		plainUsers += fmt.Sprintf(" user_%s=%q", user, s.users[user])
	}
	for name, port := range s.ports {
		props["listeners"] += fmt.Sprintf(",%s://127.0.0.1:%d", name, port)
		props["advertised.listeners"] += fmt.Sprintf(",%s://localhost:%d", name, port)
		props["listener.security.protocol.map"] += "," + name + ":" + name
		if prefix := "listener.name." + strings.ToLower(name) + "."; name != SSL {
			props[prefix+"plain.sasl.jaas.config"] = plainUsers + ";"
			for _, m := range []string{"scram-sha-256", "scram-sha-512"} {
				props[prefix+m+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
			}
		}
	}
	return props
}

// formatFlags makes the users known to SCRAM.
func (s *secureKafka) formatFlags() []string {
	var flags []string
	for _, user := range slices.Sorted(maps.Keys(s.users)) {
		for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			flags = append(flags, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, user, s.users[user]))
		}
	}
	return flags
}

// authorizerLog logs each right that is used, and each that is missing.
const authorizerLog = `logger.authorizer.name = kafka.authorizer.logger
logger.authorizer.level = DEBUG
`

// Listener is the address of a listener of a secured broker, "localhost:PORT".
func (k *Kafka) Listener(name string) string {
	return net.JoinHostPort("localhost", strconv.Itoa(k.secure.ports[name]))
}

// Authority has signed the certificate of a secured broker, and is the one that its SSL listener wants its clients' from.
func (k *Kafka) Authority() *testcert.Authority { return k.secure.authority }

// AuthorityFile is Authority's own certificate, PEM.
func (k *Kafka) AuthorityFile() string { return k.secure.file("ca.pem") }

// Access is one decision of a secured broker.
type Access struct {
	Principal, Operation, Resource, Name string
	Allowed                              bool
}

var accessLine = regexp.MustCompile(`Principal = (\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = (\w+):\w+:(\S+) for request`)

// Accesses are the decisions about a principal so far, each once; "" stands for all principals.
func (k *Kafka) Accesses(principal string) ([]Access, error) {
	log, err := os.ReadFile(k.LogPath())
	if err != nil {
		return nil, fmt.Errorf("read the decisions of %s: %w", k.name, err)
	}
	seen := make(map[Access]bool)
	for _, m := range accessLine.FindAllStringSubmatch(string(log), -1) {
		if principal == "" || m[1] == principal {
			seen[Access{Principal: m[1], Allowed: m[2] == "Allowed", Operation: m[3], Resource: m[4], Name: m[5]}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Access) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Operation, b.Operation))
	}), nil
}

//go:embed java
var kafkaTools embed.FS

// RunTools runs commands of Kafka's own, each a name such as kafka-acls.sh and its arguments, one after the other, and returns
// what they print. The first that fails ends them.
func (k *Kafka) RunTools(ctx context.Context, commands ...[]string) (string, error) {
	lib, err := KafkaJars(ctx)
	if err != nil {
		return "", err
	}
	classes, err := CompileJava(ctx, "kafka-tools", kafkaTools, lib)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Join(k.dir, "tmp"), "tools-")
	if err != nil {
		return "", fmt.Errorf("run Kafka's tools: %w", err)
	}
	var text strings.Builder
	for _, c := range commands {
		text.WriteString(strings.Join(c, "\t") + "\n")
	}
	file, out := filepath.Join(dir, "commands"), filepath.Join(dir, "output")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		return "", fmt.Errorf("run Kafka's tools: %w", err)
	}
	shared, err := kafkaClasses(ctx, FastStart)
	if err != nil {
		return "", err
	}
	args := slices.Concat(k.jvmFlags(256), FastStart, shared, []string{"-cp", lib + "/*:" + classes, "KafkaTools", file})
	p, err := StartProcess(ProcessSpec{Name: k.name + " (tools)", Path: k.java, Args: args, Dir: dir, LogPath: out})
	if err != nil {
		return "", err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return "", errors.Join(err, p.Kill())
	}
	if code != 0 {
		return "", p.logError(fmt.Errorf("run Kafka's tools: exit code %d", code))
	}
	printed, err := os.ReadFile(out)
	return string(printed), err
}
