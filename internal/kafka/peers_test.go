package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// peerMember is a running JoinPeers. Its leader tells everyone who is there.
type peerMember struct {
	got    chan PeerAssignment
	lost   chan error
	rejoin chan struct{}
	cancel context.CancelFunc
	done   chan error
}

func startPeer(t *testing.T, c *Client, name string) *peerMember {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	m := &peerMember{got: make(chan PeerAssignment, 100), lost: make(chan error, 100), rejoin: make(chan struct{}), cancel: cancel, done: make(chan error, 1)}
	cfg := PeerGroupConfig{
		GroupID: "workers", ProtocolType: "test", Protocol: "v1", HeartbeatInterval: 20 * time.Millisecond, Rejoin: m.rejoin,
		Metadata: func() []byte { return []byte(name) },
		Assign: func(generation int32, members []BalanceMember) map[string][]byte {
			var names []string
			for _, m := range members {
				names = append(names, string(m.Metadata))
			}
			slices.Sort(names)
			out := make(map[string][]byte)
			for _, m := range members {
				b, err := json.Marshal(names)
				if err != nil {
					t.Error(err)
				}
				out[m.ID] = b
			}
			return out
		},
		Assigned: func(a PeerAssignment) { m.got <- a },
		Lost:     func(err error) { m.lost <- err },
	}
	go func() { m.done <- c.JoinPeers(ctx, cfg) }()
	t.Cleanup(func() { cancel(); <-m.done })
	return m
}

// await returns the first assignment that names these members.
func (m *peerMember) await(t *testing.T, names ...string) PeerAssignment {
	t.Helper()
	want := fmt.Sprintf("%q", names)
	timeout := time.After(time.Minute)
	for {
		select {
		case a := <-m.got:
			var got []string
			if err := json.Unmarshal(a.Data, &got); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%q", got) == want {
				return a
			}
		case <-timeout:
			t.Fatalf("no generation of %s", want)
		}
	}
}

func TestPeersShareByAProtocolOfTheirOwn(t *testing.T) {
	cluster := fakeCluster(t)
	c := connect(t, cluster)
	a := startPeer(t, c, "a")
	first := a.await(t, "a")
	if !first.Leads || first.MemberID == "" {
		t.Errorf("the only member got %+v", first)
	}
	b := startPeer(t, c, "b")
	of, ob := a.await(t, "a", "b"), b.await(t, "a", "b")
	if of.Generation != ob.Generation || of.Generation <= first.Generation || of.Leads == ob.Leads {
		t.Errorf("two members got %+v and %+v", of, ob)
	}
	leader, other := a, b
	if ob.Leads {
		leader, other = b, a
	}
	leader.rejoin <- struct{}{}
	again, too := leader.await(t, "a", "b"), other.await(t, "a", "b")
	if again.Generation <= of.Generation || too.Generation != again.Generation {
		t.Errorf("after the leader asked for a new generation: %+v and %+v, it was %d", again, too, of.Generation)
	}
	b.cancel()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	b.done <- nil
	a.await(t, "a")
	if len(a.lost) > 0 {
		t.Errorf("a member that stayed was lost: %v", <-a.lost)
	}
}

// A member that the group has thrown out is told so, and joins anew.
func TestPeerThatIsThrownOutJoinsAgain(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(1))
	c := connect(t, cluster)
	a := startPeer(t, c, "a")
	first := a.await(t, "a")
	if err := c.LeaveGroup(testContext(t), "workers", first.MemberID); err != nil {
		t.Fatal(err)
	}
	second := a.await(t, "a")
	if second.MemberID == first.MemberID {
		t.Errorf("it joined again as the same member %s", first.MemberID)
	}
	if len(a.lost) == 0 {
		t.Error("it was not told that it had been thrown out")
	}
}
