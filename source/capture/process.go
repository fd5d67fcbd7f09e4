package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waltap/waltap/checkpoint"
	"github.com/waltap/waltap/internal/filesystem"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/internal/kafka"
	"github.com/waltap/waltap/internal/registry"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/source"
	"github.com/waltap/waltap/source/hfile"
	"github.com/waltap/waltap/source/scan"
	"github.com/waltap/waltap/source/tasks"
)

// lookInterval is how often a process looks what the others have written.
const lookInterval = time.Second

// process is this process of a connector. It scans the shards of its tasks, and captures while it leads.
type process struct {
	cfg     Config
	cluster *admin.Cluster // nil: there is none, see Config.detached
	id      schema.UUID    // of the source cluster
	state   state
	tasks   int // into which a scan is dealt
	planned int // shards of the last scan that was seen; of work

	fs    filesystem.FS // of the source; nil: it is not known
	files *hfile.Source // on it; nil likewise

	plans  news                         // told when shards were planned
	idle   news                         // told when this process has nothing to scan
	member atomic.Pointer[tasks.Member] // in this generation; nil: between two
	scans  *source.Publisher            // of scan records
}

// Run takes part in the capture until ctx ends (nil), the scan of an initial_only capture is complete or its end time has
// come (nil), or it cannot go on (an error that says what to do).
func Run(ctx context.Context, cfg Config) error {
	err := run(ctx, cfg)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func run(ctx context.Context, cfg Config) error {
	p := &process{cfg: cfg}
	cfg.Stats.Starting("connecting to the source")
	if err := p.openSource(ctx); err != nil {
		return err
	}
	defer p.closeSource()
	tables, err := p.listTables(ctx)
	if err != nil {
		return err
	}
	cfg.Stats.Starting("preparing topics")
	if err := p.ensureTopics(ctx, tables); err != nil {
		return err
	}
	store, err := checkpoint.Open(ctx, cfg.Kafka, cfg.offsetsTopic())
	if err != nil {
		return fmt.Errorf("open the offsets topic: %w", err)
	}
	defer store.Close()
	p.state = state{store: store, connector: cfg.Connector}
	if err := p.countTasks(ctx); err != nil {
		return err
	}
	settings := cfg.Producer
	settings.Fence = p.fence
	producer := cfg.Kafka.NewProducer(settings)
	defer producer.Close()
	p.scans = source.NewPublisher(producer, 0, cfg.Stats.Acked)
	cfg.Stats.Starting("joining the connector's other processes")
	return tasks.Run(ctx, tasks.Config{
		Client: cfg.Kafka, Store: store, Connector: cfg.Connector, Topic: schema.TasksTopic(cfg.TopicPrefix), Wants: cfg.Owned, Log: cfg.Log,
	}, tasks.Roles{
		Lead: func(lctx context.Context, l *tasks.Leadership) error {
			defer func() {
				if lctx.Err() != nil && ctx.Err() == nil { // the watermark is another process's from now on: what is shown here would only grow old
					cfg.Stats.Watermark(0, false)
					cfg.Stats.WatermarkWaits("")
					cfg.Stats.WatermarkEstimated("")
				}
			}()
			for {
				c := &Capture{process: p, leadership: l, altered: make(chan struct{}, 1)}
				err := c.run(lctx)
				if !errors.Is(err, errHold) || lctx.Err() != nil {
					return err
				}
				cfg.Log.Info("a scan was asked for during which the changes wait: the peer is held", "was_ended_by", err)
			}
		},
		Work: p.work,
	})
}

// openSource opens what the source is: an HBase, its files, or only snapshots.
func (p *process) openSource(ctx context.Context) error {
	if p.cfg.detached() {
		return p.openDetached()
	}
	err := p.open(ctx)
	if err == nil {
		err = p.checkVersion(ctx)
	}
	if err == nil {
		err = p.openFiles()
	}
	if err != nil {
		p.closeSource()
	}
	return err
}

func (p *process) closeSource() {
	p.closeFiles()
	if p.cluster != nil {
		p.cluster.Close()
	}
}

// open connects to the source within ConnectTimeout.
func (p *process) open(ctx context.Context) error {
	octx, cancel := context.WithTimeout(ctx, p.cfg.ConnectTimeout)
	defer cancel()
	cluster, err := admin.Open(octx, p.cfg.Source)
	if err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	p.cluster = cluster
	if p.id, err = schema.ParseUUID(cluster.ID()); err != nil {
		cluster.Close()
		p.cluster = nil
		return fmt.Errorf("read the source's cluster id: %w", err)
	}
	return nil
}

// countTasks looks at the task topic: the number of tasks is that of its partitions, also where it was created with another one.
func (p *process) countTasks(ctx context.Context) error {
	topic := schema.TasksTopic(p.cfg.TopicPrefix)
	info, err := p.cfg.Kafka.Topic(ctx, topic)
	if err != nil {
		return fmt.Errorf("prepare topic %s: %w", topic, err)
	}
	p.tasks = int(info.Partitions)
	return nil
}

// fence keeps scan records back that come too late: the peer may have been enabled.
func (p *process) fence() error {
	m := p.member.Load()
	if m == nil {
		return errors.New("the tasks of this process have been given back")
	}
	return m.Fence()
}

// work scans what the leader has planned for the tasks of this process, as long as the generation lasts.
func (p *process) work(ctx context.Context, m *tasks.Member) error {
	p.member.Store(m)
	defer p.member.Store(nil)
	w := worker{process: p, Member: m, dropped: make(map[string]int64)}
	return p.keepLooking(ctx, w.look)
}

// keepLooking looks again at once when look wants it, else when shards were planned or lookInterval has passed.
func (p *process) keepLooking(ctx context.Context, look func(ctx context.Context) (again bool, err error)) error {
	for ctx.Err() == nil {
		changed := p.plans.wait()
		again, err := look(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && !kafka.Retriable(err) && !retriable(err) && !registry.Retriable(err):
			return err
		case err != nil:
			p.cfg.Stats.Retry(err)
		}
		if again && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(lookInterval):
		}
	}
	return nil
}

// worker is a process at work in one generation.
type worker struct {
	*process
	*tasks.Member
	dropped map[string]int64 // tables that are gone, by epoch
	shown   bool
}

// look scans what there is to scan, and tells whether to look again at once.
func (w *worker) look(ctx context.Context) (again bool, err error) {
	if err := w.state.store.Refresh(ctx); err != nil {
		return false, err
	}
	tables, shards, err := w.todo(ctx)
	if err != nil {
		return false, err
	}
	if len(shards) == 0 {
		if err := w.Idle(ctx); err != nil {
			return false, err
		}
		w.idle.tell()
		w.show("")
		return false, nil
	}
	if first, err := w.Busy(ctx); first || err != nil {
		return true, err
	}
	w.show(fmt.Sprintf("%d shards of %d tables, for the leading process", len(shards), len(tables)))
	err = w.scan(ctx, tables, shards)
	var te *scan.TableError
	if errors.As(err, &te) && w.wasDropped(ctx, te.Table) {
		for _, t := range tables {
			if t.Name == te.Table {
				w.dropped[t.Name] = t.Epoch
			}
		}
		w.cfg.Stats.Retry(err)
		err = nil
	}
	return true, err
}

// scan scans until the shards are done, or the leader has begun a new epoch of one of the tables.
func (w *worker) scan(ctx context.Context, tables []scan.Table, shards []scan.Shard) error {
	sctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for sleep(sctx, lookInterval) == nil {
			if w.renewed(sctx, tables) {
				cancel()
			}
		}
	})
	err := w.scanner(w.Generation).Scan(sctx, tables, shards)
	renewed := sctx.Err() != nil && ctx.Err() == nil
	cancel()
	watching.Wait()
	if renewed {
		return nil // the next look finds what is to be scanned instead
	}
	return err
}

// renewed tells whether a table has another epoch by now, or its scan is to end. What cannot be read now is read a second later.
func (w *worker) renewed(ctx context.Context, tables []scan.Table) bool {
	if err := w.state.store.Refresh(ctx); err != nil {
		return false
	}
	return slices.ContainsFunc(tables, func(t scan.Table) bool {
		st, known, err := w.state.table(t.Name)
		return err == nil && known && (st.Epoch != t.Epoch || st.Stopped)
	})
}

// todo lists the shards of this process's tasks that are not scanned, in the order to scan them, and their tables.
func (w *worker) todo(ctx context.Context) (tables []scan.Table, shards []scan.Shard, err error) {
	plans, err := w.state.shards()
	if err != nil {
		return nil, nil, err
	}
	mine := make(map[int]bool, len(w.Tasks))
	for _, t := range w.Tasks {
		mine[t] = true
	}
	planned, left := 0, 0
	for table, plan := range plans {
		st, known, err := w.state.table(table)
		if err != nil {
			return nil, nil, err
		}
		if !known || st.Captured || w.dropped[table] == st.Epoch {
			continue
		}
		plan = slices.DeleteFunc(plan, func(sh scan.Shard) bool { return sh.Epoch != st.Epoch })
		ranges, err := w.state.Ranges(table, st.Epoch)
		if err != nil {
			return nil, nil, err
		}
		own := scan.Left(plan, ranges)
		planned, left = planned+len(plan), left+len(own)
		if !w.Leads { // else the leader tells
			w.cfg.Stats.Parts(table, scan.Parts(plan, ranges, partsOf(len(plans))))
		}
		own = slices.DeleteFunc(own, func(sh scan.Shard) bool { return !mine[sh.Task] })
		if len(own) == 0 {
			continue
		}
		t, err := w.table(ctx, table, st)
		if err != nil {
			return nil, nil, err
		}
		tables, shards = append(tables, t), append(shards, own...)
	}
	if planned > 0 {
		w.planned = planned
	}
	if w.planned > 0 && !w.Leads { // else the leader tells
		w.cfg.Stats.Shards(w.planned-left, w.planned)
	}
	scan.Sort(shards)
	return tables, shards, nil
}

// table is what the leader has decided on a table, which must agree with this process's configuration.
func (w *worker) table(ctx context.Context, name string, st tableState) (scan.Table, error) {
	if was, is := st.Scope, w.cfg.Scope.String(); was != is {
		return scan.Table{}, fmt.Errorf("table %s: another process of this connector runs with another configuration (scope: %s; here: %s): start all of them with the same",
			name, scopeText(was), scopeText(is))
	}
	topic, err := schema.DataTopic(w.cfg.TopicPrefix, name)
	if err != nil {
		return scan.Table{}, err
	}
	encoding, err := w.encoding(ctx, topic)
	if err != nil {
		return scan.Table{}, err
	}
	w.scans.Route(name, topic, st.Partitions, encoding)
	return scan.Table{Name: name, Families: st.Families, Epoch: st.Epoch, Scope: &w.cfg.Scope}, nil
}

// show tells what a process does that does not lead; what the connector does, the leader tells.
func (w *worker) show(scanning string) {
	switch {
	case w.Leads:
	case scanning != "":
		w.cfg.Stats.Scanning(scanning)
		w.shown = false
	case !w.shown:
		w.cfg.Stats.Streaming("standing by, another process of this connector leads")
		w.shown = true
	}
}

func (p *process) scanner(generation int32) *scan.Scanner {
	var from scan.Source // not p.files: a nil *hfile.Source would be a Source that is not nil
	if p.cfg.SnapshotReader == ReaderFiles {
		from = p.files
	}
	return scan.New(scan.Config{
		Cluster: p.cluster, Source: from, Connector: p.cfg.Connector, Version: p.cfg.Version, ClusterID: p.id,
		Publisher: p.scans, Progress: &p.state, Stats: p.cfg.Stats, Generation: generation,
		Threads: p.cfg.SnapshotThreads, ScannersPerServer: p.cfg.ScannersPerServer, FetchBytes: p.cfg.FetchBytes,
		EndTime:          p.cfg.EndTime,
		ProgressInterval: p.cfg.ProgressInterval, ShardBytes: p.cfg.ShardBytes, Limiter: p.cfg.Limiter,
	})
}

func (p *process) wasDropped(ctx context.Context, name string) bool {
	if p.cfg.detached() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, watchInterval)
	defer cancel()
	_, err := p.cluster.Table(ctx, name)
	return errors.Is(err, admin.ErrTableNotFound)
}

// news wakes the roles of this process that wait for each other's words. Those of other processes are seen by looking.
type news struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed by the next tell.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
