package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetdelete"
)

// DeleteOffsets removes committed offsets of a group that has no running members on the topics. That there are none is no error.
func (c *Client) DeleteOffsets(ctx context.Context, group string, tps []TopicPartition) error {
	if len(tps) == 0 {
		return nil
	}
	req := &offsetdelete.Request{GroupID: group}
	at := make(map[string]int)
	for _, tp := range tps {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			req.Topics = append(req.Topics, offsetdelete.RequestTopic{Name: tp.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, offsetdelete.RequestPartition{PartitionIndex: tp.Partition})
	}
	const noGroup = ErrorCode(69) // GROUP_ID_NOT_FOUND
	err := c.coordinate(ctx, group, req, func(m protocol.Message) error {
		res := m.(*offsetdelete.Response)
		if err := brokerError(res.ErrorCode, ""); err != nil {
			return c.denied(err, OpDelete, Group, group)
		}
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				if code := ErrorCode(p.ErrorCode); code != codeUnknownTopic {
					if err := brokerError(p.ErrorCode, ""); err != nil {
						return fmt.Errorf("%s/%d: %w", t.Name, p.PartitionIndex, c.deniedTopic(err, OpRead, t.Name))
					}
				}
			}
		}
		return nil
	})
	if err != nil && !hasCode(err, noGroup) {
		return fmt.Errorf("delete offsets of group %s: %w", group, err)
	}
	return nil
}

// ClusterID is the id of the Kafka cluster.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	m, err := c.exchangeAny(ctx, &metadata.Request{TopicNames: []string{}})
	if err != nil {
		return "", fmt.Errorf("read the cluster's id: %w", err)
	}
	return m.(*metadata.Response).ClusterID, nil
}
