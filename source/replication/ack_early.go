//go:build waltap_ack_early

package replication

const ackEarly = true
