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
}

func (b balancer) Name() string { return "waltap-tasks" }

func (b balancer) Metadata() []byte {
	var c claim
	if since, ok := b.r.isLeading(); ok {
		c.Leading = since.UnixMilli()
	}
	out, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of one number
	}
	return out
}

func (b balancer) Balance(members []kafka.BalanceMember, tasks []kafka.TopicPartition) map[string][]kafka.TopicPartition {
	return balance(members, tasks)
}

// balance: where several claim to lead, the oldest claim wins; where none does, the lowest id. The leader is dealt to last,
// as it has task 0 already.
func balance(members []kafka.BalanceMember, tasks []kafka.TopicPartition) map[string][]kafka.TopicPartition {
	out := make(map[string][]kafka.TopicPartition, len(members))
	if len(members) == 0 {
		return out
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b kafka.BalanceMember) int {
		x, y := leadingSince(a), leadingSince(b)
		switch {
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
		id := members[next%len(members)].ID
		out[id] = append(out[id], t)
		next++
	}
	return out
}

// leadingSince reads a member's claim; what cannot be read claims nothing.
func leadingSince(m kafka.BalanceMember) int64 {
	var c claim
	if json.Unmarshal(m.Metadata, &c) != nil {
		return 0
	}
	return c.Leading
}
