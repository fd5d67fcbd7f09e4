package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	healthLook = 500 * time.Millisecond
	// healTimeout bounds the restart of a server that is broken.
	healTimeout = Patience * 2 * time.Minute
)

// health looks after the shared servers while tests run. One that gives up by itself fails the tests that are running, at once
// and with its own words, and is started again for those that come after: one fault must not become thirty failures. No test is
// repeated, and a run in which a server broke never passes.
type health struct {
	servers []patient
	quit    chan struct{}
	done    chan struct{}

	mu     sync.Mutex
	now    *era
	healed *sync.Cond
	tests  map[string]*era // by the top-level name of the tests that run
	faults []string        // of the whole run
	lost   error           // a server that could not be started again
}

// patient is a server that is looked after.
type patient interface {
	Fault() (string, error)
	Restart(ctx context.Context) error
}

// era is the time between two faults.
type era struct {
	ctx  context.Context
	end  context.CancelCauseFunc
	over bool
}

func newEra() *era {
	e := new(era)
	e.ctx, e.end = context.WithCancelCause(context.Background())
	return e
}

// errFault is the cause by which the contexts of running tests end.
var errFault = errors.New("a server that the tests share broke")

func watchServers(servers ...patient) *health {
	h := &health{servers: servers, quit: make(chan struct{}), done: make(chan struct{}), now: newEra(), tests: make(map[string]*era)}
	h.healed = sync.NewCond(&h.mu)
	go h.run()
	return h
}

// close ends the watch and returns the faults of the run.
func (h *health) close() []string {
	close(h.quit)
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.end(nil)
	return h.faults
}

// broke tells whether a server broke.
func (h *health) broke() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.faults) > 0
}

func (h *health) run() {
	defer close(h.done)
	tick := time.NewTicker(healthLook)
	defer tick.Stop()
	for {
		for _, s := range h.servers {
			h.look(s)
		}
		select {
		case <-tick.C:
		case <-h.quit:
			return
		}
	}
}

func (h *health) look(s patient) {
	fault, err := s.Fault()
	if err != nil {
		fault = err.Error()
	}
	if fault == "" || !h.fail(fault) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), healTimeout)
	defer cancel()
	err = s.Restart(ctx)
	if err == nil {
		fmt.Fprintln(os.Stderr, "waltap e2e: it was started again")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.lost = fmt.Errorf("%s\nand it does not start again: %w", fault, err)
	}
	h.now = newEra()
	h.healed.Broadcast()
}

// fail ends the era. It returns false when the run is lost already.
func (h *health) fail(fault string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return false
	}
	h.faults = append(h.faults, fault)
	var running []string
	for name := range h.tests {
		running = append(running, name)
	}
	slices.Sort(running)
	fmt.Fprintf(os.Stderr, "waltap e2e: while %s ran: %s\n", strings.Join(running, ", "), fault)
	h.now.over = true
	h.now.end(fmt.Errorf("%w: %s", errFault, fault))
	return true
}

// enter is called by each test, as often as it likes, before it uses a server: it waits until all serve. The context ends with
// the era; so does the test, as failed.
func (h *health) enter(t testing.TB) context.Context {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.tests[name]; e != nil {
		return e.ctx
	}
	for h.now.over && h.lost == nil {
		h.healed.Wait()
	}
	if h.lost != nil {
		t.Error(h.lost)
	}
	e := h.now
	h.tests[name] = e
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.tests, name)
		if e.over {
			t.Error(context.Cause(e.ctx))
		}
	})
	return e.ctx
}
