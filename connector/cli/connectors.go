package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
)

type connectorsCommands struct {
	restFlags `embed:""`

	Create   connectorsCreate   `cmd:"" help:"Create a connector from a file, or replace its configuration."`
	Get      connectorsGet      `cmd:"" help:"Show a connector's configuration."`
	List     connectorsList     `cmd:"" help:"List the connectors and how they are."`
	Validate connectorsValidate `cmd:"" help:"Check a configuration, key by key. Changes nothing. Exit code 2: it is wrong."`
	Status   connectorsStatus   `cmd:"" help:"Show how a connector and its tasks are. Exit code 1: something failed."`
	Pause    connectorsPause    `cmd:"" help:"Let a connector move nothing, with its tasks kept."`
	Resume   connectorsResume   `cmd:"" help:"Let a paused or stopped connector go on where it was."`
	Stop     connectorsStop     `cmd:"" help:"Stop a connector: it has no tasks until it is resumed, and its offsets can be moved."`
	Restart  connectorsRestart  `cmd:"" help:"Restart a connector, and its tasks."`
	Delete   connectorsDelete   `cmd:"" help:"Delete a connector. A source's own peer is removed, unless hbase.peer.on.delete is keep."`
}

type nameArg struct {
	Name string `arg:"" help:"The connector's name."`
}

type connectorsCreate struct {
	File    string `arg:"" help:"Its configuration: YAML, JSON (also {\"name\":…,\"config\":{…}}) or .properties; - reads from standard input."`
	Name    string `help:"Its name, unless the file has it." placeholder:"NAME"`
	Replace bool   `help:"Replace the configuration of a connector that there is."`
	Stopped bool   `help:"Create it stopped; waltap connectors resume starts it."`
}

func (connectorsCreate) Help() string {
	return "Example:\n  waltap connectors create orders-source.yaml --replace"
}

func (cmd *connectorsCreate) Run(e *env, root *commands) error {
	name, c, err := readConnector(e, cmd.File, cmd.Name)
	if err != nil {
		return err
	}
	if name == "" {
		return usageError{errors.New("the connector has no name: give the key name, or --name")}
	}
	client, err := root.Connectors.client()
	if err != nil {
		return err
	}
	var i herder.Info
	if cmd.Replace {
		if cmd.Stopped {
			return usageError{errors.New("--stopped is of a new connector: leave out --replace, or run waltap connectors stop")}
		}
		code, err := client.do(e.ctx, "PUT", connectorPath(name, "config"), c, &i)
		if err != nil {
			return err
		}
		return e.say("connector %s %s", i.Name, map[bool]string{true: "created", false: "replaced"}[code == http.StatusCreated])
	}
	body := map[string]any{"name": name, "config": c}
	if cmd.Stopped {
		body["initial_state"] = herder.TargetStopped
	}
	code, err := client.do(e.ctx, "POST", "/connectors", body, &i)
	if code == http.StatusConflict {
		return fmt.Errorf("%w; --replace replaces its configuration", err)
	}
	if err != nil {
		return err
	}
	return e.say("connector %s created", i.Name)
}

func (e *env) say(format string, args ...any) error {
	_, err := fmt.Fprintf(e.stdout, format+"\n", args...)
	return err
}

// readConnector reads the file of a connector.
func readConnector(e *env, file, name string) (string, map[string]string, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(e.stdin)
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return "", nil, usageError{fmt.Errorf("read the connector's configuration: %w", err)}
	}
	given, c, err := config.ReadConnector(file, b)
	if err != nil {
		return "", nil, usageError{fmt.Errorf("read the connector's configuration:\n%w", err)}
	}
	if name != "" {
		given, c["name"] = name, name
	}
	return given, c, nil
}

type connectorsGet struct {
	nameArg `embed:""`
}

func (connectorsGet) Help() string {
	return "Prints the configuration as JSON, which waltap connectors create --replace reads.\n\nExample:\n  waltap connectors get orders-source > orders-source.json"
}

func (cmd *connectorsGet) Run(e *env, root *commands) error {
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	var out map[string]string
	if _, err := c.do(e.ctx, "GET", connectorPath(cmd.Name, "config"), nil, &out); err != nil {
		return err
	}
	return e.writeJSON(out)
}

type connectorsList struct {
	JSON bool `name:"json" help:"Write names, statuses and configurations as JSON."`
}

func (connectorsList) Help() string {
	return "Example:\n  waltap connectors --url https://waltap-1:8083 list"
}

func (cmd *connectorsList) Run(e *env, root *commands) error {
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	var all map[string]struct {
		Status *herder.Status `json:"status,omitempty"`
		Info   *herder.Info   `json:"info,omitempty"`
	}
	if _, err := c.do(e.ctx, "GET", "/connectors?expand=status&expand=info", nil, &all); err != nil {
		return err
	}
	if cmd.JSON {
		return e.writeJSON(all)
	}
	if len(all) == 0 {
		return e.say("there are no connectors: waltap connectors create FILE makes one")
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tTYPE\tSTATE\tTASKS\tFAILED\tWORKER")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		kind, state, worker, tasks, failed := herder.Type("-"), herder.Unassigned, "-", 0, 0
		if i := all[name].Info; i != nil {
			kind = i.Type
		}
		if s := all[name].Status; s != nil {
			state, worker, tasks = s.Connector.State, s.Connector.WorkerID, len(s.Tasks)
			for _, t := range s.Tasks {
				if t.State == herder.Failed {
					failed++
				}
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", name, kind, state, tasks, failed, worker)
	}
	return w.Flush()
}

type connectorsValidate struct {
	File string `arg:"" help:"The configuration: YAML, JSON or .properties; - reads from standard input."`
	Name string `help:"Its name, unless the file has it." placeholder:"NAME"`
}

func (connectorsValidate) Help() string {
	return "Example:\n  waltap connectors validate orders-source.yaml"
}

func (cmd *connectorsValidate) Run(e *env, root *commands) error {
	_, props, err := readConnector(e, cmd.File, cmd.Name)
	if err != nil {
		return err
	}
	class := props["connector.class"]
	if class == "" {
		return usageError{errors.New("connector.class is missing: want HBaseSource or HBaseSink")}
	}
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	var out struct {
		ErrorCount int `json:"error_count"`
		Configs    []struct {
			Value struct {
				Name   string
				Errors []string
			}
		}
	}
	if _, err := c.do(e.ctx, "PUT", "/connector-plugins/"+url.PathEscape(class)+"/config/validate", props, &out); err != nil {
		return err
	}
	for _, k := range out.Configs {
		for _, text := range k.Value.Errors {
			if err := e.say("%s: %s", k.Value.Name, text); err != nil {
				return err
			}
		}
	}
	if out.ErrorCount > 0 {
		return usageError{fmt.Errorf("%d keys are wrong", out.ErrorCount)}
	}
	return e.say("the configuration is right")
}

type connectorsStatus struct {
	nameArg `embed:""`

	JSON bool `name:"json" help:"Write it as JSON."`
}

func (connectorsStatus) Help() string {
	return "Example:\n  waltap connectors status orders-source"
}

func (cmd *connectorsStatus) Run(e *env, root *commands) error {
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	var s herder.Status
	if _, err := c.do(e.ctx, "GET", connectorPath(cmd.Name, "status"), nil, &s); err != nil {
		return err
	}
	if cmd.JSON {
		err = e.writeJSON(s)
	} else {
		err = printStatus(e.stdout, &s)
	}
	if err != nil {
		return err
	}
	failed := s.Connector.State == herder.Failed
	for _, t := range s.Tasks {
		failed = failed || t.State == herder.Failed
	}
	if failed {
		return fmt.Errorf("connector %s has failed: mend what its trace says, then run waltap connectors restart %s --include-tasks --only-failed", s.Name, s.Name)
	}
	return nil
}

func printStatus(out io.Writer, s *herder.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tSTATE\tWORKER\tVERSION")
	fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\n", s.Type, s.Name, s.Connector.State, s.Connector.WorkerID, s.Connector.Version)
	for _, t := range s.Tasks {
		fmt.Fprintf(w, "task %d\t%s\t%s\t%s\n", t.ID, t.State, t.WorkerID, t.Version)
	}
	if p := s.Peer; p != nil {
		fmt.Fprintf(w, "peer %s\t%s\t\t\n", p.ID, p.State)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	texts := []string{s.Connector.Trace}
	for _, t := range s.Tasks {
		texts = append(texts, t.Trace)
	}
	if s.Peer != nil {
		if s.Peer.HeldSeconds > 0 {
			texts = append(texts, fmt.Sprintf("HBase has kept WALs for %d seconds.", s.Peer.HeldSeconds))
		}
		texts = append(texts, s.Peer.Note)
	}
	for _, t := range slices.Compact(texts) {
		if t != "" {
			if _, err := fmt.Fprintln(out, t); err != nil {
				return err
			}
		}
	}
	return nil
}

type (
	connectorsPause struct {
		nameArg `embed:""`
	}
	connectorsResume struct {
		nameArg `embed:""`
	}
	connectorsStop struct {
		nameArg `embed:""`
	}
)

func (connectorsPause) Help() string {
	return "HBase keeps its WALs for a source meanwhile; waltap connectors status says for how long.\n\nExample:\n  waltap connectors pause orders-source"
}

func (connectorsResume) Help() string {
	return "Example:\n  waltap connectors resume orders-source"
}

func (connectorsStop) Help() string {
	return "HBase keeps its WALs for a source meanwhile; waltap connectors status says for how long.\n\nExample:\n  waltap connectors stop orders-copy"
}

func (cmd *connectorsPause) Run(e *env, root *commands) error {
	return root.Connectors.target(e, cmd.Name, "pause", "is being paused")
}

func (cmd *connectorsResume) Run(e *env, root *commands) error {
	return root.Connectors.target(e, cmd.Name, "resume", "is being resumed")
}

func (cmd *connectorsStop) Run(e *env, root *commands) error {
	return root.Connectors.target(e, cmd.Name, "stop", "is being stopped")
}

func (f *restFlags) target(e *env, name, verb, done string) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	if _, err := c.do(e.ctx, "PUT", connectorPath(name, verb), nil, nil); err != nil {
		return err
	}
	return e.say("connector %s %s; waltap connectors status %s shows how it is", name, done, name)
}

type connectorsRestart struct {
	nameArg `embed:""`

	IncludeTasks bool `help:"Its tasks too."`
	OnlyFailed   bool `help:"Only what has failed."`
	Task         *int `help:"Only this task." placeholder:"N"`
}

func (connectorsRestart) Help() string {
	return "Example:\n  waltap connectors restart orders-source --include-tasks --only-failed"
}

func (cmd *connectorsRestart) Run(e *env, root *commands) error {
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	path, what := connectorPath(cmd.Name, "restart")+fmt.Sprintf("?includeTasks=%t&onlyFailed=%t", cmd.IncludeTasks, cmd.OnlyFailed), "connector "+cmd.Name
	if cmd.Task != nil {
		if cmd.IncludeTasks || cmd.OnlyFailed {
			return usageError{errors.New("--task restarts one task whatever its state: leave out --include-tasks and --only-failed")}
		}
		path, what = connectorPath(cmd.Name, "tasks", fmt.Sprint(*cmd.Task), "restart"), fmt.Sprintf("task %d of connector %s", *cmd.Task, cmd.Name)
	}
	if _, err := c.do(e.ctx, "POST", path, nil, nil); err != nil {
		return err
	}
	return e.say("%s is being restarted", what)
}

type connectorsDelete struct {
	nameArg `embed:""`

	Yes bool `short:"y" help:"Do not ask."`
}

func (connectorsDelete) Help() string {
	return "A source that is created again needs a new full scan; stop keeps its place.\n\nExample:\n  waltap connectors delete orders-copy -y"
}

func (cmd *connectorsDelete) Run(e *env, root *commands) error {
	c, err := root.Connectors.client()
	if err != nil {
		return err
	}
	if !cmd.Yes {
		if err := e.say("Connector %s is to be deleted. Of a source the peer is removed with it: changes that are not captured yet are lost to it, and a new one begins with a full scan. Type yes to go on:", cmd.Name); err != nil {
			return err
		}
		line, err := bufio.NewReader(e.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		if strings.TrimSpace(line) != "yes" {
			return errors.New("nothing was deleted: the answer was not yes (-y does not ask)")
		}
	}
	if _, err := c.do(e.ctx, "DELETE", connectorPath(cmd.Name), nil, nil); err != nil {
		return err
	}
	return e.say("connector %s deleted", cmd.Name)
}
