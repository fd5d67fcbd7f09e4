package kafka

import (
	kafkago "github.com/segmentio/kafka-go"
)

// Balancer shares out the partitions of a group's topics among its members. The group's leader, any one of them, asks its
// own at the beginning of a generation.
type Balancer interface {
	// Name is the protocol that all members must have in common.
	Name() string
	// Metadata is what the leader learns of this member; it is asked for before each join.
	Metadata() []byte
	// Balance gives every partition to one member.
	Balance(members []BalanceMember, partitions []TopicPartition) map[string][]TopicPartition
}

// BalanceMember is a member of a group as its leader sees it.
type BalanceMember struct {
	ID       string
	Metadata []byte
}

// groupBalancer is a Balancer as kafka-go wants it.
type groupBalancer struct{ b Balancer }

func (g groupBalancer) ProtocolName() string { return g.b.Name() }

func (g groupBalancer) UserData() ([]byte, error) { return g.b.Metadata(), nil }

func (g groupBalancer) AssignGroups(members []kafkago.GroupMember, partitions []kafkago.Partition) kafkago.GroupMemberAssignments {
	in := make([]BalanceMember, len(members))
	for i, m := range members {
		in[i] = BalanceMember{ID: m.ID, Metadata: m.UserData}
	}
	tps := make([]TopicPartition, len(partitions))
	for i, p := range partitions {
		tps[i] = TopicPartition{p.Topic, int32(p.ID)}
	}
	out := make(kafkago.GroupMemberAssignments, len(members))
	for id, assigned := range g.b.Balance(in, tps) {
		out[id] = make(map[string][]int)
		for _, tp := range assigned {
			out[id][tp.Topic] = append(out[id][tp.Topic], int(tp.Partition))
		}
	}
	return out
}
