// Package registry is a client of a schema registry with Confluent's REST interface (Confluent, Apicurio, Karapace,
// Redpanda). It knows schemas as texts only.
package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	contentType = "application/vnd.schemaregistry.v1+json"
	// callTimeout bounds one request.
	callTimeout = 30 * time.Second
	// maxAnswer is the largest answer that is read.
	maxAnswer = 16 << 20
	minPause  = 100 * time.Millisecond
	maxPause  = 2 * time.Second
)

// Config says where a registry is and who asks.
type Config struct {
	// URLs of one registry, tried one after the other, without users in them.
	URLs []string
	// User and Password for HTTP basic authentication; no User: none.
	User, Password string
	// Token is sent as a bearer token; "": none.
	Token string
	TLS   *tls.Config // of https URLs; nil: the authorities that this machine trusts
	// Wait is how long a registry that has never answered is tried again. Later on a call that finds it away returns at once, for
	// its caller knows what is at stake.
	Wait time.Duration
	Log  *slog.Logger
}

// Client asks one registry. It is safe for concurrent use.
type Client struct {
	cfg  Config
	urls []*url.URL
	http *http.Client

	mu  sync.Mutex
	at  int                   // index of the URL that answered last
	met bool                  // one has answered
	ids map[registered]uint32 // what was registered or found
}

type registered struct{ subject, schema string }

// New returns a Client; nothing is asked yet.
func New(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, ids: make(map[registered]uint32)}
	for _, text := range cfg.URLs {
		u, err := url.Parse(strings.TrimRight(text, "/"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return nil, fmt.Errorf("schema registry: %q is not a URL such as http://registry:8081", redact(text))
		}
		c.urls = append(c.urls, u)
	}
	if len(c.urls) == 0 {
		return nil, fmt.Errorf("schema registry: no URL")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg.TLS
	c.http = &http.Client{Transport: transport, Timeout: callTimeout}
	return c, nil
}

// redact hides a password in what may be no URL.
func redact(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

// Close gives the connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Register makes sure that schema, an Avro schema, is a version of subject and returns its id. A second call with the same
// arguments asks nothing.
func (c *Client) Register(ctx context.Context, subject, schema string) (uint32, error) {
	return c.id(ctx, subject, schema, "/versions")
}

// Lookup returns the id of schema, which must be a version of subject: nothing is written.
func (c *Client) Lookup(ctx context.Context, subject, schema string) (uint32, error) {
	return c.id(ctx, subject, schema, "")
}

func (c *Client) id(ctx context.Context, subject, schema, path string) (uint32, error) {
	key := registered{subject, schema}
	c.mu.Lock()
	id, known := c.ids[key]
	c.mu.Unlock()
	if known {
		return id, nil
	}
	var answer struct {
		ID *uint32 `json:"id"`
	}
	body := struct {
		Schema string `json:"schema"`
	}{schema}
	err := c.call(ctx, http.MethodPost, "/subjects/"+url.PathEscape(subject)+path, body, &answer)
	if err == nil && answer.ID == nil {
		err = fmt.Errorf("schema registry: the answer of %s holds no id", c.urls[0])
	}
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	c.ids[key] = *answer.ID
	c.mu.Unlock()
	return *answer.ID, nil
}

// Schema returns the text of the Avro schema with the id.
func (c *Client) Schema(ctx context.Context, id uint32) (string, error) {
	var answer struct {
		Schema     string            `json:"schema"`
		SchemaType string            `json:"schemaType"`
		References []json.RawMessage `json:"references"`
	}
	if err := c.call(ctx, http.MethodGet, "/schemas/ids/"+strconv.FormatUint(uint64(id), 10), nil, &answer); err != nil {
		return "", err
	}
	if answer.SchemaType != "" && answer.SchemaType != "AVRO" {
		return "", &Error{Status: http.StatusOK, Message: fmt.Sprintf("schema %d is of type %s, not AVRO", id, answer.SchemaType)}
	}
	if len(answer.References) > 0 {
		return "", &Error{Status: http.StatusOK, Message: fmt.Sprintf("schema %d refers to other schemas, which waltap's never does", id)}
	}
	return answer.Schema, nil
}

// Ping asks what types of schemas the registry has, which every registry answers.
func (c *Client) Ping(ctx context.Context) error {
	var types []string
	return c.call(ctx, http.MethodGet, "/schemas/types", nil, &types)
}

// call makes a request; while the registry has never answered it is repeated, for Config.Wait at most.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	start := time.Now()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		met, err := c.try(ctx, method, path, payload, answer)
		if met || !Retriable(err) || ctx.Err() != nil || time.Since(start)+pause > c.cfg.Wait {
			return err
		}
		if pause == maxPause/2 {
			c.cfg.Log.Warn("the schema registry does not answer yet, trying again", "error", err, "for", c.cfg.Wait)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// try asks each URL once, beginning with the one that answered last.
// met tells whether any has ever answered.
func (c *Client) try(ctx context.Context, method, path string, payload []byte, answer any) (met bool, err error) {
	c.mu.Lock()
	first, met := c.at, c.met
	c.mu.Unlock()
	for i := range c.urls {
		at := (first + i) % len(c.urls)
		if err = c.ask(ctx, c.urls[at], method, path, payload, answer); !Retriable(err) {
			c.mu.Lock()
			c.at, c.met = at, err == nil || Status(err) != 0
			met = c.met
			c.mu.Unlock()
			break
		}
	}
	return met, err
}

func (c *Client) ask(ctx context.Context, base *url.URL, method, path string, payload []byte, answer any) error {
	at := base.String() + path
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("ask the schema registry: %w", err)
	}
	req.Header.Set("Accept", contentType+", application/json")
	if payload != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.cfg.User != "" {
		req.SetBasicAuth(c.cfg.User, c.cfg.Password)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &UnreachableError{URL: base.String(), Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &UnreachableError{URL: base.String(), Err: err}
	}
	if resp.StatusCode != http.StatusOK {
		return newError(method, at, resp.StatusCode, b)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return &Error{Method: method, URL: at, Status: resp.StatusCode, Message: "the answer is no JSON: is this a schema registry?"}
	}
	return nil
}
