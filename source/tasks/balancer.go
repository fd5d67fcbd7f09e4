package tasks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
)

// balancer gives task 0 to the process that leads, and deals the others out evenly.
type balancer struct{ r *runner }

// claim is a member's metadata.
type claim struct {
	// Leading since, ms; 0: it does not lead.
	Leading int64 `json:"leading,omitempty"`
	// Wants are tasks that it is to have where the choice is free.
	Wants []int `json:"wants,omitempty"`
}

func (b balancer) Name() string { return "waltap-tasks" }

func (b balancer) Metadata() []byte {
	var c claim
	if since, ok := b.r.isLeading(); ok {
		c.Leading = since.UnixMilli()
	}
	if b.r.cfg.Wants != nil {
		c.Wants = b.r.cfg.Wants()
	}
	out, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of numbers
	}
	return out
}

func (b balancer) Balance(members []kafka.BalanceMember, tasks []kafka.TopicPartition) map[string][]kafka.TopicPartition {
	return balance(members, tasks)
}

// balance: where several claim to lead, the oldest claim wins; where none does, who wants task 0, then the lowest id. Other tasks go
// to who wants them; the rest is dealt out, to the leader last, as it has task 0 already.
func balance(members []kafka.BalanceMember, tasks []kafka.TopicPartition) map[string][]kafka.TopicPartition {
	out := make(map[string][]kafka.TopicPartition, len(members))
	if len(members) == 0 {
		return out
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b kafka.BalanceMember) int {
		x, y := leadingSince(a), leadingSince(b)
		switch {
		case x == y && wants(a, 0) != wants(b, 0):
			if wants(a, 0) {
				return -1
			}
			return 1
		case x == y:
			return strings.Compare(a.ID, b.ID)
		case y == 0 || x != 0 && x < y:
			return -1
		default:
			return 1
		}
	})
	leader := members[0].ID
	members = append(members[1:], members[0])
	tasks = slices.Clone(tasks)
	slices.SortFunc(tasks, func(a, b kafka.TopicPartition) int { return int(a.Partition) - int(b.Partition) })
	next := 0
	for _, t := range tasks {
		if t.Partition == 0 {
			out[leader] = append(out[leader], t)
			continue
		}
		if i := slices.IndexFunc(members, func(m kafka.BalanceMember) bool { return wants(m, t.Partition) }); i >= 0 {
			out[members[i].ID] = append(out[members[i].ID], t)
			continue
		}
		id := members[next%len(members)].ID
		out[id] = append(out[id], t)
		next++
	}
	return out
}

// claimOf reads a member's claim; what cannot be read claims nothing.
func claimOf(m kafka.BalanceMember) claim {
	var c claim
	if json.Unmarshal(m.Metadata, &c) != nil {
		return claim{}
	}
	return c
}

func leadingSince(m kafka.BalanceMember) int64 { return claimOf(m).Leading }

func wants(m kafka.BalanceMember, task int32) bool {
	return slices.Contains(claimOf(m).Wants, int(task))
}
