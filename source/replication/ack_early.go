//go:build waltap_ack_early

package replication

import "time"

const ackEarly = true

func letOut() { time.Sleep(200 * time.Millisecond) }
