//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/e2e/judge"
	"github.com/waltap/waltap/e2e/servers"
	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/deadletter"
	"github.com/waltap/waltap/internal/kafka"
)

// documentedRights reads the table of docs/kafka-acls.md below a heading, as kafka-acls.sh commands.
func documentedRights(t *testing.T, heading, principal string, p *pipe) [][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "kafka-acls.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	names := strings.NewReplacer("`", "", "<topic.prefix>", p.name, "<name>", p.name+"_source", "<consumer.group.id>", "connect-"+p.name+"_sink", "<errors.deadletterqueue.topic.name>", p.name+"_dead")
	var commands [][]string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if strings.Contains(line, "only for ") {
			continue // what does not happen here
		}
		if kind := strings.TrimPrefix(cells[0], "| "); len(cells) == 5 && (kind == "Topic" || kind == "Group") {
			c := []string{"kafka-acls.sh", "--bootstrap-server", "-", "--add", "--allow-principal", principal, "--" + strings.ToLower(kind), names.Replace(cells[1]), "--resource-pattern-type", cells[2]}
			for o := range strings.SplitSeq(cells[3], ", ") {
				c = append(c, "--operation", o)
			}
			commands = append(commands, c)
		}
	}
	if !found || len(commands) == 0 {
		t.Fatalf("docs/kafka-acls.md has no rights below %q", heading)
	}
	return commands
}

// printedCommands finds the commands of Kafka's that a text tells to run, on lines of their own or as a remedy, each once and
// split into words as a shell does.
func printedCommands(text, name string) [][]string {
	var commands [][]string
	seen := make(map[string]bool)
	for line := range strings.Lines(text) {
		if _, remedy, found := strings.Cut(line, " gives it with: "); found {
			line = remedy
		}
		command, _, _ := strings.Cut(strings.TrimSpace(line), " (docs/")
		if strings.HasPrefix(command, name+" ") && !seen[command] {
			commands = append(commands, shellWords(command))
		}
		seen[command] = true
	}
	return commands
}

func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted := false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return words
}

// runAsAdmin runs commands as who may do everything.
func runAsAdmin(t *testing.T, k *servers.Kafka, commands ...[]string) {
	t.Helper()
	for _, c := range commands {
		if i := slices.Index(c, "--bootstrap-server"); i < 0 {
			t.Fatalf("command %q names no broker", c)
		} else {
			c[i+1] = k.Bootstrap()
		}
	}
	if out, err := k.RunTools(testenv.Context(t, 2*time.Minute), commands...); err != nil {
		t.Fatal(err)
	} else if strings.Contains(out, "rror") {
		t.Fatalf("Kafka's tools: %s", out)
	}
}

// saslSSL are the keys of a user of the secured broker.
func saslSSL(t *testing.T, k *servers.Kafka, user string) keys {
	return keys{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "ssl.truststore.location": k.AuthorityFile(), "log.level": "debug",
		"sasl.jaas.config": fmt.Sprintf(`org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="${file:%s:password.%s}";`, user, secretsFile(t), user)}
}

// secured makes the file of a process whose user is one of the secured broker.
func secured(t *testing.T, k *servers.Kafka, user string, connectors ...string) string {
	return kafkaYAML(k.Listener(servers.SASLSSL), saslSSL(t, k, user), connectors...)
}

// TestMainJobWithTheDocumentedRights: scan under writes, every type of cell, kill, changes, end time, offsets; over SASL_SSL, as
// users that have the rights of docs/kafka-acls.md and no other, and have used each of them when it is through.
func TestMainJobWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	const sourceUser, sinkUser = "User:waltap", "User:copier"
	ctx := testenv.Context(t, 4*time.Minute)
	k := env.SecureKafka(t)
	name := testenv.Name(t)
	cells := name + "_cells"
	createTable(t, name, "a", "b")
	load(t, name, 2000, "a", "b")
	if err := env.Src.CreateTable(ctx, judge.Table{Name: cells, Splits: judge.HexSplits(3), Families: []judge.Family{{Name: "f", Versions: 5, Scope: 1}, {Name: "local", Versions: 3}}}); err != nil {
		t.Fatal(err)
	}
	write(t, cells, everyCell("a scan ")...)
	p := &pipe{name: name, tables: name + "," + cells, source: keys{"watermark.margin.ms": "1000"}, sink: keys{"watermark.margin.ms": "1000",
		"errors.tolerance": "all", "errors.deadletterqueue.topic.name": name + "_dead"}}
	p.cleanUp(t)
	sourceRights := documentedRights(t, "Connectors of class HBaseSource", sourceUser, p)
	sinkRights := append(documentedRights(t, "Connectors of class HBaseSink", sinkUser, p),
		documentedRights(t, "Connectors with `errors.deadletterqueue.topic.name`, in addition", sinkUser, p)...)
	rights := slices.Concat(sourceRights, sinkRights)
	for _, c := range kafkaCommands(p) {
		rights = append(rights, documentedRights(t, c.heading, c.principal(), p)...)
	}
	runAsAdmin(t, k, rights...)

	start := func() (source, sink *testenv.Waltap) {
		source = env.StartWaltap(t, testenv.WaltapOptions{Name: "source", Config: secured(t, k, "waltap", p.sourceConfig())})
		return source, env.StartWaltap(t, testenv.WaltapOptions{Name: "sink", Config: secured(t, k, "copier", p.sinkConfig())})
	}
	stop := mutate(t, name, 400, "a", "b")
	source, sink := start()
	awaitStreaming(t, source)
	write(t, cells, everyCell("f stream ")...)
	for _, w := range []*testenv.Waltap{source, sink} {
		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := w.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	awaitStreaming(t, source)
	stop()
	identical(t, name, judge.ScanOptions{})
	identical(t, cells, judge.ScanOptions{ExcludeFamilies: []string{"local"}})
	deadLetters(t, k, p, sink)
	shown := make(map[string]string)
	for _, w := range []*testenv.Waltap{source, sink} {
		for _, path := range []string{"/status", "/metrics", "/v1/connectors/" + name + "_source/snapshot/limits"} {
			_, body, err := w.Get(ctx, path)
			if err != nil {
				t.Error(err)
			}
			shown[path] += string(body)
		}
		if code, err := w.Stop(ctx); err != nil || code != 0 {
			t.Fatalf("SIGTERM: exit code %d, %v", code, err)
		}
		shown["the log"] += readLog(t, w)
	}

	end := time.Now().UTC().Add(time.Second).Format(time.RFC3339)
	p.source["end.time"], p.sink["end.time"] = end, end
	source, sink = start()
	for _, w := range []*testenv.Waltap{source, sink} {
		if code, err := w.Wait(ctx); err != nil || code != 0 {
			t.Fatalf("the run with an end time: exit code %d, %v\n%s", code, err, servers.LogTail(w.LogPath()))
		}
		shown["the log of the run with an end time"] += readLog(t, w)
	}
	identical(t, name, judge.ScanOptions{})
	for where, text := range shown {
		noSecret(t, where, text)
	}
	checkAccesses(t, k, sourceUser, sourceRights)
	checkAccesses(t, k, sinkUser, sinkRights)
	for _, c := range kafkaCommands(p) {
		c.run(t, k, p)
	}
}

// deadLetters writes a record to a data topic that is no change, waits until p's sink has put it aside, and lays a change beside
// it that can be put back.
func deadLetters(t *testing.T, k *servers.Kafka, p *pipe, sink *testenv.Waltap) {
	t.Helper()
	ctx := testenv.Context(t, time.Minute)
	admin, err := kafka.Connect(ctx, kafka.Config{BootstrapServers: []string{k.Bootstrap()}})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	producer := admin.NewProducer(kafka.ProducerConfig{})
	defer producer.Close()
	produce := func(topic string, r kafka.Record) {
		done := make(chan error, 1)
		producer.Produce(ctx, kafka.TopicPartition{Topic: topic}, []kafka.Record{r}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	data := p.name + ".default." + p.name
	res, err := admin.Fetch(ctx, kafka.TopicPartition{Topic: data}, 0, 1<<20, time.Second)
	if err != nil || len(res.Records) == 0 {
		t.Fatalf("%d records of %s, %v", len(res.Records), data, err)
	}
	produce(data, kafka.Record{Key: []byte("k"), Value: []byte("not a change")})
	await(t, sink, "_sink", "a dead letter", func(v status.ConnectorView) bool { return v.DeadLettered == 1 })
	letter := deadletter.New(res.Records[0], deadletter.StagePut, p, errors.New("refused"))
	letter.Connector = p.name + "_sink"
	produce(p.name+"_dead", letter.Record(true))
}

// kafkaCommand is a waltap command that talks to Kafka, run by somebody who has the rights below a heading.
type kafkaCommand struct {
	heading, user string
	args          []string
	runs          int
	want          string // on its output
}

func (c kafkaCommand) principal() string { return "User:" + c.user }

func kafkaCommands(p *pipe) []kafkaCommand {
	data := p.name + ".default." + p.name
	return []kafkaCommand{
		{"`waltap offsets get`", "watcher", []string{"offsets", "get"}, 1, data},
		{"`waltap offsets set`, `reset` and `forget`", "operator", []string{"offsets", "reset", "--to-earliest"}, 1, data},
		{"`waltap tail`", "follower", []string{"tail", data, "--until-end", "--limit", "1"}, 1, "default:" + p.name},
		{"`waltap dlq replay`", "mender", []string{"dlq", "replay"}, 2, "1 were before"}, // the first time nothing was put back
		{"`waltap dlq list`", "reader", []string{"dlq", "list"}, 1, p.name + "_sink"},
	}
}

// run runs the command with exactly its rights.
func (c kafkaCommand) run(t *testing.T, k *servers.Kafka, p *pipe) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(secured(t, k, c.user, p.sinkConfig()), "${PORT}", "0")), 0o600); err != nil {
		t.Fatal(err)
	}
	var r testenv.Result
	for range c.runs {
		r = testenv.RunWaltap(testenv.Context(t, time.Minute), t, append(c.args, "-f", file)...)
		noSecret(t, "waltap "+c.args[0], r.Stdout+r.Stderr)
	}
	if r.ExitCode != 0 || !strings.Contains(r.Stdout, c.want) {
		t.Errorf("waltap %s: %+v; want %q", strings.Join(c.args, " "), r, c.want)
	}
	checkAccesses(t, k, c.principal(), documentedRights(t, c.heading, c.principal(), p))
}

func readLog(t *testing.T, w *testenv.Waltap) string {
	t.Helper()
	b, err := os.ReadFile(w.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkAccesses fails the test when a right was missing, or one of commands was not used.
func checkAccesses(t *testing.T, k *servers.Kafka, principal string, commands [][]string) {
	t.Helper()
	accesses, err := k.Accesses(principal)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accesses {
		if !a.Allowed {
			t.Errorf("the broker refused %s: %s on %s %s", principal, a.Operation, a.Resource, a.Name)
		}
	}
	all, err := k.Accesses("")
	if err != nil {
		t.Fatal(err)
	}
	// A topic that other connectors use too is created by whichever comes first.
	shared := func(name string) bool {
		return slices.ContainsFunc(all, func(a servers.Access) bool { return a.Name == name && a.Principal != principal })
	}
	operations := map[string]string{"Read": "READ", "Write": "WRITE", "Create": "CREATE", "Delete": "DELETE", "Describe": "DESCRIBE", "DescribeConfigs": "DESCRIBE_CONFIGS"}
	for _, c := range commands {
		kind, name, prefixed := strings.TrimPrefix(c[6], "--"), c[7], c[9] == "prefixed"
		for i := 11; i < len(c); i += 2 {
			used := slices.ContainsFunc(accesses, func(a servers.Access) bool {
				return a.Operation == operations[c[i]] && strings.EqualFold(a.Resource, kind) && (a.Name == name || prefixed && strings.HasPrefix(a.Name, name))
			})
			if !used && !(c[i] == "Create" && shared(name)) {
				t.Errorf("the right %s on %s %s was not used: it should not be documented", c[i], kind, name)
			}
		}
	}
	t.Logf("%d rights were used in %d ways", len(commands), len(accesses))
}

// TestMissingRightIsGivenByThePrintedCommand: a source whose user lacks two rights ends with the command that gives the one it
// needs first; an administrator runs what it prints until it runs.
func TestMissingRightIsGivenByThePrintedCommand(t *testing.T) {
	t.Parallel()
	const principal = "User:newcomer"
	k := env.SecureKafka(t)
	name := testenv.Name(t)
	createTable(t, name, "a")
	load(t, name, 10, "a")
	p := &pipe{name: name, tables: name, source: keys{"snapshot.mode": "initial_only"}}
	rights := documentedRights(t, "Connectors of class HBaseSource", principal, p)
	lacking := func(c []string) bool {
		return c[7] == name+"." && c[11] != "DescribeConfigs"
	}
	runAsAdmin(t, k, slices.DeleteFunc(rights, lacking)...)
	var given []string
	for range 10 {
		w := env.StartWaltap(t, testenv.WaltapOptions{Config: secured(t, k, "newcomer", p.sourceConfig())})
		code, err := w.Wait(testenv.Context(t, 30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		log := readLog(t, w)
		noSecret(t, "the log", log)
		if code == 0 {
			break
		}
		commands := printedCommands(log, "kafka-acls.sh")
		if len(commands) != 1 || !strings.Contains(log, principal+" lacks the right") {
			t.Fatalf("exit code %d; the log has the commands %q, want one\n%s", code, commands, servers.LogTail(w.LogPath()))
		}
		given = append(given, strings.Join(commands[0][6:], " "))
		runAsAdmin(t, k, commands...)
	}
	on := " --topic " + name + ".default." + name
	if want := []string{"--operation Describe" + on, "--operation Create" + on, "--operation Write" + on}; !slices.Equal(given, want) {
		t.Errorf("the source asked for %q, want %q", given, want)
	}
}
