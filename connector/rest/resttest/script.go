package resttest

import "strings"

// A Side is a server that the script is replayed against, and what differs between servers by nature.
type Side struct {
	URL string
	// Vars replace {name} in paths and bodies: source and sink are configurations as JSON objects without a name; sourceClass and sinkClass
	// the names of their plug-ins; partition, offset and badPartition JSON objects of the source's offsets; topic of the sink.
	Vars map[string]string
}

// A Step is a request. {name} in Path and Body is replaced; see Side.
type Step struct {
	Name   string
	Method string
	Path   string
	Body   string
	Type   string // Content-Type of the body, "": application/json
	// Until repeats the request until it holds for the answer, nil: it is sent once. A refusal because of a rebalance is always
	// sent again.
	Until func(Answer) bool
	// Named: the keys of the answer are names of the server's own, such as those of its loggers, or of its plug-ins' keys.
	Named bool
	// Passing: the states are not compared, as what was asked before may be under way.
	Passing bool
	// More: a list that is empty at Connect may have entries, as a source of another kind has others.
	More bool
}

// Script is sent in this order: each step stands on what those before have done.
var Script = steps(
	group("root",
		get("root", "/"),
		get("health", "/health"),
		get("no connectors", "/connectors"),
		get("trailing slash", "/connectors/"),
		get("unknown path", "/nothing"),
		get("unknown path below", "/connectors/x/nothing"),
		Step{Name: "head", Method: "HEAD", Path: "/connectors"},
	),
	group("create",
		post("create", "/connectors", `{"name":"one","config":{source}}`),
		get("created", "/connectors/one/status").until(running(1)),
		post("again", "/connectors", `{"name":"one","config":{source}}`),
		post("malformed JSON", "/connectors", `{"name":"two","config":`),
		post("no JSON", "/connectors", `hello`),
		post("an array", "/connectors", `[]`),
		post("unknown field", "/connectors", `{"name":"two","config":{source},"extra":1}`),
		post("null", "/connectors", `null`),
		post("config of a wrong type", "/connectors", `{"name":"two","config":"x"}`),
		post("numbers in the config", "/connectors", `{"name":"numbers","config":{"connector.class":"{sourceClass}","tasks.max":"x"}}`),
		post("another name in the config", "/connectors", `{"name":"two","config":{"name":"three","connector.class":"{sourceClass}"}}`),
		post("no class", "/connectors", `{"name":"two","config":{}}`),
		post("unknown class", "/connectors", `{"name":"two","config":{"connector.class":"NoSuchThing"}}`),
		post("required keys missing", "/connectors", `{"name":"two","config":{"connector.class":"{sinkClass}"}}`),
		post("not JSON by type", "/connectors", `{"name":"two","config":{source}}`).as("text/plain"),
		post("stopped at first", "/connectors", `{"name":"stopped","config":{source},"initial_state":"STOPPED"}`),
		get("stopped at first, status", "/connectors/stopped/status").until(state("STOPPED")),
		post("paused at first", "/connectors", `{"name":"paused","config":{source},"initial_state":"paused"}`),
		get("paused at first, status", "/connectors/paused/status").until(state("PAUSED")),
		post("no such state", "/connectors", `{"name":"two","config":{source},"initial_state":"BOGUS"}`),
		post("a sink", "/connectors", `{"name":"copy","config":{sink}}`),
		get("the sink runs", "/connectors/copy/status").until(running(1)),
	),
	group("read",
		get("list", "/connectors"),
		get("expand status", "/connectors?expand=status"),
		get("expand info", "/connectors?expand=info"),
		get("expand both", "/connectors?expand=info&expand=status"),
		get("expand unknown", "/connectors?expand=nothing"),
		get("info", "/connectors/one"),
		get("info of none", "/connectors/none"),
		get("config", "/connectors/one/config").named(),
		get("config of none", "/connectors/none/config"),
		get("status", "/connectors/one/status"),
		get("status of none", "/connectors/none/status"),
		get("status of the sink", "/connectors/copy/status"),
		get("tasks", "/connectors/one/tasks"),
		get("tasks of none", "/connectors/none/tasks"),
		get("task status", "/connectors/one/tasks/0/status"),
		get("task status of no task", "/connectors/one/tasks/99/status"),
		get("task status of no number", "/connectors/one/tasks/x/status"),
		get("task status of none", "/connectors/none/tasks/0/status"),
	),
	group("odd names",
		post("a blank", "/connectors", `{"name":"a b","config":{source},"initial_state":"STOPPED"}`),
		post("a slash", "/connectors", `{"name":"a/b","config":{source},"initial_state":"STOPPED"}`),
		post("dots", "/connectors", `{"name":"..a.b.","config":{source},"initial_state":"STOPPED"}`),
		post("per cent", "/connectors", `{"name":"a%2Fb","config":{source},"initial_state":"STOPPED"}`),
		post("umlaut", "/connectors", `{"name":"größe","config":{source},"initial_state":"STOPPED"}`),
		post("plus and question mark", "/connectors", `{"name":"a+b?c","config":{source},"initial_state":"STOPPED"}`),
		post("blanks around", "/connectors", `{"name":"  around ","config":{source},"initial_state":"STOPPED"}`),
		post("empty", "/connectors", `{"name":"","config":{source}}`),
		post("no name", "/connectors", `{"config":{source}}`),
		post("only blanks", "/connectors", `{"name":"   ","config":{source}}`),
		post("a control character", "/connectors", `{"name":"a\u0001b","config":{source}}`),
		post("a line end", "/connectors", `{"name":"a\nb","config":{source}}`),
		get("get a blank", "/connectors/a%20b"),
		get("get a slash", "/connectors/a%2Fb"),
		get("get dots", "/connectors/..a.b."),
		get("get per cent", "/connectors/a%252Fb"),
		get("get umlaut", "/connectors/gr%C3%B6%C3%9Fe"),
		get("get plus and question mark", "/connectors/a%2Bb%3Fc"),
		get("get plus as it is", "/connectors/a+b%3Fc"),
		get("get around", "/connectors/around"),
		get("slash, status", "/connectors/a%2Fb/status"),
		get("slash, config", "/connectors/a%2Fb/config"),
		get("slash, tasks", "/connectors/a%2Fb/tasks"),
		get("slash, offsets", "/connectors/a%2Fb/offsets"),
		get("slash, topics", "/connectors/a%2Fb/topics"),
		put("slash, put config", "/connectors/a%2Fb/config", `{source}`),
		get("two parts are no name", "/connectors/a/b"),
		get("all of them", "/connectors"),
		del("delete a blank", "/connectors/a%20b"),
		del("delete a slash", "/connectors/a%2Fb"),
		del("delete dots", "/connectors/..a.b."),
		del("delete per cent", "/connectors/a%252Fb"),
		del("delete umlaut", "/connectors/gr%C3%B6%C3%9Fe"),
		del("delete plus and question mark", "/connectors/a%2Bb%3Fc"),
		del("delete around", "/connectors/around"),
		get("gone", "/connectors/around").until(code(404)),
	),
	group("config",
		put("replace", "/connectors/one/config", `{source}`),
		put("create by put", "/connectors/byput/config", `{source}`),
		put("malformed", "/connectors/one/config", `{"connector.class":`),
		put("empty body", "/connectors/one/config", ``),
		put("no class", "/connectors/one/config", `{}`),
		put("other name", "/connectors/one/config", `{"name":"two","connector.class":"{sourceClass}"}`),
		put("invalid", "/connectors/one/config", `{"connector.class":"{sourceClass}","tasks.max":"x"}`),
		put("nested", "/connectors/one/config", `{"connector.class":{"a":1}}`),
		put("number as a value", "/connectors/byput/config", `{source+number}`),
		patch("patch", "/connectors/byput/config", `{"tasks.max":"1","errors.deadletterqueue.topic.name":null}`),
		get("patched", "/connectors/byput/config").named(),
		patch("patch to invalid", "/connectors/byput/config", `{"tasks.max":"x"}`),
		patch("patch none", "/connectors/none/config", `{"tasks.max":"1"}`),
		patch("patch malformed", "/connectors/byput/config", `{"tasks.max"`),
		patch("patch empty", "/connectors/byput/config", `{}`),
		del("delete what was put", "/connectors/byput"),
		get("gone", "/connectors/byput").until(code(404)),
	),
	group("states",
		put("pause", "/connectors/one/pause", ``),
		get("paused", "/connectors/one/status").until(all("PAUSED")),
		put("pause again", "/connectors/one/pause", ``),
		put("resume", "/connectors/one/resume", ``),
		get("resumed", "/connectors/one/status").until(running(1)),
		put("pause none", "/connectors/none/pause", ``),
		put("resume none", "/connectors/none/resume", ``),
		put("stop none", "/connectors/none/stop", ``),
		post("pause by post", "/connectors/one/pause", ``),
		post("restart", "/connectors/one/restart", ``),
		get("restarted", "/connectors/one/status").until(running(1)),
		post("restart with tasks", "/connectors/one/restart?includeTasks=true&onlyFailed=false", ``),
		get("restarted with tasks", "/connectors/one/status").until(running(1)),
		post("restart what failed", "/connectors/one/restart?includeTasks=true&onlyFailed=true", ``).passing(),
		post("restart failed connector", "/connectors/one/restart?onlyFailed=true", ``).passing(),
		post("restart, no boolean", "/connectors/one/restart?includeTasks=perhaps", ``),
		post("restart none", "/connectors/none/restart", ``),
		post("restart none with tasks", "/connectors/none/restart?includeTasks=true", ``),
		post("restart task", "/connectors/one/tasks/0/restart", ``),
		get("task restarted", "/connectors/one/status").until(running(1)),
		post("restart no task", "/connectors/one/tasks/99/restart", ``),
		post("restart task of none", "/connectors/none/tasks/0/restart", ``),
		post("restart task of no number", "/connectors/one/tasks/x/restart", ``),
		get("restart by get", "/connectors/one/restart"),
	),
	group("topics",
		get("topics", "/connectors/one/topics"),
		get("topics of none", "/connectors/none/topics"),
		put("reset", "/connectors/one/topics/reset", ``),
		get("topics after reset", "/connectors/one/topics"),
		put("reset of none", "/connectors/none/topics/reset", ``),
		get("reset by get", "/connectors/one/topics/reset"),
	),
	group("offsets",
		get("offsets", "/connectors/one/offsets").until(moved),
		get("offsets of the sink", "/connectors/copy/offsets").until(moved),
		get("offsets of none", "/connectors/none/offsets"),
		patch("while it runs", "/connectors/one/offsets", `{"offsets":[{"partition":{partition},"offset":{offset}}]}`),
		patch("of the sink while it runs", "/connectors/copy/offsets", `{"offsets":[{"partition":{"kafka_topic":"{topic}","kafka_partition":0},"offset":{"kafka_offset":1}}]}`),
		del("reset while it runs", "/connectors/one/offsets"),
		patch("of none", "/connectors/none/offsets", `{"offsets":[{"partition":{partition},"offset":{offset}}]}`),
		del("reset of none", "/connectors/none/offsets"),
		put("stop", "/connectors/one/stop", ``),
		put("stop the sink", "/connectors/copy/stop", ``),
		get("stopped", "/connectors/one/status").until(stopped),
		get("sink stopped", "/connectors/copy/status").until(stopped),
		get("tasks of a stopped one", "/connectors/one/tasks"),
		get("task of a stopped one", "/connectors/one/tasks/0/status"),
		patch("malformed", "/connectors/one/offsets", `{"offsets":[`),
		patch("empty", "/connectors/one/offsets", `{}`),
		patch("no body", "/connectors/one/offsets", ``),
		patch("empty list", "/connectors/one/offsets", `{"offsets":[]}`),
		patch("no partition", "/connectors/one/offsets", `{"offsets":[{"offset":{offset}}]}`),
		patch("wrong partition", "/connectors/one/offsets", `{"offsets":[{"partition":{badPartition},"offset":{offset}}]}`),
		patch("wrong offset", "/connectors/one/offsets", `{"offsets":[{"partition":{partition},"offset":{badOffset}}]}`),
		patch("alter", "/connectors/one/offsets", `{"offsets":[{"partition":{partition},"offset":{offset}}]}`),
		get("altered", "/connectors/one/offsets"),
		patch("remove one", "/connectors/one/offsets", `{"offsets":[{"partition":{partition},"offset":null}]}`),
		get("removed", "/connectors/one/offsets").more(),
		patch("sink, alter", "/connectors/copy/offsets", `{"offsets":[{"partition":{"kafka_topic":"{topic}","kafka_partition":0},"offset":{"kafka_offset":1}}]}`),
		get("sink, altered", "/connectors/copy/offsets"),
		patch("sink, wrong partition", "/connectors/copy/offsets", `{"offsets":[{"partition":{"topic":"t"},"offset":{"kafka_offset":1}}]}`),
		patch("sink, no number", "/connectors/copy/offsets", `{"offsets":[{"partition":{"kafka_topic":"{topic}","kafka_partition":"x"},"offset":{"kafka_offset":1}}]}`),
		patch("sink, offset no number", "/connectors/copy/offsets", `{"offsets":[{"partition":{"kafka_topic":"{topic}","kafka_partition":0},"offset":{"kafka_offset":"x"}}]}`),
		patch("sink, negative offset", "/connectors/copy/offsets", `{"offsets":[{"partition":{"kafka_topic":"{topic}","kafka_partition":0},"offset":{"kafka_offset":-2}}]}`),
		del("sink, reset", "/connectors/copy/offsets"),
		get("sink, reset done", "/connectors/copy/offsets"),
		del("reset", "/connectors/one/offsets"),
		get("reset done", "/connectors/one/offsets"),
		post("by post", "/connectors/one/offsets", `{}`),
		put("resume", "/connectors/one/resume", ``),
		get("resumed", "/connectors/one/status").until(running(1)),
	),
	group("plugins",
		get("plugins", "/connector-plugins"),
		get("plugins, all", "/connector-plugins?connectorsOnly=false"),
		get("config", "/connector-plugins/{sourceClass}/config"),
		get("config of the sink", "/connector-plugins/{sinkClass}/config"),
		get("config of none", "/connector-plugins/NoSuchThing/config"),
		put("validate", "/connector-plugins/{sourceClass}/config/validate", `{source+name}`),
		put("validate, faults", "/connector-plugins/{sourceClass}/config/validate", `{"connector.class":"{sourceClass}","name":"v","tasks.max":"x"}`),
		put("validate, required missing", "/connector-plugins/{sinkClass}/config/validate", `{"connector.class":"{sinkClass}","name":"v"}`),
		put("validate, empty", "/connector-plugins/{sourceClass}/config/validate", `{}`),
		put("validate, another class", "/connector-plugins/{sourceClass}/config/validate", `{"connector.class":"{sinkClass}"}`),
		put("validate, unknown class", "/connector-plugins/NoSuchThing/config/validate", `{"connector.class":"NoSuchThing"}`),
		put("validate, malformed", "/connector-plugins/{sourceClass}/config/validate", `{"a"`),
		put("validate, no body", "/connector-plugins/{sourceClass}/config/validate", ``),
		post("validate by post", "/connector-plugins/{sourceClass}/config/validate", `{}`),
		get("validate by get", "/connector-plugins/{sourceClass}/config/validate"),
	),
	group("loggers",
		get("loggers", "/admin/loggers").named(),
		get("root", "/admin/loggers/root"),
		get("unknown logger", "/admin/loggers/no.such.logger"),
		put("set", "/admin/loggers/some.logger", `{"level":"DEBUG"}`),
		get("is set", "/admin/loggers/some.logger"),
		put("set, lower case", "/admin/loggers/some.logger", `{"level":"warn"}`),
		put("set for all", "/admin/loggers/some.logger?scope=cluster", `{"level":"ERROR"}`),
		put("set here", "/admin/loggers/some.logger?scope=worker", `{"level":"INFO"}`),
		put("set somewhere", "/admin/loggers/some.logger?scope=bogus", `{"level":"DEBUG"}`),
		put("no such level", "/admin/loggers/some.logger", `{"level":"LOUD"}`),
		put("no such level for all", "/admin/loggers/some.logger?scope=cluster", `{"level":"LOUD"}`),
		put("no level", "/admin/loggers/some.logger", `{}`),
		put("malformed", "/admin/loggers/some.logger", `{"level"`),
		put("no body", "/admin/loggers/some.logger", ``),
		del("delete", "/admin/loggers/some.logger"),
		post("all by post", "/admin/loggers", `{}`),
	),
	group("methods",
		put("put connectors", "/connectors", `{}`),
		del("delete connectors", "/connectors"),
		patch("patch connectors", "/connectors", `{}`),
		post("post connector", "/connectors/one", `{}`),
		put("put connector", "/connectors/one", `{}`),
		post("post config", "/connectors/one/config", `{}`),
		del("delete config", "/connectors/one/config"),
		post("post status", "/connectors/one/status", `{}`),
		post("post tasks status", "/connectors/one/tasks/0/status", `{}`),
		post("post root", "/", `{}`),
		post("post plugins", "/connector-plugins", `{}`),
		get("stop by get", "/connectors/one/stop"),
		Step{Name: "options", Method: "OPTIONS", Path: "/connectors"},
	),
	group("delete",
		del("delete", "/connectors/one"),
		del("delete the sink", "/connectors/copy"),
		del("delete a stopped one", "/connectors/stopped"),
		del("delete a paused one", "/connectors/paused"),
		get("gone", "/connectors/one").until(code(404)),
		get("status gone", "/connectors/one/status").until(code(404)),
		del("delete again", "/connectors/one"),
		del("delete none", "/connectors/none"),
		// Connect takes names with a slash or %2F, and then refuses every path with them.
		get("left", "/connectors").until(func(a Answer) bool {
			return !strings.Contains(string(a.Body), `"one"`) && !strings.Contains(string(a.Body), `"paused"`)
		}),
	),
)

func steps(groups ...[]Step) []Step {
	var out []Step
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

func group(name string, list ...Step) []Step {
	for i := range list {
		list[i].Name = name + ": " + list[i].Name
	}
	return list
}

func get(name, path string) Step { return Step{Name: name, Method: "GET", Path: path} }
func del(name, path string) Step { return Step{Name: name, Method: "DELETE", Path: path} }
func post(name, path, body string) Step {
	return Step{Name: name, Method: "POST", Path: path, Body: body}
}
func put(name, path, body string) Step {
	return Step{Name: name, Method: "PUT", Path: path, Body: body}
}
func patch(name, path, body string) Step {
	return Step{Name: name, Method: "PATCH", Path: path, Body: body}
}

func (s Step) until(f func(Answer) bool) Step { s.Until = f; return s }
func (s Step) more() Step                     { s.More = true; return s }
func (s Step) passing() Step                  { s.Passing = true; return s }
func (s Step) named() Step                    { s.Named = true; return s }
func (s Step) as(contentType string) Step     { s.Type = contentType; return s }
