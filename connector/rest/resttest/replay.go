// Package resttest compares REST servers that ought to answer as Kafka Connect does: one script of requests, replayed
// against each, and a diff of the answers by status code, by fields and by the values that a client looks at.
package resttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Answer of a server to a step.
type Answer struct {
	Code        int             `json:"code"`
	ContentType string          `json:"contentType,omitempty"`
	Location    bool            `json:"location,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"` // a string when it is not JSON
}

const pause = 50 * time.Millisecond

// Replay sends the script and returns an answer for each step.
func Replay(ctx context.Context, s Side, script []Step) ([]Answer, error) {
	out := make([]Answer, len(script))
	for i, step := range script {
		for {
			a, err := s.send(ctx, step)
			if err != nil {
				return nil, fmt.Errorf("%s: %s %s: %w", step.Name, step.Method, step.Path, err)
			}
			out[i] = a
			if !a.rebalancing() && (step.Until == nil || step.Until(a)) {
				break
			}
			select {
			case <-ctx.Done():
				return out, fmt.Errorf("%s: %s %s: %w, last answer %d %s", step.Name, step.Method, step.Path, ctx.Err(), a.Code, a.Body)
			case <-time.After(pause):
			}
		}
	}
	return out, nil
}

func (s Side) fill(text string) string {
	for range 2 { // a value may name another
		for k, v := range s.Vars {
			text = strings.ReplaceAll(text, "{"+k+"}", v)
		}
	}
	return text
}

func (s Side) send(ctx context.Context, step Step) (Answer, error) {
	var body io.Reader
	if step.Body != "" {
		body = strings.NewReader(s.fill(step.Body))
	}
	req, err := http.NewRequestWithContext(ctx, step.Method, s.URL+s.fill(step.Path), body)
	if err != nil {
		return Answer{}, err
	}
	if step.Body != "" || step.Method == "PUT" || step.Method == "POST" || step.Method == "PATCH" {
		req.Header.Set("Content-Type", "application/json")
	}
	if step.Type != "" {
		req.Header.Set("Content-Type", step.Type)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Code: res.StatusCode, Location: res.Header.Get("Location") != ""}
	if len(b) > 0 {
		a.ContentType, _, _ = strings.Cut(res.Header.Get("Content-Type"), ";")
		var compact bytes.Buffer
		if json.Compact(&compact, b) == nil {
			a.Body = bytes.Clone(compact.Bytes())
		} else if a.Body, err = json.Marshal(string(b)); err != nil {
			return Answer{}, err
		}
	}
	return a, nil
}

// rebalancing tells whether the server asks to send the request again.
func (a Answer) rebalancing() bool {
	body := string(a.Body)
	return a.Code == http.StatusConflict && (strings.Contains(body, "momentarily") || strings.Contains(body, "rebalance"))
}

// moved waits for offsets of a connector.
func moved(a Answer) bool {
	return a.Code == http.StatusOK && strings.Contains(string(a.Body), `"partition"`)
}

func code(n int) func(Answer) bool { return func(a Answer) bool { return a.Code == n } }

// status is the part of a connector's status that the script waits for.
type status struct {
	Connector struct{ State string }
	Tasks     []struct{ State string }
}

func statusOf(a Answer) (s status, ok bool) {
	return s, a.Code == http.StatusOK && json.Unmarshal(a.Body, &s) == nil
}

// state waits for the connector's own.
func state(want string) func(Answer) bool {
	return func(a Answer) bool { s, ok := statusOf(a); return ok && s.Connector.State == want }
}

// all waits for the connector's and its tasks'.
func all(want string) func(Answer) bool {
	return func(a Answer) bool {
		s, ok := statusOf(a)
		ok = ok && s.Connector.State == want
		for _, t := range s.Tasks {
			ok = ok && t.State == want
		}
		return ok
	}
}

// running waits for the connector and at least n tasks.
func running(n int) func(Answer) bool {
	return func(a Answer) bool { s, _ := statusOf(a); return all("RUNNING")(a) && len(s.Tasks) >= n }
}

// stopped waits for a connector that is, and has no tasks left.
func stopped(a Answer) bool {
	s, ok := statusOf(a)
	return ok && s.Connector.State == "STOPPED" && len(s.Tasks) == 0
}

// recording is an answer with the request it was given to.
type recording struct {
	Step    string `json:"step"`
	Request string `json:"request"`
	Answer
}

// Write writes answers for Read.
func Write(script []Step, answers []Answer) ([]byte, error) {
	list := make([]recording, len(answers))
	for i, a := range answers {
		list[i] = recording{script[i].Name, script[i].request(), a}
	}
	return json.MarshalIndent(list, "", " ")
}

// Read reads answers that Write has written; the script must be the same.
func Read(b []byte, script []Step) ([]Answer, error) {
	var list []recording
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read recorded answers: %w", err)
	}
	out := make([]Answer, len(list))
	for i, r := range list {
		if len(list) != len(script) || r.Step != script[i].Name || r.Request != script[i].request() {
			return nil, fmt.Errorf("the answers were recorded with another script (%q, %q): record them again", r.Step, r.Request)
		}
		out[i] = r.Answer
	}
	return out, nil
}

func (s Step) request() string { return s.Method + " " + s.Path + " " + s.Body }
