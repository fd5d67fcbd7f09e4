package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/waltap/waltap/connector/herder"
)

// route is a method and a path of the API. The OpenAPI document is made of routes.
type route struct {
	method string
	path   string // parts in {} stand for one part of a path
	handle func(*call) (answer, error)

	summary string
	query   []parameter
	in, out any   // values of the types of the bodies; nil: none
	codes   []int // the status codes, the first with out; errors are errorBody
	own     bool  // Connect has no such route
}

// parameter of a query.
type parameter struct{ name, text string }

var (
	expandQuery  = []parameter{{"expand", "status, info or (waltap only) progress, several times: the answer is an object with the connectors' statuses, configurations and what their workers count"}}
	restartQuery = []parameter{{"includeTasks", "true: the tasks too"}, {"onlyFailed", "true: only what is FAILED"}}
	scopeQuery   = []parameter{{"scope", "worker (default): of this process; cluster: of all of the group"}}
)

func routes() []route {
	const one = "/connectors/{connector}"
	return []route{
		{method: "GET", path: "/", handle: root, summary: "Version and Kafka cluster.", out: herder.Worker{}, codes: []int{200}},
		{method: "GET", path: "/health", handle: health, summary: "Whether the worker can answer requests.", out: healthBody{}, codes: []int{200, 500, 503}},

		{method: "GET", path: "/connectors", handle: list, summary: "Names of the connectors.", query: expandQuery, out: []string{}, codes: []int{200}},
		{method: "POST", path: "/connectors", handle: create, summary: "Create a connector.", in: createBody{}, out: herder.Info{}, codes: []int{201, 400, 409}},
		{method: "GET", path: one, handle: info, summary: "A connector's configuration and tasks.", out: herder.Info{}, codes: []int{200, 404}},
		{method: "DELETE", path: one, handle: remove, summary: "Delete a connector. A source's own peer is removed, unless hbase.peer.on.delete is keep.", codes: []int{204, 404, 409}},
		{method: "GET", path: one + "/config", handle: configOf, summary: "A connector's configuration.", out: map[string]string{}, codes: []int{200, 404}},
		{method: "PUT", path: one + "/config", handle: putConfig, summary: "Replace a connector's configuration, or create the connector.", in: map[string]string{}, out: herder.Info{}, codes: []int{200, 201, 400, 409}},
		{method: "PATCH", path: one + "/config", handle: patchConfig, summary: "Set keys of a connector's configuration, and remove those that are null.", in: map[string]*string{}, out: herder.Info{}, codes: []int{200, 400, 404, 409}},
		{method: "GET", path: one + "/status", handle: status, summary: "How a connector and its tasks are, and what became of a source's peer.", out: herder.Status{}, codes: []int{200, 404}},
		{method: "POST", path: one + "/restart", handle: restart, summary: "Restart a connector, and its tasks.", query: restartQuery, out: herder.Status{}, codes: []int{202, 204, 404, 409}},
		{method: "PUT", path: one + "/pause", handle: target(herder.TargetPaused, http.StatusAccepted), summary: "Pause: tasks stay and move nothing.", codes: []int{202, 404}},
		{method: "PUT", path: one + "/resume", handle: target(herder.TargetRunning, http.StatusAccepted), summary: "Resume what is paused or stopped.", codes: []int{202, 404}},
		{method: "PUT", path: one + "/stop", handle: target(herder.TargetStopped, http.StatusNoContent), summary: "Stop: the connector has no tasks, and its offsets can be changed.", codes: []int{204, 404}},
		{method: "GET", path: one + "/tasks", handle: tasks, summary: "Tasks and their configurations.", out: []herder.TaskInfo{}, codes: []int{200, 404}},
		{method: "GET", path: one + "/tasks/{task}/status", handle: taskStatus, summary: "How a task is.", out: herder.TaskStatus{}, codes: []int{200, 404}},
		{method: "POST", path: one + "/tasks/{task}/restart", handle: restartTask, summary: "Restart a task.", codes: []int{204, 404, 409}},
		{method: "GET", path: one + "/topics", handle: topics, summary: "Topics that the connector has used.", out: map[string]topicsBody{}, codes: []int{200, 404}},
		{method: "PUT", path: one + "/topics/reset", handle: resetTopics, summary: "Forget which topics the connector has used.", codes: []int{202, 404}},
		{method: "GET", path: one + "/offsets", handle: offsets, summary: "Where the connector stands.", out: offsetsBody{}, codes: []int{200, 404}},
		{method: "PATCH", path: one + "/offsets", handle: alterOffsets, summary: "Move a stopped connector.", in: offsetsBody{}, out: messageBody{}, codes: []int{200, 400, 404, 409}},
		{method: "DELETE", path: one + "/offsets", handle: resetOffsets, summary: "Forget where a stopped connector stands.", out: messageBody{}, codes: []int{200, 400, 404, 409}},

		{method: "GET", path: "/connector-plugins", handle: plugins, summary: "The connector classes.", query: []parameter{{"connectorsOnly", "false: converters, too"}}, out: []plugin{}, codes: []int{200}},
		{method: "GET", path: "/connector-plugins/{class}/config", handle: pluginConfig, summary: "The configuration keys of a class.", out: []keyInfo{}, codes: []int{200, 404}},
		{method: "PUT", path: "/connector-plugins/{class}/config/validate", handle: validate, summary: "Check a configuration, key by key.", in: map[string]string{}, out: configInfos{}, codes: []int{200, 400, 404}},

		{method: "GET", path: "/admin/loggers", handle: loggers, summary: "The loggers and their levels.", out: map[string]herder.LoggerLevel{}, codes: []int{200}},
		{method: "GET", path: "/admin/loggers/{logger}", handle: logger, summary: "A logger's level.", out: herder.LoggerLevel{}, codes: []int{200, 404}},
		{method: "PUT", path: "/admin/loggers/{logger}", handle: setLogger, summary: "Set the level of a logger and of those below it.", query: scopeQuery, in: levelBody{}, out: []string{}, codes: []int{200, 204, 400, 404}},

		{method: "GET", path: "/v1/connectors/{connector}/progress", handle: progress, summary: "What the workers count of a connector: records, scan, lag, watermark.", out: []herder.Progress{}, codes: []int{200, 404}, own: true},
		{method: "GET", path: "/v1/connectors/{connector}/dead-letters", handle: deadLetters, summary: "The newest dead letters of a connector.", query: []parameter{{"limit", "how many, 20 by default, at most 200"}}, out: deadLettersBody{}, codes: []int{200, 400, 404, 503}, own: true},
		{method: "GET", path: "/v1/samples", handle: samplesOf, summary: "Throughput and lag of the recent past, as this worker has seen them since it started.", query: []parameter{
			{"of", "recent (default): a sample every two seconds, for a quarter of an hour; day: the mean rates and the longest lags of two minutes each, for a day"}, {"since", "only what was taken after this time, ms since 1970"}}, out: samplesBody{}, codes: []int{200, 400, 404}, own: true},
		{method: "GET", path: "/v1/session", handle: session, summary: "What who asks may do.", out: sessionBody{}, codes: []int{200}, own: true},
		{method: "POST", path: "/v1/connectors/{connector}/signals", handle: signal, summary: "Send a source a signal, in Debezium's form.", in: herder.Signal{}, codes: []int{202, 400, 404, 409}, own: true},
		{method: "GET", path: "/v1/migrations", handle: migrations, summary: "The migrations and where their waves are.", out: []Migration{}, codes: []int{200, 503}, own: true},
		{method: "GET", path: "/v1/migrations/{migration}", handle: migration, summary: "A migration, and how its waves get on.", out: Migration{}, codes: []int{200, 404, 503}, own: true},
		{method: "GET", path: "/openapi.json", handle: openAPIDocument, summary: "This API, as an OpenAPI document.", codes: []int{200}, own: true},
	}
}

// table is routes, with the paths in parts; it never changes.
var table = compile()

type compiled struct {
	route
	parts []string
}

// compile is a function so that routes may refer to handlers that refer to the table.
func compile() func() []compiled {
	var list []compiled
	return func() []compiled {
		if list == nil {
			for _, r := range routes() {
				list = append(list, compiled{r, strings.FieldsFunc(r.path, func(c rune) bool { return c == '/' })})
			}
		}
		return list
	}
}

// find returns the route of a request. methods are those that its path has; nil: there is no such path.
func find(method string, path []string) (found *route, args, methods []string) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, c := range table() {
		a, ok := match(c.parts, path)
		if !ok && len(path) > 2 && path[0] == "v1" && path[1] == "connectors" && !c.own {
			// Everything below /connectors/{connector} is below /v1, too, where a name may hold any character.
			a, ok = match(c.parts, path[1:])
		}
		if !ok {
			continue
		}
		if c.method == method {
			return &c.route, a, nil
		}
		methods = append(methods, c.method)
		if c.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	if methods != nil {
		methods = append(methods, http.MethodOptions)
		slices.Sort(methods)
	}
	return nil, nil, methods
}

func match(parts, path []string) (args []string, ok bool) {
	if len(parts) != len(path) {
		return nil, false
	}
	for i, p := range parts {
		switch {
		case p[0] == '{':
			args = append(args, path[i])
		case p != path[i]:
			return nil, false
		}
	}
	return args, true
}
