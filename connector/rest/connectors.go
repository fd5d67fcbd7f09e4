package rest

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/waltap/waltap/connector/herder"
)

func root(c *call) (answer, error) { return ok(c.api.Herder.Worker(c.Context())) }

type healthBody struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func health(c *call) (answer, error) {
	err := c.api.Herder.Health(c.Context())
	switch {
	case err == nil:
		return ok(healthBody{"healthy", "Worker has completed startup and is ready to handle requests."}, nil)
	case herder.KindOf(err) == herder.NotReady:
		return answer{code: http.StatusServiceUnavailable, body: healthBody{"starting", err.Error()}}, nil
	}
	return answer{code: http.StatusInternalServerError, body: healthBody{"unhealthy", err.Error()}}, nil
}

func list(c *call) (answer, error) {
	names, err := c.api.Herder.Connectors(c.Context())
	expand, expanded := c.URL.Query()["expand"]
	if err != nil || !expanded {
		if names == nil {
			names = []string{}
		}
		return ok(names, err)
	}
	out := make(map[string]map[string]any, len(names))
	for _, name := range names {
		of := make(map[string]any)
		for _, e := range expand {
			var v any
			switch e {
			case "status":
				v, err = c.api.Herder.Status(c.Context(), name)
			case "info":
				v, err = c.api.Herder.Connector(c.Context(), name)
			case "progress":
				v, err = c.api.Herder.Progress(c.Context(), name)
			default: // as in Connect
				continue
			}
			if herder.KindOf(err) == herder.NotFound { // deleted meanwhile, or nobody has reported yet
				continue
			}
			if err != nil {
				return answer{}, err
			}
			of[e] = v
		}
		out[name] = of
	}
	return ok(out, nil)
}

type createBody struct {
	Name         string             `json:"name"`
	Config       properties         `json:"config"`
	InitialState herder.TargetState `json:"initial_state"`
}

func create(c *call) (answer, error) {
	var b createBody
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	name := strings.TrimSpace(b.Name)
	state := herder.TargetState(strings.ToUpper(string(b.InitialState)))
	switch state {
	case "", herder.TargetRunning, herder.TargetPaused, herder.TargetStopped:
	default:
		return answer{}, fail(http.StatusInternalServerError, "initial_state %q is none of RUNNING, PAUSED, STOPPED", b.InitialState)
	}
	if err := c.checkConfig(name, b.Config); err != nil {
		return answer{}, err
	}
	i, err := c.api.Herder.Create(c.Context(), name, b.Config, state)
	return answer{code: http.StatusCreated, body: i, location: location(name)}, err
}

// location is the path of a connector.
func location(name string) string { return "/connectors/" + url.PathEscape(name) }

// checkConfig completes a configuration by its name and refuses what is wrong with it.
func (c *call) checkConfig(name string, config properties) error {
	if config == nil {
		return fail(http.StatusBadRequest, "the config is missing")
	}
	if err := setName(name, config); err != nil {
		return err
	}
	if err := c.api.Process.CheckReferences(config); err != nil {
		return err
	}
	_, err := c.api.Process.ParseConnector(name, config)
	return err
}

func setName(name string, config properties) error {
	if given, ok := config["name"]; ok && given != name {
		return fail(http.StatusBadRequest, "Connector name configuration (%s) doesn't match connector name in the URL (%s)", given, name)
	}
	config["name"] = name
	return nil
}

func info(c *call) (answer, error) { return ok(c.api.Herder.Connector(c.Context(), c.args[0])) }

func configOf(c *call) (answer, error) {
	i, err := c.api.Herder.Connector(c.Context(), c.args[0])
	if err != nil {
		return answer{}, err
	}
	return ok(i.Config, nil)
}

func remove(c *call) (answer, error) {
	return done(http.StatusNoContent, c.api.Herder.Delete(c.Context(), c.args[0]))
}

func putConfig(c *call) (answer, error) {
	var config properties
	if err := c.decode(&config); err != nil {
		return answer{}, err
	}
	name := c.args[0]
	if err := c.checkConfig(name, config); err != nil {
		return answer{}, err
	}
	i, created, err := c.api.Herder.PutConfig(c.Context(), name, config)
	if created {
		return answer{code: http.StatusCreated, body: i, location: location(name)}, err
	}
	return ok(i, err)
}

func patchConfig(c *call) (answer, error) {
	var p patch
	if err := c.decode(&p); err != nil {
		return answer{}, err
	}
	set := make(properties, len(p))
	for k, v := range p {
		if v != nil {
			set[k] = *v
		}
	}
	if given, ok := p["name"]; ok && (given == nil || *given != c.args[0]) {
		return answer{}, setName(c.args[0], properties{"name": set["name"]})
	}
	if err := c.api.Process.CheckReferences(set); err != nil {
		return answer{}, err
	}
	return ok(c.api.Herder.PatchConfig(c.Context(), c.args[0], maps.Clone(p)))
}

func status(c *call) (answer, error) { return ok(c.api.Herder.Status(c.Context(), c.args[0])) }

func restart(c *call) (answer, error) {
	q := c.URL.Query()
	r := herder.Restart{IncludeTasks: isTrue(q.Get("includeTasks")), OnlyFailed: isTrue(q.Get("onlyFailed"))}
	s, err := c.api.Herder.Restart(c.Context(), c.args[0], r)
	if r.Plain() {
		return done(http.StatusNoContent, err)
	}
	return answer{code: http.StatusAccepted, body: s}, err
}

// isTrue reads a boolean as Java's Boolean.valueOf does.
func isTrue(s string) bool { return strings.EqualFold(s, "true") }

func target(t herder.TargetState, code int) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		return done(code, c.api.Herder.SetTarget(c.Context(), c.args[0], t))
	}
}

func tasks(c *call) (answer, error) {
	list, err := c.api.Herder.Tasks(c.Context(), c.args[0])
	if list == nil {
		list = []herder.TaskInfo{}
	}
	return ok(list, err)
}

// task reads the number of a task; one that is none is no path, as in Connect.
func (c *call) task() (int, error) {
	n, err := strconv.Atoi(c.args[1])
	if err != nil {
		return 0, httpError(http.StatusNotFound)
	}
	return n, nil
}

func taskStatus(c *call) (answer, error) {
	n, err := c.task()
	if err != nil {
		return answer{}, err
	}
	s, err := c.api.Herder.Status(c.Context(), c.args[0])
	if err != nil {
		return answer{}, err
	}
	for _, t := range s.Tasks {
		if t.ID == n {
			return ok(t, nil)
		}
	}
	return answer{}, herder.Errorf(herder.NotFound, "No status found for task %s-%d", c.args[0], n)
}

func restartTask(c *call) (answer, error) {
	n, err := c.task()
	if err != nil {
		return answer{}, err
	}
	return done(http.StatusNoContent, c.api.Herder.RestartTask(c.Context(), c.args[0], n))
}

type topicsBody struct {
	Topics []string `json:"topics"`
}

func topics(c *call) (answer, error) {
	list, err := c.api.Herder.Topics(c.Context(), c.args[0])
	if herder.KindOf(err) == herder.NotFound { // as in Connect
		err = nil
	}
	if list == nil {
		list = []string{}
	}
	return ok(map[string]topicsBody{c.args[0]: {list}}, err)
}

func resetTopics(c *call) (answer, error) {
	err := c.api.Herder.ResetTopics(c.Context(), c.args[0])
	if herder.KindOf(err) == herder.NotFound { // as in Connect
		err = nil
	}
	return done(http.StatusAccepted, err)
}

type offsetsBody struct {
	Offsets []herder.Offset `json:"offsets"`
}

type messageBody struct {
	Message string `json:"message"`
}

func offsets(c *call) (answer, error) {
	list, err := c.api.Herder.Offsets(c.Context(), c.args[0])
	if list == nil {
		list = []herder.Offset{}
	}
	return ok(offsetsBody{list}, err)
}

func alterOffsets(c *call) (answer, error) {
	var b offsetsBody
	if err := c.decode(&b); err != nil {
		return answer{}, err
	}
	if len(b.Offsets) == 0 {
		return answer{}, fail(http.StatusBadRequest, "Partitions / offsets need to be provided for an alter offsets request")
	}
	for _, o := range b.Offsets {
		if o.Partition == nil {
			return answer{}, herder.Errorf(herder.Refused, "Partition objects cannot be null")
		}
	}
	text, err := c.api.Herder.AlterOffsets(c.Context(), c.args[0], b.Offsets)
	return ok(messageBody{text}, err)
}

func resetOffsets(c *call) (answer, error) {
	text, err := c.api.Herder.ResetOffsets(c.Context(), c.args[0])
	return ok(messageBody{text}, err)
}
