// Package herder is what the REST API asks and what runs connectors answers: connectors of one group by name, their
// configurations, states, tasks, topics and offsets, in the terms and JSON forms of Kafka Connect's own Herder.
//
// waltap worker answers for its cluster, waltap run for its process. A call that another worker must carry out is
// forwarded by the implementation, not by the caller.
package herder

import (
	"context"
	"encoding/json"

	"github.com/waltap/waltap/connector/status"
)

// Herder runs connectors. Every method is safe for concurrent use and ends with its context; a call whose context has
// ended may take effect yet. Errors are those of this package (see Error), *config.Error for a configuration that is
// wrong, and others, which are the herder's own faults.
//
// A method that takes the name of a connector returns NotFound when there is none of that name.
type Herder interface {
	// Worker says who answers.
	Worker(ctx context.Context) (Worker, error)
	// Health is nil when the herder can answer, NotReady while it starts, and else what is wrong.
	Health(ctx context.Context) error

	// Connectors lists the names, sorted.
	Connectors(ctx context.Context) ([]string, error)
	// Connector is a connector as it is configured.
	Connector(ctx context.Context, name string) (*Info, error)
	// Create adds a connector; Conflict when the name is taken. The config is as it was given, references not resolved, and
	// holds "name". initial "" is Running. It returns when the configuration is stored; the connector starts afterwards.
	Create(ctx context.Context, name string, config map[string]string, initial TargetState) (*Info, error)
	// PutConfig replaces the configuration, or creates the connector with it.
	PutConfig(ctx context.Context, name string, config map[string]string) (info *Info, created bool, err error)
	// PatchConfig sets the keys of patch and removes those that are nil there. Nothing else comes between its reading and its writing.
	PatchConfig(ctx context.Context, name string, patch map[string]*string) (*Info, error)
	// Delete stops the connector and forgets it. A source's own peer is removed unless hbase.peer.on.delete is keep.
	Delete(ctx context.Context, name string) error

	// Status is what the workers have reported. A connector that exists and of which nobody has reported yet is NotFound, as
	// in Connect.
	Status(ctx context.Context, name string) (*Status, error)
	// SetTarget pauses, resumes or stops. It returns when the wish is stored. A paused connector keeps its tasks and their
	// claims and moves nothing; a stopped one has no tasks. What either does to a source's peer is in Status.
	SetTarget(ctx context.Context, name string, t TargetState) error
	// Restart restarts a connector and, as r says, its tasks.
	Restart(ctx context.Context, name string, r Restart) (*Status, error)

	// Tasks lists the tasks of a connector with the configurations they were given.
	Tasks(ctx context.Context, name string) ([]TaskInfo, error)
	// RestartTask restarts one task; NotFound when there is no such task.
	RestartTask(ctx context.Context, name string, task int) error

	// Topics lists the topics that the connector has used since it was created or the list was reset, sorted.
	Topics(ctx context.Context, name string) ([]string, error)
	ResetTopics(ctx context.Context, name string) error

	// Offsets are, of a sink, the committed offsets of its consumer group, with the partitions {"kafka_topic","kafka_partition"} and
	// the offsets {"kafka_offset"}; of a source, its entries on the offsets topic.
	Offsets(ctx context.Context, name string) ([]Offset, error)
	// AlterOffsets sets some of them, and removes those whose Offset is nil. NotStopped unless the connector is stopped; for partitions or offsets
	// that are none of the connector's, BadRequest of a sink and Refused of a source, or of a sink's offset below 0. The result is the sentence that is the answer's message.
	AlterOffsets(ctx context.Context, name string, offsets []Offset) (message string, err error)
	// ResetOffsets removes all of them. NotStopped unless the connector is stopped.
	ResetOffsets(ctx context.Context, name string) (message string, err error)

	// Progress is what the workers that run the connector have last said of it, one entry a worker.
	Progress(ctx context.Context, name string) ([]Progress, error)
	// Signal carries out a signal of a source. BadRequest for one that it does not know or whose data is wrong.
	Signal(ctx context.Context, name string, s Signal) error

	// SetLogLevel sets the level of a logger on every worker of the group, this one among them, for
	// PUT /admin/loggers/{logger}?scope=cluster. Each worker gives it to its own Loggers.
	SetLogLevel(ctx context.Context, logger, level string) error
}

// Worker is the body of GET /.
type Worker struct {
	Version        string `json:"version"`
	Commit         string `json:"commit"`
	KafkaClusterID string `json:"kafka_cluster_id"`
}

// Type of a connector.
type Type string

// The types of connectors.
const (
	Source Type = "source"
	Sink   Type = "sink"
)

// TaskID names a task.
type TaskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// Info is a connector as it is configured.
type Info struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"` // as it was given, with "name"
	Tasks  []TaskID          `json:"tasks"`  // not nil
	Type   Type              `json:"type"`
}

// TaskInfo is a task as it is configured.
type TaskInfo struct {
	ID     TaskID            `json:"id"`
	Config map[string]string `json:"config"`
}

// State is a state of a connector or a task, in Connect's words.
type State string

// The states.
const (
	Unassigned State = "UNASSIGNED"
	Running    State = "RUNNING"
	Paused     State = "PAUSED"
	Stopped    State = "STOPPED" // connectors only
	Failed     State = "FAILED"
	Restarting State = "RESTARTING"
)

// TargetState is what a connector is to be.
type TargetState string

// The target states.
const (
	TargetRunning TargetState = "RUNNING"
	TargetPaused  TargetState = "PAUSED"
	TargetStopped TargetState = "STOPPED"
)

// Status is how a connector and its tasks are.
type Status struct {
	Name      string         `json:"name"`
	Connector ConnectorState `json:"connector"`
	Tasks     []TaskStatus   `json:"tasks"` // not nil, by id
	Type      Type           `json:"type"`
	// Peer is the replication peer of a source; nil: of a sink, or not known yet.
	Peer *Peer `json:"peer,omitempty"`
}

// ConnectorState is how a connector is.
type ConnectorState struct {
	State    State  `json:"state"`
	WorkerID string `json:"worker_id"` // host:port
	Trace    string `json:"trace,omitempty"`
	Version  string `json:"version"`
}

// TaskStatus is how a task is.
type TaskStatus struct {
	ID       int    `json:"id"`
	State    State  `json:"state"`
	WorkerID string `json:"worker_id"`
	Trace    string `json:"trace,omitempty"`
	Version  string `json:"version"`
}

// Peer is what became of a source's replication peer.
type Peer struct {
	ID string `json:"id"`
	// State is "enabled", "disabled", "absent", or "unknown" when the source does not answer.
	State string `json:"state"`
	// HeldSince is since when HBase keeps WALs that nobody takes, ms since 1970; 0: it does not.
	HeldSince int64 `json:"held_since,omitempty"`
	// HeldSeconds is for how long.
	HeldSeconds int64 `json:"held_seconds,omitempty"`
	// Note says what that means and what to do, for people.
	Note string `json:"note,omitempty"`
}

// Restart says what to restart.
type Restart struct {
	IncludeTasks bool // the tasks too
	OnlyFailed   bool // only what is FAILED
}

// Plain tells whether it is the connector alone, whatever its state: then POST …/restart answers 204 once it is done, else 202
// with the status after which it is carried out.
func (r Restart) Plain() bool { return !r.IncludeTasks && !r.OnlyFailed }

// Offset is where a connector stands in one partition.
type Offset struct {
	Partition map[string]any `json:"partition"`
	Offset    map[string]any `json:"offset"` // nil: none
}

// Progress is what a worker says of a connector that it runs.
type Progress struct {
	WorkerID string               `json:"worker_id"`
	At       int64                `json:"at"` // ms since 1970, by the worker's clock
	Status   status.ConnectorView `json:"status"`
}

// Signal is a message to a source, in Debezium's form.
type Signal struct {
	ID   string          `json:"id,omitempty"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data,omitempty"`
}
