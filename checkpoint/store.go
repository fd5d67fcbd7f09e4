// Package checkpoint keeps progress (shards, watermarks, offsets) in a compacted Kafka topic, in the form of Kafka
// Connect's offset topics, so that any worker can go on where another has stopped:
//
//	key    ["connector",{"partition field":"value",…}]
//	value  {…}, any JSON; null removes the entry
package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/waltap/waltap/internal/kafka"
)

// Store is the progress on one topic, held in memory. It is safe for concurrent use.
//
// Locks: order is held for reading by each Put and for writing by Refresh, so that a Refresh reads a log in which no write
// of this store is under way; mu guards the entries.
type Store struct {
	client     *kafka.Client
	producer   *kafka.Producer
	topic      string
	partitions int32

	order sync.RWMutex
	next  map[int32]int64 // guarded by order: where Refresh goes on

	mu      sync.Mutex
	entries map[string]entry // by canonical key
	changes uint64           // see Changes
}

type entry struct {
	connector string
	partition map[string]string
	offset    json.RawMessage
}

// Open creates the topic if it does not exist (one partition, cleanup.policy=compact), refuses one that is not compacted,
// and reads it to its end.
func Open(ctx context.Context, client *kafka.Client, topic string) (*Store, error) {
	err := client.EnsureTopics(ctx, kafka.TopicSpec{Name: topic, Partitions: 1, ReplicationFactor: -1,
		Configs: map[string]string{"cleanup.policy": "compact"}})
	if err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	if configs, err := client.TopicConfig(ctx, topic); err == nil && configs["cleanup.policy"] != "compact" {
		return nil, fmt.Errorf("open checkpoint store: topic %s has cleanup.policy=%s, it would lose progress: set it to compact",
			topic, configs["cleanup.policy"])
	}
	info, err := client.Topic(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	s := &Store{client: client, topic: topic, partitions: info.Partitions, next: make(map[int32]int64), entries: make(map[string]entry)}
	if err := s.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	s.producer = client.NewProducer(kafka.ProducerConfig{})
	return s, nil
}

// Refresh reads what others have written since Open or the last Refresh. Until it has read all of it, the entries stay as
// they were. It waits for the writes of this store that are under way.
func (s *Store) Refresh(ctx context.Context) error {
	s.order.Lock()
	defer s.order.Unlock()
	starts, err := s.client.StartOffsets(ctx, s.topic)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	ends, err := s.client.EndOffsets(ctx, s.topic)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	changed := make(map[string]entry) // with a nil offset for a removed one
	broken := make(map[string]error)
	for p, end := range ends {
		if end < s.next[p] {
			return fmt.Errorf("read checkpoints: partition %d of topic %s ends at offset %d, it ended at %d before: the topic was "+
				"created anew, restart the worker", p, s.topic, end, s.next[p])
		}
		err := s.client.ReadRange(ctx, kafka.TopicPartition{Topic: s.topic, Partition: p}, max(s.next[p], starts[p]), end, func(r kafka.Record) error {
			key, e, err := decode(r)
			delete(broken, string(r.Key)) // a later record, or a null, mends it
			if err != nil {
				broken[string(r.Key)] = fmt.Errorf("offset %d of topic %s: %w", r.Offset, s.topic, err)
			} else {
				changed[key] = e
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(broken)) {
		return fmt.Errorf("read checkpoints: %w", broken[key])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range changed {
		s.apply(key, e)
	}
	s.next = ends
	return nil
}

// apply sets or removes one entry. The caller holds mu.
func (s *Store) apply(key string, e entry) {
	s.changes++
	if e.offset == nil {
		delete(s.entries, key)
		return
	}
	s.entries[key] = e
}

// Changes counts what was written to the topic since Open, as far as this store has read or written it: as long as it stays, no entry
// has changed.
func (s *Store) Changes() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// Get unmarshals the offset stored for the partition into into. It reports false, and leaves into alone, when there is none.
func (s *Store) Get(connector string, partition map[string]string, into any) (bool, error) {
	key, err := encodeKey(connector, partition)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	e, ok := s.entries[key]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(e.offset, into); err != nil {
		return false, fmt.Errorf("decode checkpoint %s: %w", key, err)
	}
	return true, nil
}

// Put stores offset, as JSON, for the partition. It returns when all in-sync replicas have it, and Get sees it from then
// on. Puts of one partition that run at the same time are stored in an unspecified order, the same for Get and for other
// workers. After an error either value may be stored: Put again, or Refresh.
func (s *Store) Put(ctx context.Context, connector string, partition map[string]string, offset any) error {
	value, err := json.Marshal(offset)
	if err != nil {
		return fmt.Errorf("encode checkpoint of %s: %w", connector, err)
	}
	if bytes.Equal(value, []byte("null")) {
		return fmt.Errorf("encode checkpoint of %s: the offset is null, use Delete", connector)
	}
	return s.write(ctx, connector, partition, value)
}

// Delete removes the offset stored for the partition, as Put stores one.
func (s *Store) Delete(ctx context.Context, connector string, partition map[string]string) error {
	return s.write(ctx, connector, partition, nil)
}

func (s *Store) write(ctx context.Context, connector string, partition map[string]string, value []byte) error {
	key, err := encodeKey(connector, partition)
	if err != nil {
		return err
	}
	s.order.RLock()
	defer s.order.RUnlock()
	tp := kafka.TopicPartition{Topic: s.topic, Partition: kafka.Partition([]byte(key), s.partitions)}
	done := make(chan error, 1)
	e := entry{connector, maps.Clone(partition), value}
	s.producer.Produce(ctx, tp, []kafka.Record{{Key: []byte(key), Value: value}}, func(err error) {
		if err == nil {
			// Acknowledgements of a partition come in log order, so the last write wins here as it does in the log.
			s.mu.Lock()
			s.apply(key, e)
			s.mu.Unlock()
		}
		done <- err
	})
	if err := <-done; err != nil {
		return fmt.Errorf("write checkpoint %s: %w", key, err)
	}
	return nil
}

// Each calls f for every partition of the connector that has an offset, in the order of their keys. An error of f ends it
// and is returned as it is. f may call the store.
func (s *Store) Each(connector string, f func(partition map[string]string, offset json.RawMessage) error) error {
	s.mu.Lock()
	keys := slices.Sorted(maps.Keys(s.entries))
	found := make([]entry, 0, len(keys))
	for _, k := range keys {
		if e := s.entries[k]; e.connector == connector {
			found = append(found, e)
		}
	}
	s.mu.Unlock()
	for _, e := range found {
		if err := f(maps.Clone(e.partition), bytes.Clone(e.offset)); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the store's writes; those under way end as Producer.Close says.
func (s *Store) Close() error { return s.producer.Close() }

// encodeKey returns the canonical form of a key: json.Marshal sorts the fields of a map.
func encodeKey(connector string, partition map[string]string) (string, error) {
	if connector == "" {
		return "", errors.New("encode checkpoint key: the connector has no name")
	}
	if partition == nil {
		partition = map[string]string{}
	}
	valid := utf8.ValidString(connector)
	for k, v := range partition {
		valid = valid && utf8.ValidString(k) && utf8.ValidString(v)
	}
	if !valid {
		return "", fmt.Errorf("encode checkpoint key: connector %q or partition %q is not UTF-8, which JSON cannot hold", connector, partition)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode([]any{connector, partition}); err != nil {
		return "", fmt.Errorf("encode checkpoint key: %w", err)
	}
	return string(bytes.TrimSpace(b.Bytes())), nil
}

// decode reads one record of the topic; the offset of the entry is nil when the record removes it.
func decode(r kafka.Record) (key string, e entry, err error) {
	const remedy = "something else writes to the topic; give waltap a topic of its own, or write a null value for this key"
	parts := []any{&e.connector, &e.partition}
	if err := json.Unmarshal(r.Key, &parts); err != nil || len(parts) != 2 || e.connector == "" || e.partition == nil {
		if r.Value == nil {
			return string(r.Key), entry{}, nil
		}
		return "", entry{}, fmt.Errorf("decode checkpoint: key %.200q is not [\"connector\",{partition}]: %s", r.Key, remedy)
	}
	if key, err = encodeKey(e.connector, e.partition); err != nil {
		return "", entry{}, err
	}
	if value := bytes.TrimSpace(r.Value); len(value) > 0 && !bytes.Equal(value, []byte("null")) {
		if !json.Valid(value) {
			return "", entry{}, fmt.Errorf("decode checkpoint: value of %s is not JSON: %s", key, remedy)
		}
		e.offset = bytes.Clone(value)
	}
	return key, e, nil
}

// Connectors lists the connectors of which there are entries, sorted.
func (s *Store) Connectors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[string]bool)
	for _, e := range s.entries {
		names[e.connector] = true
	}
	return slices.Sorted(maps.Keys(names))
}
