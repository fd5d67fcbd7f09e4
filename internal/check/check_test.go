package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	one = &Check{Name: "a.one", Remedy: "mend one"}
	two = &Check{Name: "a.two", Remedy: "mend two"}
)

type remedied struct{ error }

func (remedied) Found() string  { return "what is wrong" }
func (remedied) Remedy() string { return "what to do" }

func TestErrorIsPartedIntoFoundAndRemedy(t *testing.T) {
	for _, tc := range []struct {
		err           error
		found, remedy string
	}{
		{errors.New("no peer; add it; or wait"), "no peer", "add it; or wait"},
		{errors.New("no peer"), "no peer", "mend one"},
		{fmt.Errorf("look: %w", remedied{errors.New("x; y")}), "what is wrong", "what to do"},
	} {
		if r := one.Error("s", tc.err); r != (Result{"a.one", "s", Failure, tc.found, tc.remedy}) {
			t.Errorf("%v: %+v", tc.err, r)
		}
	}
}

func TestWorst(t *testing.T) {
	results := []Result{}
	for _, step := range []struct {
		add  Result
		want Severity
	}{
		{one.Right("", "%d", 1), OK}, {one.Unknown("", "100 %"), Unknown}, {one.Warn("", "x", "y"), Warning},
		{one.Right("", ""), Warning}, {one.Fail("", "x", ""), Failure}, {one.Warn("", "x", ""), Failure},
	} {
		if results = append(results, step.add); Worst(results) != step.want {
			t.Errorf("worst of %+v is %s, want %s", results, Worst(results), step.want)
		}
	}
	if results[1].Found != "100 %" || results[5].Remedy != "mend one" {
		t.Errorf("%+v", results)
	}
}

// TestOneThatHangsKeepsNobodyWaiting: it ignores its context; the others are heard.
func TestOneThatHangsKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		results := Run(t.Context(), 5*time.Second,
			Task{[]*Check{one, two}, "server", func(context.Context) []Result { <-release; return nil }},
			Task{[]*Check{one}, "", func(ctx context.Context) []Result { <-ctx.Done(); return []Result{one.Error("slow", ctx.Err())} }},
			Task{[]*Check{two}, "", func(context.Context) []Result { return []Result{two.Right("quick", "")} }})
		var got []string
		for _, r := range results {
			got = append(got, strings.Join([]string{r.Check, r.Subject, string(r.Severity), r.Found}, "|"))
		}
		want := []string{"a.one|server|failure|no result within 5s", "a.two|server|failure|no result within 5s",
			"a.one|slow|failure|context deadline exceeded", "a.two|quick|ok|"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestTallyTellsOfTheRightOnesOnce(t *testing.T) {
	tally := Tally{Check: one}
	for _, s := range []string{"a", "b", "b", "c", "d", "e"} {
		tally.Right(s, "text of "+s)
	}
	tally.Add(one.Fail("f", "x", ""))
	want := []Result{{"a.one", "a, b, c, d, …", OK, "text of a", ""}, {"a.one", "f", Failure, "x", "mend one"}}
	if got := tally.Results(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
