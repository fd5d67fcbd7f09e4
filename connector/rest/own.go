package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/waltap/waltap/connector/guard"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/migrate"
	"github.com/waltap/waltap/connector/samples"
)

func progress(c *call) (answer, error) {
	list, err := c.api.Herder.Progress(c.Context(), c.args[0])
	if list == nil {
		list = []herder.Progress{}
	}
	return ok(list, err)
}

func signal(c *call) (answer, error) {
	var s herder.Signal
	if err := c.decode(&s); err != nil {
		return answer{}, err
	}
	if err := s.Check(); err != nil {
		return answer{}, err
	}
	return done(http.StatusAccepted, c.api.Herder.Signal(c.Context(), c.args[0], s))
}

// Migration is what the state topic holds of a migration.
type Migration struct {
	Name  string `json:"name"`
	Waves []Wave `json:"waves"`
}

// Wave is what the state topic holds of a wave.
type Wave struct {
	Name      string             `json:"name"`
	State     migrate.State      `json:"state"`
	Processes []migrate.Progress `json:"processes"` // that run, or have run, its connectors
	// Gate is how a rehearsal or a cut-over has judged it last; nil: none has.
	Gate *migrate.JudgedGate `json:"gate,omitempty"`
}

// MigrationsOf groups waves by migration.
func MigrationsOf(list []migrate.Listed) []Migration {
	out := []Migration{}
	for _, l := range list {
		if n := len(out); n == 0 || out[n-1].Name != l.Migration {
			out = append(out, Migration{Name: l.Migration})
		}
		m := &out[len(out)-1]
		w := Wave{l.Wave, l.State, l.Processes, l.Gate}
		if w.Processes == nil {
			w.Processes = []migrate.Progress{}
		}
		m.Waves = append(m.Waves, w)
	}
	return out
}

func migrations(c *call) (answer, error) {
	if c.api.Migrations == nil {
		return answer{}, ErrNoKafka
	}
	list, err := c.api.Migrations(c.Context())
	if list == nil {
		list = []Migration{}
	}
	return ok(list, err)
}

func migration(c *call) (answer, error) {
	a, err := migrations(c)
	if err != nil {
		return answer{}, err
	}
	list := a.body.([]Migration)
	i := slices.IndexFunc(list, func(m Migration) bool { return m.Name == c.args[0] })
	if i < 0 {
		return answer{}, fail(http.StatusNotFound, "Migration %s not found", c.args[0])
	}
	return ok(list[i], nil)
}

// sessionBody is the answer to GET /v1/session.
type sessionBody struct {
	Role string `json:"role"` // admin, or viewer, who may read only
	// Authenticated: the port asks for credentials; otherwise everybody is admin.
	Authenticated bool `json:"authenticated"`
}

func session(c *call) (answer, error) {
	s := sessionBody{guard.RoleOf(c.Context()), c.api.Process.REST.Authenticates()}
	if c.api.LookOnly != "" {
		s.Role = "viewer"
	}
	return ok(s, nil)
}

// samplesBody is the answer to GET /v1/samples.
type samplesBody struct {
	Now        int64        `json:"now"`        // ms since 1970, by the worker's clock
	StepMS     int64        `json:"stepMs"`     // between two samples
	Connectors []samples.Of `json:"connectors"` // by name
}

func samplesOf(c *call) (answer, error) {
	if c.api.Samples == nil {
		return answer{}, fail(http.StatusNotFound, "this process takes no samples")
	}
	var since int64
	q := c.URL.Query()
	if text := q.Get("since"); text != "" {
		var err error
		if since, err = strconv.ParseInt(text, 10, 64); err != nil || since < 0 {
			return answer{}, fail(http.StatusBadRequest, "since is %q: want milliseconds since 1970", text)
		}
	}
	body := samplesBody{Now: time.Now().UnixMilli(), StepMS: samples.Step.Milliseconds()}
	past := false
	switch of := q.Get("of"); of {
	case "", "recent":
	case "day":
		past, body.StepMS = true, body.StepMS*samples.Merged
	default:
		return answer{}, fail(http.StatusBadRequest, "of is %q: want recent or day", of)
	}
	body.Connectors = c.api.Samples.Since(since, past)
	return ok(body, nil)
}

func openAPIDocument(c *call) (answer, error) { return ok(json.RawMessage(c.api.openAPI), nil) }
