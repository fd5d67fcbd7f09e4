package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describegroups"
)

// GroupMember is a running member of a consumer group.
type GroupMember struct{ ID, ClientID, Host string }

// GroupMembers lists the running members of a group: none for one that does not exist.
func (c *Client) GroupMembers(ctx context.Context, group string) ([]GroupMember, error) {
	var members []GroupMember
	err := c.coordinate(ctx, group, &describegroups.Request{Groups: []string{group}}, func(m protocol.Message) error {
		members = nil
		for _, g := range m.(*describegroups.Response).Groups {
			if err := brokerError(g.ErrorCode, ""); err != nil {
				return c.denied(err, OpDescribe, Group, group)
			}
			for _, k := range g.Members {
				members = append(members, GroupMember{ID: k.MemberID, ClientID: k.ClientID, Host: k.ClientHost})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	return members, nil
}
