package testenv

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/waltap/waltap/e2e/servers"
)

// secureKafka is a broker with users and rights that the first test which wants it starts.
type secureKafka struct {
	mu    sync.Mutex
	kafka *servers.Kafka
	err   error
	tried bool
}

func (s *secureKafka) started() *servers.Kafka {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kafka
}

// Passwords of the users of SecureKafka. Nothing that waltap writes may contain them.
var Passwords = map[string]string{"waltap": "correct-horse-battery", "copier": "tr0ub4dor-and-3", "operator": "open-sesame-please", "watcher": "eyes-wide-open", "newcomer": "let-me-in-at-once",
	"mender": "a-stitch-in-time", "follower": "in-your-footsteps", "patient": "say-aah-for-the-doctor", "reader": "for-your-eyes-only",
	"mover": "lift-with-your-legs", "steerer": "hold-the-wheel", "prover": "quod-erat-demonstrandum"}

// SecureKafka is a broker with TLS, users (Passwords) and access control lists, beside Env.Kafka. It is started by the first
// call.
func (e *Env) SecureKafka(t testing.TB) *servers.Kafka {
	t.Helper()
	s := &e.secure
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tried {
		s.tried = true
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.kafka, s.err = servers.StartKafka(ctx, servers.KafkaOptions{Name: "secured", Dir: filepath.Join(e.Dir, "kafka-secured"),
			JVMFlags: servers.FastStart, Security: &servers.KafkaSecurity{Users: Passwords}})
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.kafka
}
