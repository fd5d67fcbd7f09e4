package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/waltap/waltap/internal/kafka"
)

// A leader that stops has left the group before it does what it has put off, so that another one leads meanwhile.
func TestWhatIsPutOffIsDoneWhenAnotherLeads(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(context.Background())
	leads, ended, others := make(chan struct{}), make(chan error, 1), make(chan bool, 1)
	next := make(chan *worker, 1)
	go func() {
		ended <- Run(ctx, r.config(), Roles{
			Lead: func(ctx context.Context, l *Leadership) error {
				close(leads)
				<-ctx.Done()
				l.HandOver(func() error {
					some, err := l.Successors(context.Background())
					others <- some
					if err != nil {
						return err
					}
					b := <-next
					<-b.leads // it would wait for ever if this process were a member yet
					return nil
				})
				return ctx.Err()
			},
			Work: func(ctx context.Context, _ *Member) error { <-ctx.Done(); return nil },
		})
	}()
	<-leads
	b := r.start(r.config())
	r.await("shared tasks", func() bool { return len(b.tasks()) == 2 })
	stop()
	next <- b
	select {
	case err := <-ended:
		if err != context.Canceled {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
	}
	if !<-others {
		t.Error("the other process was not found in the group")
	}
	b.stop()
	b.end(t)
}

// A leader that ends in another way puts nothing off.
func TestOnlyWhoStopsHandsOver(t *testing.T) {
	r := &runner{}
	l := &Leadership{r: r}
	if l.HandOver(func() error { return nil }) || r.last != nil {
		t.Error("a process that is not to stop hands over")
	}
}

func TestTasksGoToWhoWantsThem(t *testing.T) {
	member := func(id string, c claim) kafka.BalanceMember {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return kafka.BalanceMember{ID: id, Metadata: b}
	}
	var all []kafka.TopicPartition
	for i := range int32(5) {
		all = append(all, kafka.TopicPartition{Topic: testTopic, Partition: i})
	}
	for _, tc := range []struct {
		members []kafka.BalanceMember
		want    string
	}{
		{[]kafka.BalanceMember{member("a", claim{Wants: []int{1, 2}}), member("b", claim{Wants: []int{0, 3, 4}})}, "map[a:[1 2] b:[0 3 4]]"},
		{[]kafka.BalanceMember{member("a", claim{Leading: 5, Wants: []int{1}}), member("b", claim{Wants: []int{0, 3, 4}})}, "map[a:[0 1] b:[2 3 4]]"},         // who leads goes on
		{[]kafka.BalanceMember{member("a", claim{Wants: []int{3}}), member("b", claim{Wants: []int{3}}), member("c", claim{})}, "map[a:[0 4] b:[1 3] c:[2]]"}, // of two that want one, who does not lead
	} {
		got := make(map[string][]int32)
		for id, tps := range balance(tc.members, all) {
			for _, tp := range tps {
				got[id] = append(got[id], tp.Partition)
			}
		}
		if fmt.Sprint(got) != tc.want {
			t.Errorf("got %v, want %s", got, tc.want)
		}
	}
}
