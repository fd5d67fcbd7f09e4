package worker

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/waltap/waltap/internal/kafka"
)

// claim is what the group's leader learns of a worker.
type claim struct {
	Worker string           `json:"worker"` // host:port
	Owns   map[string][]int `json:"owns"`   // tasks by connector, in its last generation
	// Generation is that one, Since when the worker took part first: who has a task now keeps it.
	Generation int32 `json:"generation"`
}

// assignment is who runs what; all workers get all of it.
type assignment struct {
	Generation int32             `json:"generation"`
	Leader     string            `json:"leader"`
	Members    map[string]string `json:"members"` // worker by member id
	// Tasks are the workers of each connector's tasks; the first, or Owners where there are no tasks, looks after the connector.
	Tasks  map[string][]string `json:"tasks"`
	Owners map[string]string   `json:"owners"`
}

// workers lists those that are there.
func (a *assignment) workers() []string {
	return slices.Compact(slices.Sorted(maps.Values(a.Members)))
}

// owned are the tasks of a worker.
func (a *assignment) owned(worker string) map[string][]int {
	out := make(map[string][]int)
	for name, tasks := range a.Tasks {
		for i, w := range tasks {
			if w == worker {
				out[name] = append(out[name], i)
			}
		}
	}
	return out
}

// fits tells whether the work is that of the assignment.
func (a *assignment) fits(tasks map[string]int) bool {
	if len(a.Owners) != len(tasks) {
		return false
	}
	for name, n := range tasks {
		if _, ok := a.Owners[name]; !ok || len(a.Tasks[name]) != n {
			return false
		}
	}
	return true
}

// deal gives every task to a worker. Who has a task keeps it, as long as no worker would have more than its share; first tasks,
// which receive the changes of a source, are shared out by themselves. The result depends on nothing but the arguments.
func deal(generation int32, leader string, members []kafka.BalanceMember, tasks map[string]int) *assignment {
	a := &assignment{Generation: generation, Leader: leader, Members: make(map[string]string), Tasks: make(map[string][]string), Owners: make(map[string]string)}
	claims := make([]claim, 0, len(members))
	for _, m := range members {
		var c claim
		if json.Unmarshal(m.Metadata, &c) != nil || c.Worker == "" {
			continue // another version: it gets nothing
		}
		a.Members[m.ID] = c.Worker
		claims = append(claims, c)
	}
	workers := a.workers()
	if len(workers) == 0 {
		return a
	}
	// The latest generation's claims come first: an older one is of a worker that was away.
	slices.SortFunc(claims, func(x, y claim) int {
		return cmp.Or(cmp.Compare(y.Generation, x.Generation), cmp.Compare(x.Worker, y.Worker))
	})
	names := slices.Sorted(maps.Keys(tasks))
	total := 0
	for _, n := range tasks {
		total += n
	}
	d := dealer{a: a, workers: workers, load: make(map[string]int), first: make(map[string]int),
		most: ceil(total, len(workers)), mostFirst: ceil(len(names), len(workers))}
	for _, name := range names {
		a.Tasks[name] = make([]string, tasks[name])
	}
	for _, c := range claims {
		for _, name := range names {
			for _, i := range c.Owns[name] {
				if i >= 0 && i < tasks[name] {
					d.keep(name, i, c.Worker)
				}
			}
		}
	}
	for _, name := range names {
		if tasks[name] > 0 && a.Tasks[name][0] == "" {
			d.give(name, 0, d.least(d.first))
		}
	}
	for _, name := range names {
		for i, w := range a.Tasks[name] {
			if w == "" {
				d.give(name, i, d.least(d.load))
			}
		}
		a.Owners[name] = workers[0]
		if tasks[name] > 0 {
			a.Owners[name] = a.Tasks[name][0]
		}
	}
	return a
}

// dealer counts what it has given.
type dealer struct {
	a               *assignment
	workers         []string
	load, first     map[string]int
	most, mostFirst int
}

func (d *dealer) keep(name string, task int, worker string) {
	if d.a.Tasks[name][task] != "" || d.load[worker] >= d.most || task == 0 && d.first[worker] >= d.mostFirst {
		return
	}
	d.give(name, task, worker)
}

func (d *dealer) give(name string, task int, worker string) {
	d.a.Tasks[name][task] = worker
	d.load[worker]++
	if task == 0 {
		d.first[worker]++
	}
}

// least is the worker with the least, then with the least of all.
func (d *dealer) least(of map[string]int) string {
	return slices.MinFunc(d.workers, func(x, y string) int {
		return cmp.Or(cmp.Compare(of[x], of[y]), cmp.Compare(d.load[x], d.load[y]), cmp.Compare(x, y))
	})
}

func ceil(n, by int) int { return (n + by - 1) / by }
