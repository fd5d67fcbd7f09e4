package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/waltap/waltap/internal/secret"
	"github.com/waltap/waltap/internal/testcert"
)

// ca is an authority with the configurations of servers and clients that it makes.
type ca struct {
	*testcert.Authority
	t *testing.T
}

func newCA(t *testing.T, name string) ca {
	t.Helper()
	a, err := testcert.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca{a, t}
}

func (a ca) issue(l testcert.Leaf) (chain, key string) {
	a.t.Helper()
	chain, key, err := a.Issue(l)
	if err != nil {
		a.t.Fatal(err)
	}
	return chain, key
}

// server is the TLS of a fake broker.
func (a ca) server(l testcert.Leaf) *tls.Config {
	chain, key := a.issue(l)
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// asking makes a server want certificates of a's from its clients.
func (a ca) asking(c *tls.Config) *tls.Config {
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	c.ClientCAs.AppendCertsFromPEM([]byte(a.PEM()))
	return c
}

func (a ca) file(name string, content ...string) string {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(content, "")), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

var loopback = testcert.Leaf{Hosts: []string{"127.0.0.1"}}

func TestTLS(t *testing.T) {
	a, other := newCA(t, "waltap test CA"), newCA(t, "another CA")
	chain, key := a.issue(testcert.Leaf{Subject: pkix.Name{CommonName: "client"}})
	lockedChain, lockedKey := a.issue(testcert.Leaf{Password: "keypass"})
	strangeChain, strangeKey := other.issue(loopback)
	trust := TLS{Certificates: a.PEM()}
	with := func(change func(*TLS)) *TLS {
		c := trust
		change(&c)
		return &c
	}
	for _, tc := range []struct {
		name   string
		server *tls.Config
		client *TLS
		want   []string // of the error; none: it connects
	}{
		{"authority inline", a.server(loopback), &trust, nil},
		{"authority inline, in one line", a.server(loopback), &TLS{Certificates: strings.ReplaceAll(a.PEM(), "\n", " ")}, nil},
		{"authority in a file, among others", a.server(loopback), &TLS{TrustStore: a.file("ca.pem", "Alias: x\n", other.PEM(), a.PEM())}, nil},
		{"certificate of ours in a file", a.asking(a.server(loopback)), with(func(c *TLS) { c.KeyStore = a.file("k.pem", key, chain) }), nil},
		{"certificate of ours inline", a.asking(a.server(loopback)), with(func(c *TLS) { c.Key, c.Chain = secret.New(key), chain }), nil},
		{"key encrypted", a.asking(a.server(loopback)), with(func(c *TLS) {
			c.KeyStore, c.KeyPassword = a.file("k.pem", lockedChain, lockedKey), secret.New("keypass")
		}), nil},
		{"own certificate not the first", a.asking(a.server(loopback)), with(func(c *TLS) { c.KeyStore = a.file("k.pem", a.PEM(), chain, key) }), nil},
		{"any host, when it is not checked", a.server(testcert.Leaf{Hosts: []string{"elsewhere.example"}}), with(func(c *TLS) { c.SkipHostCheck = true }), nil},

		{"another authority", other.server(loopback), &trust, []string{"unknown authority", `"CN=another CA"`, "ssl.truststore.location"}},
		{"another authority, host not checked", other.server(loopback), with(func(c *TLS) { c.SkipHostCheck = true }), []string{"unknown authority", "ssl.truststore.location"}},
		{"no authority of ours", a.server(loopback), &TLS{}, []string{"unknown authority", "ssl.truststore.location"}},
		{"another host", a.server(testcert.Leaf{Hosts: []string{"kafka.example", "10.1.1.1"}}), &trust, []string{"kafka.example, 10.1.1.1", "advertised.listeners", "127.0.0.1"}},
		{"no host", a.server(testcert.Leaf{Subject: pkix.Name{CommonName: "127.0.0.1"}}), &trust, []string{`no host (its subject is "CN=127.0.0.1")`}},
		{"out of date", a.server(testcert.Leaf{Hosts: loopback.Hosts, NotAfter: time.Now().Add(-time.Minute)}), &trust, []string{"expired", "renew it"}},
		{"no certificate of ours", a.asking(a.server(loopback)), &trust, []string{"remote error", "ssl.keystore.location"}},
		{"a certificate of another authority", a.asking(a.server(loopback)), with(func(c *TLS) { c.Key, c.Chain = secret.New(strangeKey), strangeChain }), []string{"remote error", "ssl.keystore.location"}},
		{"no version in common", &tls.Config{Certificates: a.server(loopback).Certificates, MinVersion: tls.VersionTLS13}, with(func(c *TLS) { c.MaxVersion = tls.VersionTLS12 }), []string{"protocol version", "ssl.enabled.protocols"}},
		{"port without TLS", nil, &trust, []string{"does not seem to speak TLS", "security.protocol to PLAINTEXT"}},
		{"port with TLS", a.server(loopback), nil, []string{"speaks TLS", "security.protocol to SSL"}},
		{"file that is not there", a.server(loopback), &TLS{TrustStore: "/no/such.pem"}, []string{"ssl.truststore.location", "no such file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := []kfake.Opt{kfake.SeedTopics(1, "t")}
			if tc.server != nil {
				opts = append(opts, kfake.TLS(tc.server))
			}
			cluster := fakeCluster(t, opts...)
			c, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs(), TLS: tc.client, DialTimeout: time.Second})
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				m := startMember(t, c, nil) // goes by kafka-go's own connections
				m.await(t, 1)
				m.stop(t)
				return
			}
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			for _, part := range append(tc.want, "bootstrap.servers") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	a, other := newCA(t, "a"), newCA(t, "b")
	chain, key := a.issue(loopback)
	otherChain, _ := other.issue(loopback)
	lockedChain, lockedKey := a.issue(testcert.Leaf{Password: "keypass"})
	jks := a.file("kafka.jks", "\xfe\xed\xfe\xed\x00\x00\x00\x02")
	p12 := a.file("kafka client.p12", "\x30\x82\x0a\x0a\x02\x01\x03")
	old := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	for _, tc := range []struct {
		name      string
		tls       TLS
		key, want string
	}{
		{"JKS trust store", TLS{TrustStore: jks}, "ssl.truststore.location", "keytool -list -rfc -keystore " + jks + " > " + strings.TrimSuffix(jks, ".jks") + ".pem"},
		{"PKCS12 trust store", TLS{TrustStore: p12}, "ssl.truststore.location", "-keystore '" + p12 + "'"},
		{"JKS key store", TLS{KeyStore: jks}, "ssl.keystore.location", "keytool -importkeystore -srckeystore " + jks},
		{"trust store without certificates", TLS{Certificates: "nothing"}, "ssl.truststore.certificates", "no certificate"},
		{"damaged certificate", TLS{Certificates: strings.Replace(a.PEM(), "MI", "M!", 1)}, "ssl.truststore.certificates", "damaged"},
		{"certificate of zeros", TLS{Certificates: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}, "ssl.truststore.certificates", "read certificate"},
		{"key store without a key", TLS{KeyStore: a.file("k.pem", chain)}, "ssl.keystore.location", "no private key"},
		{"key store without certificates", TLS{KeyStore: a.file("k.pem", key)}, "ssl.keystore.location", "no certificate"},
		{"key without a chain", TLS{Key: secret.New(key)}, "ssl.keystore.certificate.chain", "no certificate"},
		{"key of another", TLS{Key: secret.New(key), Chain: otherChain}, "ssl.keystore.certificate.chain", "belongs to none"},
		{"encrypted key without a password", TLS{Key: secret.New(lockedKey), Chain: lockedChain}, "ssl.keystore.key", "ssl.key.password"},
		{"encrypted key with another password", TLS{Key: secret.New(lockedKey), Chain: lockedChain, KeyPassword: secret.New("wrong")}, "ssl.keystore.key", "ssl.key.password is wrong"},
		{"key encrypted in the old way", TLS{Key: secret.New(old), Chain: chain}, "ssl.keystore.key", "openssl pkcs8 -topk8"},
		{"damaged key", TLS{Key: secret.New("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), Chain: chain}, "ssl.keystore.key", "damaged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.tls.Load()
			fault, ok := errors.AsType[*KeyFault](err)
			if !ok || fault.Key != tc.key || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "keypass") {
				t.Errorf("%v; want %s: … %s", err, tc.key, tc.want)
			}
		})
	}
}

// TestRenewedCertificate: the broker gets a certificate of a new authority, and the trust store with it.
func TestRenewedCertificate(t *testing.T) {
	old, renewed := newCA(t, "old"), newCA(t, "new")
	trust := old.file("ca.pem", old.PEM())
	server := old.server(loopback)
	cluster := fakeCluster(t, kfake.TLS(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &server.Certificates[0], nil }}), kfake.SeedTopics(1, "t"))
	c := connect(t, cluster, func(cfg *Config) { cfg.TLS = &TLS{TrustStore: trust} })
	if err := os.WriteFile(trust, []byte(renewed.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	server = renewed.server(loopback)
	c.pool.forget(cluster.ListenAddrs()[0])
	if _, err := c.Topics(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestWithPEM(t *testing.T) {
	for path, want := range map[string]string{"/a.b/store": "/a.b/store.pem", "store.jks": "store.pem", "/x/y.z.p12": "/x/y.z.pem"} {
		if got := withPEM(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

func FuzzPEM(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if certs, err := certificates(text); err == nil && len(certs) == 0 {
			t.Error("no certificate and no error")
		}
		if key, err := privateKey(text, secret.New("x")); err == nil && key == nil {
			t.Error("no key and no error")
		}
	})
}
