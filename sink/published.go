package sink

import (
	"context"
	"slices"
	"strings"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// ReadPublished reads the descriptors of all tables whose topics are consumed, whatever source has published them, by name.
func ReadPublished(ctx context.Context, client *kafka.Client, consumes func(topic string) bool) ([]schema.Table, error) {
	topics, err := client.Topics(ctx)
	if err != nil {
		return nil, err
	}
	d := NewDescriptors(client)
	var tables []schema.Table
	for _, t := range topics {
		prefix, ok := strings.CutPrefix(t.Name, schema.TablesTopic(""))
		if !ok {
			continue
		}
		found, err := d.readAll(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for name, table := range found {
			if topic, err := schema.DataTopic(prefix, name); err == nil && consumes(topic) {
				tables = append(tables, *table)
			}
		}
	}
	slices.SortFunc(tables, func(a, b schema.Table) int { return strings.Compare(a.Name, b.Name) })
	return tables, nil
}
