package config

import (
	"math"
	"time"
)

// workerKeys are those of waltap worker.
var workerKeys = []Key{
	{
		Name: "config.storage.topic", Scope: InProcess, Type: String, DefaultDoc: "__waltap-configs.<group.id>", Example: "waltap-configs",
		Doc: "Of waltap worker: the compacted topic of the connectors' configurations and of what was asked for. It has one partition. No other group may use it.",
		set: text(func(t *target) *string { return &t.process.Worker.ConfigTopic }),
	},
	{
		Name: "status.storage.topic", Scope: InProcess, Type: String, DefaultDoc: "__waltap-status.<group.id>", Example: "waltap-status",
		Doc: "Of waltap worker: the compacted topic of what the workers say about connectors and tasks. It has one partition. No other group may use it.",
		set: text(func(t *target) *string { return &t.process.Worker.StatusTopic }),
	},
	{
		Name: "offset.storage.topic", Scope: InProcess, Type: String, DefaultDoc: "__waltap-offsets.<topic.prefix>, one of each source", Example: "waltap-offsets",
		Doc: "Of waltap worker: one compacted topic for the progress of all sources. A source that was run without this key begins anew with it.",
		set: text(func(t *target) *string { return &t.process.Worker.OffsetTopic }),
	},
	{
		Name: "config.storage.replication.factor", Scope: InProcess, Type: Integer, Default: "-1", Min: -1, Max: math.MaxInt16,
		Doc: "Replicas of config.storage.topic when waltap creates it. -1: the brokers' default.",
		set: number(func(t *target) *int16 { return &t.process.Worker.ConfigReplicas }),
	},
	{
		Name: "status.storage.replication.factor", Scope: InProcess, Type: Integer, Default: "-1", Min: -1, Max: math.MaxInt16,
		Doc: "Replicas of status.storage.topic when waltap creates it. -1: the brokers' default.",
		set: number(func(t *target) *int16 { return &t.process.Worker.StatusReplicas }),
	},
	{
		Name: "rest.advertised.host.name", Scope: InProcess, Type: String, DefaultDoc: "the host of listeners, or the machine's hostname", Example: "worker1.example.com",
		Doc: "Of waltap worker: the host in the worker's id, host:port, which stands in every status. Each worker needs another id.",
		set: into(parseHost, func(t *target) *string { return &t.process.Worker.AdvertisedHost }),
	},
	{
		Name: "rest.advertised.port", Scope: InProcess, Type: Integer, DefaultDoc: "the port of listeners", Min: 1, Max: 65535, Example: "8083",
		Doc: "Of waltap worker: the port in the worker's id.",
		set: number(func(t *target) *int { return &t.process.Worker.AdvertisedPort }),
	},
	{
		Name: "peer.advertised.host.name", Scope: InProcess, Type: String, DefaultDoc: "the machine's hostname", Example: "worker1.example.com",
		Doc: "The default of hbase.peer.advertised.host of the sources that run here: the name under which their region servers reach this worker. In a container, where the hostname is another one, such as ${env:PEER_HOST}.",
		set: into(parseHost, func(t *target) *string { return &t.process.Worker.PeerHost }),
	},
	{
		Name: "session.timeout.ms", Scope: InProcess, Type: Milliseconds, Default: "10000", Min: 6000, Max: 300000,
		Doc: "Of waltap worker: how long the group waits for a worker that is silent; then others get its tasks.",
		set: milliseconds(func(t *target) *time.Duration { return &t.process.Worker.SessionTimeout }),
	},
}
