package main

import (
	"math"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestOthersIsWhatNeitherTheBenchNorIdlenessHad(t *testing.T) {
	before := usage{all: 100, busy: 50, own: 10}
	for _, tc := range []struct {
		name  string
		after usage
		want  float64
	}{
		{"all of it ours", usage{all: 120, busy: 60, own: 20}, 0},
		{"a quarter is not", usage{all: 120, busy: 65, own: 20}, 0.25},
		{"ticks are rounded", usage{all: 120, busy: 60, own: 20.01}, 0},
		{"no time has passed", before, 0},
	} {
		if got := tc.after.others(before); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestCPUTimeOfTheMachine(t *testing.T) {
	all, busy, err := parseMachine("cpu  100 200 300 400 500 600 700 800 99 99")
	if err != nil || all != 36 || busy != 27 {
		t.Errorf("%v of %v, %v", busy, all, err)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 3 x 5 6 7 8"} {
		if _, _, err := parseMachine(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestOwnCPUHoldsChildren has a child use CPU time: it is counted while the child runs and when it has ended.
func TestOwnCPUHoldsChildren(t *testing.T) {
	if _, err := parseParent("12 (a) S"); err == nil {
		t.Error("a short line is taken")
	}
	before, err := ownCPU()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	used := func() float64 {
		s, err := cpuSeconds(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for used() < 0.1 {
		time.Sleep(10 * time.Millisecond)
	}
	running, err := ownCPU()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child has ended by itself")
	}
	ended, err := ownCPU()
	if err != nil {
		t.Fatal(err)
	}
	if running-before < 0.09 || ended < running-0.02 {
		t.Errorf("own CPU time %v, with a child that used 0.1 s %v, when it had ended %v", before, running, ended)
	}
}

func TestForecast(t *testing.T) {
	l := []lineSpec{{seconds: 100}, {seconds: 200}}
	f := newForecast(l, options{scale: 0.5, rounds: 4})
	if got := f.left(f.start); got != 170*time.Second {
		t.Errorf("at the begin %v", got)
	}
	f.done(&l[0])
	if got := f.left(f.start.Add(30 * time.Second)); got != 55*time.Second { // twice as fast as estimated
		t.Errorf("after the first line %v", got)
	}
}

func TestDisturbedRoundsAreLeftOut(t *testing.T) {
	rounds := func(others ...float64) (d []*Drain) {
		for _, o := range others {
			d = append(d, &Drain{Others: o})
		}
		return d
	}
	for _, tc := range []struct {
		name         string
		ours, theirs []*Drain
		left, out    int
	}{
		{"none", rounds(0, 0.1), rounds(0.05, 0), 2, 0},
		{"by either side", rounds(0.2, 0, 0, 0), rounds(0, 0, 0.2, 0), 2, 2},
		{"more than half: all count", rounds(0.2, 0.2, 0), rounds(0, 0, 0), 3, 0},
	} {
		b := &bench{}
		o, th := b.undisturbed(tc.ours, tc.theirs)
		if len(o) != tc.left || len(th) != tc.left || b.disturbed != tc.out {
			t.Errorf("%s: %d and %d are left, %d left out", tc.name, len(o), len(th), b.disturbed)
		}
	}
}
