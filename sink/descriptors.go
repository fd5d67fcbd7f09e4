package sink

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/schema"
)

// Descriptors looks tables up on the compacted topics that sources publish them on.
type Descriptors struct {
	client *kafka.Client

	mu     sync.Mutex
	tables map[string]map[string]*schema.Table // by prefix, by table
	read   map[string]time.Time                // when, by prefix
}

// NewDescriptors returns Descriptors that reads through client.
func NewDescriptors(client *kafka.Client) *Descriptors {
	return &Descriptors{client: client, tables: make(map[string]map[string]*schema.Table), read: make(map[string]time.Time)}
}

// Lookup returns the newest descriptor of table, whose changes came on topic. fresh reads the
// descriptors again, although one is known.
func (d *Descriptors) Lookup(ctx context.Context, topic, table string, fresh bool) (*schema.Table, error) {
	if fresh {
		return d.Within(ctx, topic, table, 0)
	}
	return d.Within(ctx, topic, table, math.MaxInt64)
}

// Within is Lookup of a descriptor that was read no longer than age ago.
func (d *Descriptors) Within(ctx context.Context, topic, table string, age time.Duration) (*schema.Table, error) {
	prefix, ok := schema.PrefixOfTopic(topic, table)
	if !ok {
		return nil, foreign(topic, table)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tables[prefix][table]; t != nil && time.Since(d.read[prefix]) < age {
		return t, nil
	}
	found, err := d.readAll(ctx, prefix)
	if err != nil {
		return nil, err
	}
	t := found[table]
	if t == nil {
		return nil, &PermanentError{fmt.Errorf("%s has no descriptor of table %s; create the table at the destination and set hbase.table.create: false, schema.evolution: none", schema.TablesTopic(prefix), table)}
	}
	return t, nil
}

// Published is a table with the topic of its changes.
type Published struct{ Table, Topic string }

// Tables lists the tables of the source that has captured table, whose changes came on topic, as they were last read.
func (d *Descriptors) Tables(topic, table string) ([]Published, error) {
	prefix, ok := schema.PrefixOfTopic(topic, table)
	if !ok {
		return nil, foreign(topic, table)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var tables []Published
	for _, name := range slices.Sorted(maps.Keys(d.tables[prefix])) {
		topic, err := schema.DataTopic(prefix, name)
		if err != nil {
			return nil, &PermanentError{err}
		}
		tables = append(tables, Published{name, topic})
	}
	return tables, nil
}

func foreign(topic, table string) error {
	return &PermanentError{fmt.Errorf("topic %s holds changes of table %s, whose topic should end with its name: it was not written by a waltap source", topic, table)}
}

// readAll reads all descriptors of a prefix; the caller holds d.mu.
func (d *Descriptors) readAll(ctx context.Context, prefix string) (map[string]*schema.Table, error) {
	found, began := make(map[string]*schema.Table), time.Now()
	err := d.client.ReadAll(ctx, schema.TablesTopic(prefix), func(r kafka.Record) error {
		if len(r.Value) == 0 {
			delete(found, string(r.Key))
			return nil
		}
		t, err := schema.ParseTable(r.Value)
		if err != nil {
			return &PermanentError{fmt.Errorf("offset %d: %w", r.Offset, err)}
		}
		found[string(r.Key)] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the table descriptors on %s: %w", schema.TablesTopic(prefix), err)
	}
	d.tables[prefix], d.read[prefix] = found, began
	return found, nil
}
