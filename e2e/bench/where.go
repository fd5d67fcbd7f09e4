package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// where says which process used the CPU in the rounds of a side: what limits the line.
func where(rounds []*Drain) (text string, cores float64) {
	processes := map[string]bool{}
	for _, d := range rounds {
		for name := range d.CPU {
			processes[name] = true
		}
	}
	type part struct {
		name    string
		seconds float64
	}
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		// Less is what an idle server uses.
		if p := (part{name, median(each(rounds, func(d *Drain) float64 { return d.perMillion(name) }))}); p.seconds >= 0.05 {
			parts = append(parts, p)
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return int(1000 * (b.seconds - a.seconds)) })
	var texts []string
	for _, p := range parts {
		texts = append(texts, fmt.Sprintf("%s %.2f", p.name, p.seconds))
	}
	return strings.Join(texts, ", "), median(each(rounds, (*Drain).cores))
}

// cores is how many cores were busy with the processes of the round.
func (d *Drain) cores() float64 {
	if d.CPUOver == 0 {
		return 0
	}
	sum := 0.0
	for _, s := range d.CPU {
		sum += s
	}
	return sum / d.CPUOver
}

// whereMarkdown is the table of where the CPU time goes. Lines that come of the rounds of another are left out.
func (r *Report) whereMarkdown() string {
	var b strings.Builder
	b.WriteString("Where the CPU time goes: seconds per million cells, and how many cores were busy (medians of the rounds).\n\n")
	b.WriteString("| work | waltap's side | cores | against | their side | cores |\n|---|---|---|---|---|---|\n")
	for i := range r.Lines {
		l := &r.Lines[i]
		if len(l.OurRounds) == 0 || len(l.OurRounds[0].CPU) == 0 {
			continue
		}
		ours, cores := where(l.OurRounds)
		fmt.Fprintf(&b, "| %s | %s | %.2f | %s |", l.title(), ours, cores, l.Against)
		if len(l.TheirRounds) > 0 {
			theirs, cores := where(l.TheirRounds)
			fmt.Fprintf(&b, " %s | %.2f |\n", theirs, cores)
		} else {
			b.WriteString(" | |\n")
		}
	}
	return b.String()
}
