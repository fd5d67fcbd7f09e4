package main

import (
	"fmt"
	"time"
)

// forecast tells how long a run still takes: as the lines' own estimates say, corrected by what those that are done took.
type forecast struct {
	factor  float64 // of the estimates, for scale and rounds
	start   time.Time
	ended   float64 // estimate of what is done, s
	pending float64
}

// perLine is what a line takes of any size: tables are made, processes started.
const perLine = 10

func newForecast(chosen []lineSpec, o options) *forecast {
	f := &forecast{factor: o.scale * float64(o.rounds+warmUp) / (4 + warmUp), start: time.Now()}
	for i := range chosen {
		f.pending += f.of(&chosen[i])
	}
	return f
}

func (f *forecast) of(l *lineSpec) float64 { return perLine + f.factor*l.seconds }

func (f *forecast) done(l *lineSpec) {
	f.ended += f.of(l)
	f.pending -= f.of(l)
}

// left is the time that is left, at the speed of what is done.
func (f *forecast) left(now time.Time) time.Duration {
	s := f.pending
	if f.ended > 0 {
		s *= now.Sub(f.start).Seconds() / f.ended
	}
	return time.Duration(s * float64(time.Second))
}

func (f *forecast) text() string {
	return fmt.Sprintf("about %.0f min left", f.left(time.Now()).Minutes())
}
