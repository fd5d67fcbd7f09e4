package config

// signalKeys say where a source takes signals from, beside the REST API.
var signalKeys = []Key{
	{
		Name: "signal.kafka.topic", Scope: InSource, Type: String, DefaultDoc: "none: signals come over the REST API only", Example: "orders-signal",
		Doc: "Topic of one partition from which signals are read, in Debezium's form: the key is topic.prefix, the value such as {\"type\":\"pause-snapshot\",\"data\":{}} (docs/rest.md). It must exist. Its place is committed under the group waltap-signals-<name>; a source that has never read it begins at its end.",
		set: into(parseDeadLetterTopic, func(t *target) *string { return &t.source.SignalTopic }),
	},
}
