//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/testcert"
)

// securePort is a worker over TLS with users of two roles, and a folder of secrets.
type securePort struct {
	*testenv.Waltap
	client  *http.Client
	answers strings.Builder // all of them
}

// portSecrets may come out nowhere. The file of the worker has none of them either: it refers to files.
var portSecrets = []string{"adm1n-password", "adm1n-token-0123456789", "v1ewer-password", "reg1stry-password", "key-passw0rd", "l1teral-password", "0utside-password"}

func startSecurePort(t *testing.T, name, folder string) *securePort {
	t.Helper()
	dir := t.TempDir()
	ca, err := testcert.NewAuthority("rest")
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := ca.Issue(testcert.Leaf{Subject: pkix.Name{CommonName: "worker"}, Hosts: []string{"localhost"}, Password: "key-passw0rd"})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"rest.pem": key + chain, "admin": "adm1n-token-0123456789", "s.properties": "admin=adm1n-password\nviewer=viewer:v1ewer-password\nkey=key-passw0rd\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := startWorker(t, name, keys{"listeners": "https://localhost:${PORT}", "listeners.https.ssl.keystore.location": filepath.Join(dir, "rest.pem"), "log.level": "debug",
		"listeners.https.ssl.key.password": "${file:" + dir + "/s.properties:key}", "rest.auth.admin.token": "${directory:" + dir + ":admin}",
		"rest.auth.admin.user.info":  "admin:${file:" + dir + "/s.properties:admin}",
		"rest.auth.viewer.user.info": "${file:" + dir + "/s.properties:viewer}", "rest.secrets.folder": folder, "rest.request.max.bytes": "4KiB"})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.PEM()))
	p := &securePort{Waltap: w, client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	ctx := testenv.Context(t, time.Minute)
	for {
		if code, _, err := p.send(ctx, "GET", "/health", "", asUser("viewer", "v1ewer-password")); err == nil && code == 200 {
			return p
		} else if ctx.Err() != nil {
			t.Fatal(code, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *securePort) send(ctx context.Context, method, path, body string, who func(*http.Request)) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://localhost:%d%s", p.Port(), path), strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if who != nil {
		who(req)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	fmt.Fprintln(&p.answers, res.Header, string(b))
	return res.StatusCode, string(b), err
}

func asUser(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func asToken(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// TestPortIsClosed: who may do what on the port of a real worker over TLS; requests that are too large; and that no secret is in its
// answers, its log at level debug, or any topic of Kafka.
func TestPortIsClosed(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	name := testenv.Name(t)
	folder := t.TempDir()
	outside := filepath.Join(t.TempDir(), "s.properties")
	for file, text := range map[string]string{filepath.Join(folder, "s.properties"): "registry=reg1stry-password\n", outside: "x=0utside-password\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startSecurePort(t, name, folder)
	admin, token, viewer := asUser("admin", "adm1n-password"), asToken("adm1n-token-0123456789"), asUser("viewer", "v1ewer-password")
	create := func(connector, userInfo string) string {
		return fmt.Sprintf(`{"name":%q,"initial_state":"STOPPED","config":{"connector.class":"HBaseSource","hbase.zookeeper.quorum":%q,"topic.prefix":%q,"table.include.list":"none",`+
			`"value.converter.schema.registry.url":"http://127.0.0.1:1","value.converter.basic.auth.user.info":%q}}`, connector, env.Source.ZKQuorum(), name, userInfo)
	}
	good := "waltap:${file:" + folder + "/s.properties:registry}"
	for _, tc := range []struct {
		name         string
		who          func(*http.Request)
		method, path string
		body         string
		code         int
	}{
		{"nobody", nil, "GET", "/connectors", "", 401},
		{"nobody", nil, "GET", "/metrics", "", 401},
		{"nobody", nil, "POST", "/connectors", create("x", good), 401},
		{"wrong password", asUser("admin", "v1ewer-password"), "GET", "/connectors", "", 401},
		{"wrong token", asToken("adm1n-password"), "GET", "/connectors", "", 401},
		{"viewer reads", viewer, "GET", "/connectors", "", 200},
		{"viewer writes", viewer, "POST", "/connectors", create("x", good), 403},
		{"viewer deletes", viewer, "DELETE", "/connectors/x", "", 403},
		{"too large", token, "POST", "/connectors", create("x", good) + strings.Repeat(" ", 5000), 413},
		{"secret in the configuration", token, "POST", "/connectors", create("x", "waltap:l1teral-password"), 400},
		{"file outside the folder", token, "POST", "/connectors", create("x", "waltap:${file:"+outside+":x}"), 400},
		{"admin", token, "POST", "/connectors", create("x", good), 201},
		{"admin by password", admin, "GET", "/connectors/x", "", 200},
		{"status", viewer, "GET", "/connectors?expand=info&expand=status", "", 200},
		{"tasks", viewer, "GET", "/connectors/x/tasks", "", 200},
		{"validate", admin, "PUT", "/connector-plugins/HBaseSource/config/validate", `{"connector.class":"HBaseSource","name":"x","value.converter.basic.auth.user.info":"waltap:l1teral-password"}`, 200},
		{"resume", admin, "PUT", "/connectors/x/resume", "", 202},
		{"status page", viewer, "GET", "/status", "", 200},
		{"metrics", viewer, "GET", "/metrics", "", 200},
		{"delete", admin, "DELETE", "/connectors/x", "", 204},
	} {
		if code, body, err := p.send(ctx, tc.method, tc.path, tc.body, tc.who); err != nil || code != tc.code {
			t.Errorf("%s: %s %s: %d %s %v, want %d", tc.name, tc.method, tc.path, code, body, err, tc.code)
		}
	}
	if res, err := http.Get(fmt.Sprintf("http://localhost:%d/connectors", p.Port())); err == nil {
		res.Body.Close()
		if res.StatusCode == 200 {
			t.Error("the port answers without TLS")
		}
	}
	log, err := os.ReadFile(p.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{"the answers": p.answers.String(), "the log": string(log)}
	client, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{env.Kafka.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := client.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, topic := range topics {
		if !strings.Contains(topic.Name, name) && !strings.HasPrefix(topic.Name, "__waltap") {
			continue
		}
		var all strings.Builder
		if err := client.ReadAll(ctx, topic.Name, func(r kafka.Record) error {
			read++
			fmt.Fprintf(&all, "%s %s\n", r.Key, r.Value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		places["topic "+topic.Name] = all.String()
	}
	if read == 0 || !strings.Contains(fmt.Sprint(places), "${file:"+folder) {
		t.Errorf("%d records were read, and the reference is in none: nothing was looked at", read)
	}
	for place, text := range places {
		for _, s := range portSecrets {
			if strings.Contains(text, s) {
				t.Errorf("the secret %s is in %s", s, place)
			}
		}
	}
}
