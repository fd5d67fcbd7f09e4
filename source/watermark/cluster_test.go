package watermark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/hbase/put"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

var discard = slog.New(slog.DiscardHandler)

// cluster is a source in memory: live servers that take heartbeats and other writes into a WAL each, and ship it every
// half second.
type cluster struct {
	mu      sync.Mutex
	w       *Watermark
	table   string
	live    []admin.ServerName
	regions []admin.Region
	queues  []admin.Queue // of servers that are gone
	group   map[admin.ServerName]string
	wals    map[admin.ServerName][]walEntry // not shipped yet
	shipped map[admin.ServerName]int64      // write time of the last one
	moves   int
	splits  int

	mode, why string // "": Heartbeat

	disabled   bool  // the peer
	stuck      bool  // batches are under way and do not get through
	unlisted   bool  // the heartbeat table is not on the peer's list
	lying      bool  // the metrics show no backlog though there is one
	refused    error // heartbeats are
	regionsErr error
	moveErr    error
	splitErr   error
	statusErr  error

	published []checkpoint.Watermark
	untrue    []string
	log       []string
	shown
}

type walEntry struct {
	at   int64
	beat string // "": a write of someone else
}

// newCluster has n servers and a heartbeat table of two regions each.
func newCluster(n int) *cluster {
	c := &cluster{table: "default:hb", group: make(map[admin.ServerName]string), wals: make(map[admin.ServerName][]walEntry),
		shipped: make(map[admin.ServerName]int64)}
	for range n {
		c.join()
	}
	_, splits := Table("p", n)
	for i := range 2 * n {
		r := admin.Region{Table: c.table, Encoded: fmt.Sprint("region", i), Name: fmt.Append(nil, "region", i), Server: c.live[i%n]}
		if i > 0 {
			r.Start = splits[i-1]
		}
		if i < len(splits) {
			r.End = splits[i]
		}
		c.regions = append(c.regions, r)
	}
	return c
}

func (c *cluster) join() admin.ServerName {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := admin.ServerName{Host: fmt.Sprint("h", len(c.shipped)), Port: 1, StartCode: int64(len(c.shipped) + 1)}
	c.live = append(slices.Clone(c.live), s)
	c.shipped[s] = 0
	return s
}

// leave takes a server away, which has a queue left; its regions go to another one.
func (c *cluster) leave(s admin.ServerName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = slices.DeleteFunc(slices.Clone(c.live), func(x admin.ServerName) bool { return x == s })
	c.queues = append(c.queues, admin.Queue{Owner: s, Peer: "p"})
	for i := range c.regions {
		if c.regions[i].Server == s {
			c.regions[i].Server = c.live[0]
		}
	}
}

// drained: the queues of the servers that are gone are shipped.
func (c *cluster) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.queues {
		c.shipAll(q.Owner)
	}
	c.queues = nil
}

// watch runs a Watermark on c.
func (c *cluster) watch(ctx context.Context, patience, slack time.Duration) (stop func()) {
	c.w = New(Config{
		Connector: "c", Cluster: c, PeerID: "p", Mode: cmp.Or(c.mode, Heartbeat), Reason: c.why, Table: c.table, Patience: patience, Slack: slack, Stats: c,
		Log:     slog.New(slog.NewTextHandler((*logLines)(c), nil)),
		Offsets: func(context.Context) (map[string]map[int32]int64, error) { return nil, nil },
		Publish: c.publish,
	})
	c.w.sender.put = c.put
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.w.Run(ctx) })
	running.Go(func() {
		for ctx.Err() == nil {
			c.ship()
			time.Sleep(500 * time.Millisecond)
		}
	})
	return func() { cancel(); running.Wait() }
}

// logLines keeps the messages of warnings and of what tells that a proof is back.
type logLines cluster

func (l *logLines) Write(line []byte) (int, error) {
	if s := string(line); strings.Contains(s, "level=WARN") || strings.Contains(s, "proved again") {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.log = append(l.log, s)
	}
	return len(line), nil
}

// logged counts the lines with text.
func (c *cluster) logged(text string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.log {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// publish checks what is proved: no write acknowledged before it is left in a WAL.
func (c *cluster) publish(_ context.Context, p checkpoint.Watermark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.published); n > 0 && p.Time <= c.published[n-1].Time {
		c.untrue = append(c.untrue, fmt.Sprintf("watermark %d after %d", p.Time, c.published[n-1].Time))
	}
	for s, entries := range c.wals {
		if len(entries) > 0 && entries[0].at < p.Time && !p.Estimated {
			c.untrue = append(c.untrue, fmt.Sprintf("watermark %d: a write of %d is in the WAL of %s", p.Time, entries[0].at, s))
		}
	}
	c.published = append(c.published, p)
	return nil
}

// last is the last watermark published and how old it is.
func (c *cluster) last() (p checkpoint.Watermark, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.published) > 0 {
		p = c.published[len(c.published)-1]
	}
	return p, time.Since(time.UnixMilli(p.Time))
}

// status is what is shown.
func (c *cluster) status() shown {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

func (c *cluster) Watermark(ms int64, estimated bool) {}

func (c *cluster) WatermarkWaits(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = text
}

func (c *cluster) WatermarkEstimated(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reason = reason
}

// set changes what c does.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// ship writes to each server, then ships the WALs.
func (c *cluster) ship() {
	c.mu.Lock()
	var calls [][][]byte
	for _, s := range c.live {
		c.wals[s] = append(c.wals[s], walEntry{at: time.Now().UnixMilli()})
		if !c.disabled && !c.stuck {
			calls = append(calls, c.shipAll(s))
		}
	}
	c.mu.Unlock()
	for _, beats := range calls {
		c.w.Acknowledged(c.w.Begin(), beats)
	}
}

func (c *cluster) shipAll(s admin.ServerName) (beats [][]byte) {
	for _, e := range c.wals[s] {
		c.shipped[s] = e.at
		if e.beat != "" && !c.unlisted {
			beats = append(beats, []byte(e.beat))
		}
	}
	c.wals[s] = nil
	return beats
}

func (c *cluster) put(_ context.Context, s admin.ServerName, region []byte, k put.Cell) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return c.refused
	}
	held := slices.ContainsFunc(c.regions, func(r admin.Region) bool { return r.Server == s && string(r.Name) == string(region) && !r.Offline })
	if c.regionsErr != nil || !held || !slices.Contains(c.live, s) {
		return put.ErrNotServing
	}
	c.wals[s] = append(c.wals[s], walEntry{at: time.Now().UnixMilli(), beat: string(k.Value)})
	return nil
}

func (c *cluster) Client(context.Context, admin.ServerName) (*rpc.Conn, error) {
	return nil, errors.New("there are no connections")
}

func (c *cluster) RegionServers(context.Context) ([]admin.ServerName, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live, nil
}

func (c *cluster) Peer(_ context.Context, id string) (*admin.Peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &admin.Peer{ID: id, Enabled: !c.disabled}, nil
}

func (c *cluster) Queues(_ context.Context, peer string) ([]admin.Queue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queues := slices.Clone(c.queues)
	for _, s := range c.live {
		queues = append(queues, admin.Queue{Owner: s, Peer: peer})
	}
	return queues, nil
}

func (c *cluster) QueueWALs(_ context.Context, q admin.Queue) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []string{strings.ReplaceAll(q.Owner.String(), ",", "%2C") + c.group[q.Owner] + fmt.Sprintf(".%d", q.Owner.StartCode)}, nil
}

func (c *cluster) Status(context.Context) (*admin.Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &admin.Status{}
	for _, s := range c.live {
		r := admin.ReplicationLoad{PeerID: "p", LastShipped: uint64(c.shipped[s]), NextToShip: uint64(c.shipped[s])}
		if n := len(c.wals[s]); c.stuck && !c.lying && n > 0 {
			r.NextToShip = uint64(c.wals[s][n-1].at)
		}
		st.Servers = append(st.Servers, admin.ServerStatus{Name: s, Reported: time.Now().UnixMilli(), Replication: []admin.ReplicationLoad{r}})
	}
	return st, c.statusErr
}

func (c *cluster) Regions(context.Context, string) ([]admin.Region, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.regions), c.regionsErr
}

func (c *cluster) MoveRegion(_ context.Context, encoded string, to admin.ServerName) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moveErr != nil {
		return c.moveErr
	}
	for i := range c.regions {
		if c.regions[i].Encoded == encoded {
			c.regions[i].Server = to
			c.moves++
		}
	}
	return nil
}

func (c *cluster) SplitRegion(_ context.Context, r admin.Region, at []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.splitErr != nil {
		return c.splitErr
	}
	i := slices.IndexFunc(c.regions, func(x admin.Region) bool { return x.Encoded == r.Encoded })
	lower, upper := c.regions[i], c.regions[i]
	lower.End, upper.Start = at, at
	lower.Encoded, upper.Encoded = r.Encoded+"a", r.Encoded+"b"
	lower.Name, upper.Name = []byte(lower.Encoded), []byte(upper.Encoded)
	c.regions[i] = lower
	c.regions = slices.Insert(c.regions, i+1, upper)
	c.splits++
	return nil
}
