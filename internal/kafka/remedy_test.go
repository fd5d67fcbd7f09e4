package kafka

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waltap/waltap/internal/secret"
)

func TestAuthenticationRefused(t *testing.T) {
	users := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "hunter2"), kfake.Superuser("SCRAM-SHA-256", "s", "hunter2")}
	good := secret.New("hunter2")
	for _, tc := range []struct {
		name   string
		broker []kfake.Opt
		sasl   *SASL
		want   []string
	}{
		{"PLAIN, wrong password", users, &SASL{"PLAIN", "u", secret.New("swordfish")}, []string{"sasl.mechanism PLAIN", `user "u" or the password is wrong`, "sasl.password", "PLAIN users stand in"}},
		{"PLAIN, no such user", users, &SASL{"PLAIN", "nobody", good}, []string{`user "nobody"`}},
		{"SCRAM, wrong password", users, &SASL{"SCRAM-SHA-256", "s", secret.New("swordfish")}, []string{"sasl.mechanism SCRAM-SHA-256", `user "s" or the password is wrong`, "--entity-name s shows"}},
		{"no credentials of this mechanism", users, &SASL{"SCRAM-SHA-512", "s", good}, []string{`the user has none for SCRAM-SHA-512`}},
		{"a port without authentication", nil, &SASL{"PLAIN", "u", good}, []string{"does not authenticate users", "security.protocol to PLAINTEXT,"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster := fakeCluster(t, tc.broker...)
			if tc.broker == nil {
				cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLHandshake}, Err: kerr.IllegalSaslState, Count: -1})
			}
			c, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs(), SASL: tc.sasl})
			if err == nil {
				c.Close()
				t.Fatal("connected")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			for _, hidden := range []string{"hunter2", "swordfish"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("error %q tells the password", err)
				}
			}
		})
	}
}

// TestAuthenticationAnswered: a fake cluster hangs up, as old brokers do; a broker of today answers.
func TestAuthenticationAnswered(t *testing.T) {
	cluster := fakeCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "hunter2"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, Err: kerr.SaslAuthenticationFailed, Count: -1})
	_, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs(), SASL: &SASL{"PLAIN", "u", secret.New("hunter2")}})
	if err == nil || !strings.Contains(err.Error(), "(58)") || !strings.Contains(err.Error(), `user "u" or the password is wrong`) || Retriable(err) {
		t.Errorf("%v; may heal: %v", err, Retriable(err))
	}
}

func TestMechanismNotOffered(t *testing.T) {
	cluster := fakeCluster(t, kfake.EnableSASL())
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		res := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		res.ErrorCode, res.SupportedMechanisms = kerr.UnsupportedSaslMechanism.Code, []string{"GSSAPI", "SCRAM-SHA-512"}
		return res, nil, true
	})
	_, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs(), SASL: &SASL{"PLAIN", "u", secret.New("p")}})
	if err == nil || !strings.Contains(err.Error(), "offers GSSAPI, SCRAM-SHA-512 here: set sasl.mechanism") {
		t.Errorf("%v", err)
	}
}

// answering is a server that does one thing with each connection.
func answering(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(5 * time.Second))
			do(c)
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestPortsThatSpeakOtherwise(t *testing.T) {
	// What a Kafka 4.3.1 broker does is tested end to end; these are what other servers, and other releases, do.
	request := func(c net.Conn) { io.ReadFull(c, make([]byte, 8)) }
	for _, tc := range []struct {
		name string
		cfg  Config
		do   func(net.Conn)
		want string
	}{
		{"TLS port that sends an alert", Config{}, func(c net.Conn) { request(c); c.Write([]byte{0x15, 3, 3, 0, 2, 2, 10}) }, "the port speaks TLS: set security.protocol to SSL"},
		{"the same with SASL", Config{SASL: &SASL{"PLAIN", "u", secret.New("p")}}, func(c net.Conn) { request(c); c.Write([]byte{0x15, 3, 1, 0, 2, 2, 10}) }, "the port speaks TLS: set security.protocol to SASL_SSL"},
		{"hangs up", Config{}, request, "is it a port of Kafka's? If it speaks TLS, set security.protocol to SSL"},
		{"web server", Config{}, func(c net.Conn) { request(c); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, `it begins with "HTTP"`},
		{"no TLS, hangs up", Config{TLS: &TLS{}}, request, "does not seem to speak TLS"},
		{"no TLS, answers", Config{TLS: &TLS{}}, func(c net.Conn) { request(c); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "does not seem to speak TLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.BootstrapServers = []string{answering(t, tc.do)}
			_, err := Connect(testContext(t), tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
}

// TestPortThatWantsAuthentication: a broker answers ApiVersions and hangs up at the first request of a client that does not
// authenticate.
func TestPortThatWantsAuthentication(t *testing.T) {
	cluster := fakeCluster(t)
	cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("unexpected request during the SASL handshake"), true // cuts the connection
	})
	_, err := Connect(testContext(t), Config{BootstrapServers: cluster.ListenAddrs()})
	if err == nil || !strings.Contains(err.Error(), "set security.protocol to SASL_PLAINTEXT") {
		t.Errorf("%v", err)
	}
}

// TestConnectionThatExpires: the broker lets an authentication count for a while only.
func TestConnectionThatExpires(t *testing.T) {
	cluster := fakeCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
	c := connect(t, cluster, func(cfg *Config) { cfg.SASL = &SASL{"PLAIN", "u", secret.New("p")} })
	addr := cluster.ListenAddrs()[0]
	cn, err := c.pool.get(testContext(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	c.pool.put(cn)
	if again, err := c.pool.get(testContext(t), addr); err != nil || again != cn {
		t.Fatalf("another connection was opened: %v", err)
	}
	cn.expires = time.Now().Add(-time.Millisecond)
	c.pool.put(cn)
	again, err := c.pool.get(testContext(t), addr)
	if err != nil || again == cn {
		t.Fatalf("the connection is used beyond its time: %v", err)
	}
	c.pool.put(again)
	if _, known := c.pool.open[cn]; known {
		t.Error("it was not closed")
	}
}
