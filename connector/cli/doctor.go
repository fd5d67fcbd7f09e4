package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/doctor"
	"github.com/waltap/waltap/internal/check"
)

// Exit codes of doctor, beside those of all commands.
const (
	exitWarnings = 3
	exitFailures = 4
)

type doctorCommand struct {
	File     string        `short:"f" required:"" placeholder:"FILE" help:"The configuration."`
	Worker   bool          `help:"The configuration is that of waltap worker, which has no connectors."`
	JSON     bool          `name:"json" help:"Write the results as JSON."`
	Quiet    bool          `short:"q" help:"Show warnings and failures only."`
	Timeout  time.Duration `default:"15s" placeholder:"DURATION" help:"How long each check may take; default ${default}."`
	Expect   time.Duration `default:"24h" placeholder:"DURATION" help:"How long records have to stay on their topics: as long as a sink may be stopped, and a migration takes; default ${default}."`
	NameNode string        `name:"namenode" placeholder:"URL" help:"Web interface of the NameNode of the source's HDFS, http://host:9870, to be asked for the room that is left for WALs."`
}

func (cmd *doctorCommand) Run(e *env) error {
	parse := config.ParseFile
	if cmd.Worker {
		parse = config.ParseWorkerFile
	}
	cfg, err := parse(cmd.File)
	if err != nil {
		return usageError{fmt.Errorf("read the configuration:\n%w", err)}
	}
	if cmd.Timeout < time.Second {
		return usageError{fmt.Errorf("--timeout %s is too short for any answer: give 1s or more", cmd.Timeout)}
	}
	report := doctor.Run(e.ctx, cfg, doctor.Options{Timeout: cmd.Timeout, Retention: cmd.Expect, NameNode: cmd.NameNode, Worker: cmd.Worker})
	if err := e.ctx.Err(); err != nil {
		return fmt.Errorf("doctor was stopped before its end: %w", err)
	}
	if cmd.JSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = writeReport(e.stdout, report, cmd.Quiet)
	}
	if err != nil {
		return err
	}
	switch report.Severity {
	case check.Failure:
		return exitError{code: exitFailures}
	case check.Warning:
		return exitError{code: exitWarnings}
	}
	return nil
}

// writeReport writes a table; the remedy of a result is on the line below it.
func writeReport(w io.Writer, r *doctor.Report, quiet bool) error {
	var b strings.Builder
	names, subjects := 0, 0
	for _, s := range r.Sections {
		for _, x := range s.Results {
			if !quiet || x.Remedy != "" {
				names, subjects = max(names, len(x.Check)), max(subjects, utf8.RuneCountInString(x.Subject))
			}
		}
	}
	const widest = 44 // a longer subject pushes its own line only
	subjects = min(subjects, widest)
	for _, s := range r.Sections {
		head := "Kafka\n"
		if s.Connector != "" {
			head = fmt.Sprintf("%s (%s)\n", s.Connector, s.Class)
		}
		for _, x := range s.Results {
			if quiet && x.Remedy == "" {
				continue
			}
			b.WriteString(head)
			head = ""
			fmt.Fprintf(&b, "  %-7s  %-*s  %-*s  %s\n", severityText(x.Severity), names, x.Check, subjects, orDash(x.Subject), indentLines(x.Found))
			if x.Remedy != "" {
				fmt.Fprintf(&b, "  %-7s  remedy: %s\n", "", indentLines(x.Remedy))
			}
		}
	}
	fmt.Fprintln(&b, r.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// severityText makes what is wrong stand out without colours.
func severityText(s check.Severity) string {
	if s == check.Warning || s == check.Failure {
		return strings.ToUpper(string(s))
	}
	return string(s)
}

// indentLines keeps the lines of a text below each other.
func indentLines(s string) string { return strings.ReplaceAll(s, "\n", "\n             ") }
