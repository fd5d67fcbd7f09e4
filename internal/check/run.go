package check

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// grace is how long a Task may take to return after its time is over.
const grace = time.Second

// Task makes the results of some checks, within a time of its own.
type Task struct {
	Checks  []*Check // of which Run returns results
	Subject string
	Run     func(ctx context.Context) []Result
}

// Run runs the tasks side by side, each for at most timeout, and returns their results in the order of the tasks. For a task
// that does not return in time each of its checks is a Failure: one part that hangs keeps nobody from hearing about the others.
func Run(ctx context.Context, timeout time.Duration, tasks ...Task) []Result {
	results := make([][]Result, len(tasks))
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() { results[i] = tasks[i].run(ctx, timeout) })
	}
	all.Wait()
	return slices.Concat(results...)
}

func (t *Task) run(ctx context.Context, timeout time.Duration) []Result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan []Result, 1) // has room: a task that comes late is not waited for
	go func() { done <- t.Run(ctx) }()
	late := time.NewTimer(timeout + grace)
	defer late.Stop()
	select {
	case results := <-done:
		return results
	case <-late.C:
	}
	var results []Result
	for _, c := range t.Checks {
		results = append(results, c.Fail(t.Subject, fmt.Sprintf("no result within %s", timeout), ""))
	}
	return results
}
