package worker

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/connector/herder"
)

// Keys of the status topic: those of Kafka Connect, and peer- and progress- of ours.
const (
	keyStatusConnector = "status-connector-" // report
	keyStatusTask      = "status-task-"      // NAME-N: report
	keyStatusTopic     = "status-topic-"     // TOPIC:connector-NAME: the connector has used it
	keyPeer            = "peer-"             // peerReport
	keyProgress        = "progress-"         // ["NAME","WORKER"]: herder.Progress
)

// report is what a worker says of a connector or a task, in the form of Kafka Connect.
type report struct {
	State      herder.State `json:"state"`
	Trace      string       `json:"trace,omitempty"`
	WorkerID   string       `json:"worker_id"`
	Generation int32        `json:"generation"`
	Version    string       `json:"version"`
}

// peerReport is what the worker that looks after a source says of its peer.
type peerReport struct {
	ID    string `json:"id"`
	State string `json:"state"` // as herder.Peer
	// Ours: waltap has disabled it, because the connector was paused or stopped, and enables it again.
	Ours bool `json:"ours,omitempty"`
	// HeldSince is since when nobody takes what HBase keeps, ms; 0: somebody does.
	HeldSince int64  `json:"held_since,omitempty"`
	Note      string `json:"note,omitempty"`
}

// staleReport is for how long a report of a later generation keeps others out: generations begin at 1 again when a group was empty for
// long.
const staleReport = time.Hour

// statuses is what the status topic says.
type statuses struct {
	mu     sync.Mutex
	values map[string][]byte
	times  map[string]time.Time
}

func newStatuses() *statuses {
	return &statuses{values: make(map[string][]byte), times: make(map[string]time.Time)}
}

// apply implements topicLog. A report of a worker that has lost the task since does not count.
func (s *statuses) apply(r record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(r.Key, keyStatusConnector) || strings.HasPrefix(r.Key, keyStatusTask) {
		var was, is report
		if json.Unmarshal(s.values[r.Key], &was) == nil && json.Unmarshal(r.Value, &is) == nil && was.WorkerID != is.WorkerID &&
			is.Generation < was.Generation && r.Time.Sub(s.times[r.Key]) < staleReport {
			return false
		}
	}
	if r.Value == nil {
		delete(s.values, r.Key)
		delete(s.times, r.Key)
		return true
	}
	s.values[r.Key], s.times[r.Key] = bytes.Clone(r.Value), r.Time
	return true
}

// get reads what a key holds into into, and tells whether it holds anything.
func (s *statuses) get(key string, into any) bool {
	s.mu.Lock()
	v, ok := s.values[key]
	s.mu.Unlock()
	return ok && json.Unmarshal(v, into) == nil
}

// keys lists the keys that ok accepts, sorted.
func (s *statuses) keys(ok func(key string) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Sorted(maps.Keys(s.values))
	return slices.DeleteFunc(all, func(k string) bool { return !ok(k) })
}

func taskKey(name string, task int) string { return keyStatusTask + name + "-" + strconv.Itoa(task) }

// taskOf is the inverse of taskKey.
func taskOf(key string) (name string, task int, ok bool) {
	rest, ok := strings.CutPrefix(key, keyStatusTask)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 {
		return "", 0, false
	}
	task, err := strconv.Atoi(rest[i+1:])
	return rest[:i], task, err == nil
}

// taskKeys lists the tasks that were reported of a connector.
func (s *statuses) taskKeys(name string) []string {
	return s.keys(func(key string) bool { n, _, ok := taskOf(key); return ok && n == name })
}

func topicKey(connector, topic string) string {
	return keyStatusTopic + topic + ":connector-" + connector
}

// topicOf finds the topic of a topicKey of a connector.
func topicOf(key, connector string) (topic string, ok bool) {
	rest, ok := strings.CutPrefix(key, keyStatusTopic)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ":connector-"+connector)
}

func progressKey(connector, worker string) string {
	b, err := json.Marshal([2]string{connector, worker})
	if err != nil {
		panic(err) // two strings
	}
	return keyProgress + string(b)
}

// progressOf finds the connector and the worker of a progressKey.
func progressOf(key string) (connector, worker string, ok bool) {
	rest, ok := strings.CutPrefix(key, keyProgress)
	var parts [2]string
	if !ok || json.Unmarshal([]byte(rest), &parts) != nil {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// ofConnector lists all that is reported of a connector.
func (s *statuses) ofConnector(name string) []string {
	return s.keys(func(key string) bool {
		if n, _, ok := taskOf(key); ok && n == name {
			return true
		}
		if n, _, ok := progressOf(key); ok && n == name {
			return true
		}
		_, topic := topicOf(key, name)
		return topic || key == keyStatusConnector+name || key == keyPeer+name
	})
}
