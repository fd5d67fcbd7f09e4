package tasks

import (
	"errors"
	"sync"
	"time"
)

const (
	// maxPause is how long a process may stand still (stopped, starved, its machine suspended) without losing its lease. The
	// group notices a pause of sessionTimeout, so this is well below.
	maxPause = 5 * time.Second
	// leaseTick is how often the clock is looked at.
	leaseTick = 500 * time.Millisecond
)

// errPaused is why nothing more may be sent.
var errPaused = errors.New("this process stood still for longer than 5s, its tasks may have gone to another one")

// errLeaseEnded says that the generation is over.
var errLeaseEnded = errors.New("the tasks have been given back")

// lease is the right of a process to send in one generation. It ends with the first pause that is noticed, by the ticker or
// by the sender itself, whichever runs first when the process wakes up.
//
// The clock is the monotonic one, which runs on while a process is stopped. It may stand still while a whole machine is
// suspended: then the group's heartbeats fail first.
type lease struct {
	now  func() time.Time
	stop chan struct{}

	mu   sync.Mutex
	last time.Time
	lost error
}

func newLease() *lease {
	l := &lease{now: time.Now, stop: make(chan struct{})}
	l.last = l.now()
	go l.run()
	return l
}

func (l *lease) run() {
	t := time.NewTicker(leaseTick)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.tick()
		}
	}
}

// tick looks at the clock.
func (l *lease) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.last) > maxPause && l.lost == nil {
		l.lost = errPaused
	}
	l.last = now
}

// check is an error when the lease is lost.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil && l.now().Sub(l.last) > maxPause {
		l.lost = errPaused
	}
	return l.lost
}

func (l *lease) end() {
	close(l.stop)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = errLeaseEnded
	}
}
