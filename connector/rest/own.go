package rest

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/migrate"
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
}

// MigrationsOf groups waves by migration.
func MigrationsOf(list []migrate.Listed) []Migration {
	out := []Migration{}
	for _, l := range list {
		if n := len(out); n == 0 || out[n-1].Name != l.Migration {
			out = append(out, Migration{Name: l.Migration})
		}
		m := &out[len(out)-1]
		w := Wave{l.Wave, l.State, l.Processes}
		if w.Processes == nil {
			w.Processes = []migrate.Progress{}
		}
		m.Waves = append(m.Waves, w)
	}
	return out
}

func migrations(c *call) (answer, error) {
	if c.api.Migrations == nil {
		return answer{}, fail(http.StatusServiceUnavailable, "there is no Kafka to read the migrations from yet; send it again")
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

func openAPIDocument(c *call) (answer, error) { return ok(json.RawMessage(c.api.openAPI), nil) }
