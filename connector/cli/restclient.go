package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// restTimeout bounds one command that talks to the REST API.
const restTimeout = 2 * time.Minute

// maxAnswer bounds an answer of the REST API.
const maxAnswer = 256 << 20

// restFlags say where the REST API is, and who asks. What is secret comes from a file or from the environment, as other users
// of the machine can read a command line.
type restFlags struct {
	URL       string `name:"url" env:"WALTAP_URL" help:"The REST API: the listener of a worker (${env}); default ${default}." default:"http://127.0.0.1:8083" placeholder:"URL"`
	UserFile  string `help:"File with user:password (or set WALTAP_USER)." placeholder:"FILE"`
	TokenFile string `help:"File with a bearer token (or set WALTAP_TOKEN)." placeholder:"FILE"`
	CAFile    string `name:"ca-file" env:"WALTAP_CA_FILE" help:"PEM file with the authority of the listener's certificate, if this machine does not trust it (${env})." placeholder:"FILE"`
}

// restClient speaks to a REST API.
type restClient struct {
	base        string
	authorize   func(*http.Request)
	credentials bool
	http        *http.Client
}

func (f *restFlags) client() (*restClient, error) {
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, usageError{fmt.Errorf("--url: %q is not the URL of a listener: want http://host:port or https://host:port; credentials go into WALTAP_TOKEN, WALTAP_USER or a file", f.URL)}
	}
	c := &restClient{base: strings.TrimSuffix(f.URL, "/"), authorize: func(*http.Request) {}}
	token, err := fromFileOr(f.TokenFile, "WALTAP_TOKEN")
	if err != nil {
		return nil, usageError{fmt.Errorf("--token-file: %w", err)}
	}
	user, err := fromFileOr(f.UserFile, "WALTAP_USER")
	if err != nil {
		return nil, usageError{fmt.Errorf("--user-file: %w", err)}
	}
	c.credentials = token != "" || user != ""
	switch name, password, ok := strings.Cut(user, ":"); {
	case token != "":
		c.authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	case user != "" && !ok:
		return nil, usageError{errors.New("--user-file or WALTAP_USER: want user:password")}
	case user != "":
		c.authorize = func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca-file: %w", err)}
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usageError{fmt.Errorf("--ca-file: %s has no certificate in PEM", f.CAFile)}
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// A redirection would show the credentials to whom it names.
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

func fromFileOr(file, env string) (string, error) {
	if file == "" {
		return os.Getenv(env), nil
	}
	b, err := os.ReadFile(file)
	text := strings.TrimSpace(string(b))
	if err == nil && text == "" {
		err = fmt.Errorf("%s is empty", file)
	}
	return text, err
}

// connectorPath is the path of a connector. Those under /v1 take any name, /connectors none with a slash, as Connect.
func connectorPath(name string, more ...string) string {
	return "/v1/connectors/" + url.PathEscape(name) + strings.Join(append([]string{""}, more...), "/")
}

// do sends a request; body nil is none. The answer is decoded into out, unless that is nil.
func (c *restClient) do(ctx context.Context, method, path string, body, out any) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, fmt.Errorf("write the request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return 0, usageError{fmt.Errorf("--url: %w", err)}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.authorize(req)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("reach the REST API at %s: %w; is a worker running there (waltap worker, waltap run), and is --url its listener?", c.base, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if res.StatusCode >= 300 {
		return res.StatusCode, c.failure(res.StatusCode, path, b)
	}
	if out == nil {
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w; is --url the listener of a waltap?", c.base, err)
	}
	return res.StatusCode, nil
}

// failure is what the API has refused, and what to do.
func (c *restClient) failure(code int, path string, body []byte) error {
	var e struct{ Message string }
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &e) == nil && e.Message != "" {
		text = e.Message
	}
	switch code {
	case http.StatusUnauthorized:
		if !c.credentials {
			return errors.New("the REST API wants credentials: set WALTAP_TOKEN or WALTAP_USER (user:password), or give --token-file or --user-file")
		}
		return errors.New("the REST API does not know these credentials: compare them with rest.auth.* of the worker's configuration")
	case http.StatusForbidden:
		return fmt.Errorf("%s", text)
	case http.StatusNotFound:
		return fmt.Errorf("%s (waltap connectors list shows them)", text)
	case http.StatusConflict:
		if strings.Contains(text, "momentarily") || strings.Contains(text, "rebalance") {
			return fmt.Errorf("%s: run the command again in a moment", text)
		}
		return errors.New(text)
	}
	if text == "" {
		text = http.StatusText(code)
	}
	return fmt.Errorf("%s answered %d: %s", path, code, text)
}
