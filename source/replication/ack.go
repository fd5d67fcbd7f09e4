//go:build !waltap_ack_early

package replication

// ackEarly is a negative control, true only in builds with the tag waltap_ack_early: HBase is answered
// before Kafka has acknowledged. The test that kills waltap must fail then.
const ackEarly = false

// letOut gives an early answer the time to reach HBase before anything can kill the process.
func letOut() {}
