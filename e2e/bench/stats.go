package main

import (
	"fmt"
	"math"
	"slices"
)

// Spread is what several rounds have given.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spread of values; zero when there are none.
func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// median is the middle value, of an even number the mean of the two in the middle.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// percentile is the smallest value that p of all values (0 to 1) do not exceed.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	i := int(math.Ceil(p*float64(len(v)))) - 1
	return v[min(max(i, 0), len(v)-1)]
}

// ratios divides round by round: both sides of a round ran one after the other, so what slows the machine for a while
// slows both.
func ratios(ours, theirs []float64) []float64 {
	n := min(len(ours), len(theirs))
	out := make([]float64, 0, n)
	for i := range n {
		if theirs[i] != 0 {
			out = append(out, ours[i]/theirs[i])
		}
	}
	return out
}

// Rule says which figure of a line is judged.
type Rule string

// The rules.
const (
	RatioAtLeast Rule = "ratio at least"       // median of the rounds' ours/theirs
	AtMost       Rule = "at most"              // median of ours
	AtLeast      Rule = "at least"             // median of ours
	MaxAtMost    Rule = "maximum at most"      // largest of ours
	AboveAtMost  Rule = "above theirs at most" // median of ours less that of theirs
	FlatWithin   Rule = "flat within"          // median of ours/theirs, and how far it is from 1
	GrowsAtMost  Rule = "grows at most"        // median of ours/theirs, less 1
	Reported     Rule = "reported"             // nothing is judged
)

// Criterion is the gate and the aim of a line.
type Criterion struct {
	Rule Rule     `json:"rule"`
	Gate float64  `json:"gate"`
	Aim  *float64 `json:"aim,omitempty"`
}

func (c Criterion) text(limit float64, unit string) string {
	switch c.Rule {
	case RatioAtLeast:
		return fmt.Sprintf("≥ %s x", number(limit))
	case AboveAtMost:
		return fmt.Sprintf("≤ theirs + %s %s", number(limit), unit)
	case AtLeast:
		return fmt.Sprintf("≥ %s %s", number(limit), unit)
	case FlatWithin:
		return fmt.Sprintf("within %.0f %%", limit*100)
	case GrowsAtMost:
		return fmt.Sprintf("≤ %.2f x", 1+limit)
	case Reported:
		return ""
	}
	return fmt.Sprintf("≤ %s %s", number(limit), unit)
}

// value is the judged figure, with its spread over the rounds.
func (c Criterion) value(ours, theirs []float64) Spread {
	switch c.Rule {
	case RatioAtLeast, FlatWithin, GrowsAtMost:
		return spread(ratios(ours, theirs))
	case AboveAtMost:
		n := min(len(ours), len(theirs))
		d := make([]float64, n)
		for i := range n {
			d[i] = ours[i] - theirs[i]
		}
		return spread(d)
	case Reported:
		if len(theirs) > 0 {
			return spread(ratios(ours, theirs))
		}
	}
	return spread(ours)
}

// reached tells whether a limit (gate or aim) is reached.
func (c Criterion) reached(limit float64, v Spread) bool {
	switch c.Rule {
	case RatioAtLeast, AtLeast:
		return v.Median >= limit
	case AtMost, AboveAtMost:
		return v.Median <= limit
	case MaxAtMost:
		return v.Max <= limit
	case FlatWithin:
		return math.Abs(v.Median-1) <= limit
	case GrowsAtMost:
		return v.Median <= 1+limit
	}
	return true
}

// aaLimit is how far the two halves of the A/A run may differ before ratios are not to be trusted.
const aaLimit = 0.10

// differs tells how far the median ratio of an A/A run is from 1.
func differs(ours, theirs []float64) float64 {
	return math.Abs(median(ratios(ours, theirs)) - 1)
}
