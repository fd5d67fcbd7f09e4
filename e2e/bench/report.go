package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is the result of a run, as JSON has it.
type Report struct {
	Command  string    `json:"command"`
	Started  time.Time `json:"started"`
	Took     float64   `json:"tookSeconds"`
	Machine  Machine   `json:"machine"`
	Versions Versions  `json:"versions"`
	Scale    float64   `json:"scale"`
	Rounds   int       `json:"rounds"`
	AA       *AA       `json:"aa,omitempty"`
	Lines    []Line    `json:"lines"`
	Failed   []string  `json:"failed,omitempty"` // lines that ended with an error, and have no figures, or not all
}

// AA says whether ratios can be trusted.
type AA struct {
	Difference float64 `json:"difference"` // of the median ratio of a side with itself from 1
	TooLarge   bool    `json:"tooLarge"`   // above aaLimit
	Control    float64 `json:"control"`    // ratio that a side held to half the rate got
}

// Line is a measured line.
type Line struct {
	ID        string    `json:"id"`
	Shape     string    `json:"shape,omitempty"`
	Work      string    `json:"work"`
	Against   string    `json:"against,omitempty"`
	Unit      string    `json:"unit"`
	Criterion Criterion `json:"criterion"`
	Ours      []float64 `json:"ours"` // by round
	Theirs    []float64 `json:"theirs,omitempty"`
	Note      string    `json:"note,omitempty"`

	// What follows from them.
	OurSpread   Spread  `json:"ourSpread"`
	TheirSpread *Spread `json:"theirSpread,omitempty"`
	Value       Spread  `json:"value"` // what the criterion judges
	Gate        string  `json:"gateResult,omitempty"`
	Aim         string  `json:"aimResult,omitempty"`
	// Doubtful: the A/A run of the same bench differed by more than aaLimit.
	Doubtful bool `json:"doubtful"`
	// RatioFromEnable is the ratio by the time from the enabling of the peers, where that is not what is judged.
	RatioFromEnable *Spread `json:"ratioFromEnable,omitempty"`
	// Others is the median of what else took of the machine in the rounds, 0 to 1.
	Others     float64 `json:"othersShare"`
	Disturbed  int     `json:"roundsLeftOut"` // in which others took more than othersLimit
	LoadBefore string  `json:"loadBefore"`
	LoadAfter  string  `json:"loadAfter"`

	OurRounds   []*Drain `json:"ourRounds,omitempty"`
	TheirRounds []*Drain `json:"theirRounds,omitempty"`
}

const (
	reached    = "reached"
	notReached = "not reached"
)

// add finishes a line and takes it.
func (r *Report) add(l Line) {
	l.OurSpread = spread(l.Ours)
	if len(l.Theirs) > 0 {
		s := spread(l.Theirs)
		l.TheirSpread = &s
		l.Doubtful = r.AA != nil && r.AA.TooLarge
	}
	l.Value = l.Criterion.value(l.Ours, l.Theirs)
	if all := slices.Concat(l.OurRounds, l.TheirRounds); len(all) > 0 {
		l.Others = median(each(all, func(d *Drain) float64 { return d.Others }))
	}
	result := func(limit float64) string {
		if l.Criterion.reached(limit, l.Value) {
			return reached
		}
		return notReached
	}
	if l.Criterion.Rule != Reported {
		l.Gate = result(l.Criterion.Gate)
	}
	if l.Criterion.Aim != nil {
		l.Aim = result(*l.Criterion.Aim)
	}
	r.Lines = append(r.Lines, l)
}

// passed tells whether every gate is reached and the ratios can be trusted.
func (r *Report) passed() bool {
	for i := range r.Lines {
		if r.Lines[i].Gate == notReached {
			return false
		}
	}
	return len(r.Failed) == 0 && (r.AA == nil || !r.AA.TooLarge)
}

// number writes four significant digits without an exponent.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 10_000:
		return strconv.FormatFloat(v/1000, 'f', 0, 64) + " k"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0"), ".")
}

func (s Spread) text() string {
	if s.Min == s.Max {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s … %s)", number(s.Median), number(s.Min), number(s.Max))
}

func (l *Line) title() string {
	if l.Shape == "" {
		return l.Work
	}
	return l.Work + ", " + l.Shape
}

// othersLimit is how much of the machine others may take in a round that counts, where enough rounds do; else it is said
// beside the line.
const othersLimit = 0.10

// judgement is the judged figure, with a warning when it is doubtful.
func (l *Line) judgement() string {
	s := ""
	switch l.Criterion.Rule {
	case RatioAtLeast, FlatWithin, GrowsAtMost:
		s = l.Value.text() + " x"
	case AboveAtMost:
		s = fmt.Sprintf("%+.4g %s", l.Value.Median, l.Unit)
	case Reported:
		if len(l.Theirs) > 0 {
			s = l.Value.text() + " x"
		}
	}
	if l.Doubtful {
		s += " (A/A differs by more than 10 %)"
	}
	if l.Disturbed > 0 {
		s += fmt.Sprintf(" (rounds left out: %d)", l.Disturbed)
	}
	if l.Others > othersLimit {
		s += fmt.Sprintf(" (others took %.0f %% of the machine)", l.Others*100)
	}
	return strings.TrimSpace(s)
}

func (l *Line) short() string {
	s := l.title() + ": " + l.OurSpread.text() + " " + l.Unit
	if l.TheirSpread != nil {
		s += "; " + l.Against + ": " + l.TheirSpread.text() + "; " + l.judgement()
	}
	if l.Gate != "" {
		s += "; gate " + l.Criterion.text(l.Criterion.Gate, l.Unit) + ": " + l.Gate
	}
	if l.Aim != "" {
		s += "; aim " + l.Criterion.text(*l.Criterion.Aim, l.Unit) + ": " + l.Aim
	}
	return s
}

var columns = []string{"work", "waltap", "against", "theirs", "judged", "gate", "aim"}

func (l *Line) cells() []string {
	theirs := ""
	if l.TheirSpread != nil {
		theirs = l.TheirSpread.text()
	}
	limit := func(v *float64, result string) string {
		if result == "" {
			return ""
		}
		return l.Criterion.text(*v, l.Unit) + ": " + result
	}
	return []string{
		l.title(), l.OurSpread.text() + " " + l.Unit, l.Against, theirs, l.judgement(),
		limit(&l.Criterion.Gate, l.Gate), limit(l.Criterion.Aim, l.Aim),
	}
}

// head says where and with what the bench runs.
func (r *Report) head() string {
	m, v := r.Machine, r.Versions
	return fmt.Sprintf("%s · %s · %d rounds, scale %s\n%s, %d cores, %d MiB, Linux %s, load at the begin %s\nHBase %s, Kafka %s, Java %s, %s, waltap %s\n\n",
		r.Command, r.Started.Format("2006-01-02 15:04 MST"), r.Rounds, number(r.Scale), m.CPU, m.Cores, m.MemoryMB, m.Kernel, m.Load, v.HBase, v.Kafka, v.Java, v.Go, v.Commit)
}

// verdict is what is to be known before any ratio is read.
func (r *Report) verdict() string {
	failed := ""
	for _, l := range r.Failed {
		failed += fmt.Sprintf("FAILED, and not in the table: %s.\n", l)
	}
	if r.AA == nil {
		return failed + "No A/A run: nothing tells how far ratios can be trusted.\n"
	}
	s := failed + fmt.Sprintf("A/A: the same side twice differs by %.1f %%. Control: a side held to half the rate is reported at %.2f.\n", r.AA.Difference*100, r.AA.Control)
	if r.AA.TooLarge {
		s += fmt.Sprintf("THIS IS MORE THAN %.0f %%: THE RATIOS BELOW ARE NOT TO BE TRUSTED.\n", aaLimit*100)
	}
	return s
}

// table is the result for a terminal.
func (r *Report) table() string {
	rows := [][]string{columns}
	for i := range r.Lines {
		rows = append(rows, r.Lines[i].cells())
	}
	width := make([]int, len(columns))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, c := range row {
			line += c + strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// markdown is the generated section of docs/performance.md.
func (r *Report) markdown() string {
	var b strings.Builder
	m, v := r.Machine, r.Versions
	fmt.Fprintf(&b, "```sh\n%s\n```\n\n", r.Command)
	fmt.Fprintf(&b, "Run on %s, %.0f minutes, %d rounds (half of them where they are long), scale %s; %s, %d cores, %d MiB, load average at the begin %s, everything on this machine.\n",
		r.Started.Format("2006-01-02 15:04 MST"), r.Took/60, r.Rounds, number(r.Scale), m.CPU, m.Cores, m.MemoryMB, m.Load)
	fmt.Fprintf(&b, "HBase %s, Kafka %s, Java %s, %s, waltap %s. Figures are medians (minimum … maximum); ratios are those of rounds.\n\n", v.HBase, v.Kafka, v.Java, v.Go, v.Commit)
	b.WriteString(r.verdict() + "\n")
	b.WriteString("| " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", len(columns)) + "\n")
	for i := range r.Lines {
		b.WriteString("| " + strings.Join(r.Lines[i].cells(), " | ") + " |\n")
	}
	b.WriteString("\n" + r.whereMarkdown())
	for i := range r.Lines {
		if l := &r.Lines[i]; l.Note != "" {
			fmt.Fprintf(&b, "\n%s: %s\n", l.title(), l.Note)
		}
	}
	return b.String()
}

// Markers of the generated section.
const (
	beginMark = "<!-- begin: written by make bench -->"
	endMark   = "<!-- end: written by make bench -->"
)

// replaceSection puts text between the marks of a page.
func replaceSection(page []byte, text string) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the page has no section between %q and %q", beginMark, endMark)
	}
	return bytes.Join([][]byte{before, []byte(beginMark + "\n\n" + text + "\n" + endMark), after}, nil), nil
}

// checkPage tells whether a page can be written to: before a run of half an hour, not behind it.
func checkPage(name string) error {
	page, err := os.ReadFile(name)
	if err == nil {
		_, err = replaceSection(page, "")
	}
	if err != nil {
		return fmt.Errorf("-markdown: %w", err)
	}
	return nil
}

// write prints the table and writes the files that are asked for.
func (r *Report) write(jsonFile, page string) error {
	fmt.Print(r.verdict() + "\n" + r.table())
	if jsonFile != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(jsonFile, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	b, err := replaceSection(old, r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, b, 0o644)
}

// fileName is a name without what files do not like.
func fileName(s string) string { return strings.NewReplacer(" ", "", "/", "-").Replace(s) }
