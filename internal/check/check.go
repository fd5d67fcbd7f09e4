// Package check is how a package tells what it has found out about its surroundings before anything runs. Packages return
// Results; waltap doctor collects them and shows them.
package check

import (
	"errors"
	"fmt"
	"strings"
)

// Severity of a Result.
type Severity string

// The severities, from the best to the worst.
const (
	OK      Severity = "ok"
	Unknown Severity = "unknown" // it could not be looked at, or cannot be seen from here
	Warning Severity = "warning" // it runs, and loses or delays something that somebody may count on
	Failure Severity = "failure" // it does not run, or loses data
)

// rank orders severities.
func (s Severity) rank() int {
	switch s {
	case OK:
		return 0
	case Unknown:
		return 1
	case Warning:
		return 2
	}
	return 3
}

// Check is one thing that is looked at. Its texts are for docs/doctor.md.
type Check struct {
	Name   string // stable, "source.scope"
	Title  string // what is right when it is ok
	Means  string // what it looks at, and how
	Limits string // what it does not prove; "": nothing beyond that
	Remedy string // what to do in general, and where an error does not say it itself
}

// Result is what a Check has found out about one subject.
type Result struct {
	Check    string   `json:"check"`
	Subject  string   `json:"subject,omitempty"` // "table default:orders"
	Severity Severity `json:"severity"`
	Found    string   `json:"found"`
	Remedy   string   `json:"remedy,omitempty"` // of a Warning or a Failure
}

// Right returns a Result of severity OK.
func (c *Check) Right(subject, found string, a ...any) Result {
	return Result{Check: c.Name, Subject: subject, Severity: OK, Found: text(found, a)}
}

// Unknown returns a Result of severity Unknown.
func (c *Check) Unknown(subject, found string, a ...any) Result {
	return Result{Check: c.Name, Subject: subject, Severity: Unknown, Found: text(found, a)}
}

// Warn returns a Result of severity Warning; with remedy "" the Check's own.
func (c *Check) Warn(subject, found, remedy string) Result {
	return c.wrong(Warning, subject, found, remedy)
}

// Fail returns a Result of severity Failure; with remedy "" the Check's own.
func (c *Check) Fail(subject, found, remedy string) Result {
	return c.wrong(Failure, subject, found, remedy)
}

// Error returns a Failure of an error's text. Errors that an operator meets say what is wrong, "; ", and what to do.
func (c *Check) Error(subject string, err error) Result {
	found, remedy := Split(err)
	return c.wrong(Failure, subject, found, remedy)
}

func (c *Check) wrong(s Severity, subject, found, remedy string) Result {
	if remedy == "" {
		remedy = c.Remedy
	}
	return Result{Check: c.Name, Subject: subject, Severity: s, Found: found, Remedy: remedy}
}

func text(format string, a []any) string {
	if len(a) == 0 {
		return format
	}
	return fmt.Sprintf(format, a...)
}

// Remedied is an error that knows its remedy apart from its text.
type Remedied interface {
	error
	Found() string
	Remedy() string
}

// Split parts an error's text into what is wrong and what to do; remedy is "" when the error does not say.
func Split(err error) (found, remedy string) {
	if r, ok := errors.AsType[Remedied](err); ok {
		return r.Found(), r.Remedy()
	}
	found, remedy, _ = strings.Cut(err.Error(), "; ")
	return found, remedy
}

// Worst is the worst severity of results, OK when there are none.
func Worst(results []Result) Severity {
	worst := OK
	for _, r := range results {
		if r.Severity.rank() > worst.rank() {
			worst = r.Severity
		}
	}
	return worst
}

// Skipped are results for checks that need something that is not there.
func Skipped(why string, checks ...*Check) []Result {
	var results []Result
	for _, c := range checks {
		results = append(results, c.Unknown("", "not looked at: %s", why))
	}
	return results
}
