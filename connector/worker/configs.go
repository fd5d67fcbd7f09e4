package worker

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
)

// Keys of the config topic: those of Kafka Connect, and removing- of ours.
const (
	keyConnector = "connector-"      // {"properties":{…}}
	keyTarget    = "target-state-"   // {"state":"PAUSED"}
	keyRemoving  = "removing-"       // {"properties":{…}}: deleted, what it has left at its source is being removed
	keyRestart   = "restart-"        // a command
	keySignal    = "signal-"         // a command
	keyLogger    = "logger-cluster-" // {"level":"DEBUG"}
	defaultTasks = 8                 // tasks.max
)

// configs is what the config topic says.
//
// Any worker may write to it. Of two that change the same thing at once the first in the log wins: a record counts only if its
// writer had seen the last one of that key that counts (record.Base), which every reader decides in the same way. The other
// is told, and decides anew. So there is nothing to forward to a leader, and a worker that stood still for long can overwrite nothing.
//
// Compaction does not know this rule: it keeps the last record of a key, also one that does not count. So the leader writes such a
// key's value once more (stale), long before compaction may come (repairLag).
type configs struct {
	mu         sync.Mutex
	connectors map[string]*entry
	removing   map[string]map[string]string // their properties
	last       map[string]int64             // by key: offset of the last record that counts
	values     map[string][]byte            // by key: what it holds
	stale      map[string]bool              // keys of which the last record does not count
	next       int64                        // offset of the next record
	live       bool                         // what was there at the start is applied

	changed func()                         // told of each change; must not block
	command func(key string, value []byte) // told of commands once live; must not block
}

// entry is one connector.
type entry struct {
	Props  map[string]string
	Offset int64 // of the record
	Target herder.TargetState
}

func newConfigs() *configs {
	return &configs{connectors: map[string]*entry{}, removing: map[string]map[string]string{}, last: map[string]int64{}, values: map[string][]byte{}, stale: map[string]bool{}}
}

// properties is the form of keyConnector and keyRemoving.
type properties struct {
	Properties map[string]string `json:"properties"`
}

// target is the form of keyTarget.
type target struct {
	State herder.TargetState `json:"state"`
}

// apply implements topicLog.
func (c *configs) apply(r record) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = r.Offset + 1
	for _, prefix := range []string{keyRestart, keySignal, keyLogger} {
		if name, ok := strings.CutPrefix(r.Key, prefix); ok && name != "" {
			if c.live && r.Value != nil || prefix == keyLogger && r.Value != nil {
				c.command(r.Key, r.Value)
			}
			return true
		}
	}
	if last, ok := c.last[r.Key]; ok && r.Base <= last {
		if !bytes.Equal(c.values[r.Key], r.Value) {
			c.stale[r.Key] = true
		}
		return false
	}
	c.last[r.Key] = r.Offset
	if delete(c.stale, r.Key); r.Value == nil {
		delete(c.values, r.Key)
	} else {
		c.values[r.Key] = bytes.Clone(r.Value)
	}
	c.set(r)
	c.changed()
	return true
}

// set makes a record that counts hold. What cannot be read counts as removed: nothing of waltap's writes it.
func (c *configs) set(r record) {
	if name, ok := strings.CutPrefix(r.Key, keyConnector); ok {
		var p properties
		if r.Value == nil || json.Unmarshal(r.Value, &p) != nil || p.Properties == nil {
			delete(c.connectors, name)
			return
		}
		c.connectors[name] = &entry{Props: p.Properties, Offset: r.Offset, Target: c.targetOf(name)}
		return
	}
	if name, ok := strings.CutPrefix(r.Key, keyTarget); ok {
		if e := c.connectors[name]; e != nil {
			now := *e
			now.Target = c.targetOf(name)
			c.connectors[name] = &now
		}
		return
	}
	if name, ok := strings.CutPrefix(r.Key, keyRemoving); ok {
		var p properties
		if r.Value == nil || json.Unmarshal(r.Value, &p) != nil {
			delete(c.removing, name)
			return
		}
		c.removing[name] = p.Properties
	}
}

// targetOf reads the wish for a connector. mu is held.
func (c *configs) targetOf(name string) herder.TargetState {
	var t target
	if v := c.values[keyTarget+name]; v == nil || json.Unmarshal(v, &t) != nil || t.State == "" {
		return herder.TargetRunning
	}
	return t.State
}

// get returns a connector, nil when there is none.
func (c *configs) get(name string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connectors[name]
}

func (c *configs) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.connectors))
}

// all returns the connectors by name; the entries are not changed any more.
func (c *configs) all() map[string]*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.connectors)
}

// beingRemoved returns the properties of deleted connectors that have left something.
func (c *configs) beingRemoved() map[string]map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.removing)
}

// staleKeys returns what the leader is to write again: nil removes.
func (c *configs) staleKeys() (keys map[string][]byte, base int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys = make(map[string][]byte)
	for k := range c.stale {
		keys[k] = c.values[k]
	}
	return keys, c.next
}

// tasks is how many tasks a connector has.
func (e *entry) tasks() int {
	if e.Target == herder.TargetStopped {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(e.Props["tasks.max"]))
	if err != nil || n < 1 {
		return defaultTasks // also of a reference: it cannot be dealt out by what one worker finds
	}
	return n
}

// kind of a connector.
func (e *entry) kind() herder.Type {
	if config.Class(e.Props["connector.class"]) == config.HBaseSink {
		return herder.Sink
	}
	return herder.Source
}
