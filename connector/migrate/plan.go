package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/tables"
	"github.com/waltap/waltap/internal/crash"
	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/source/capture"
	"github.com/waltap/waltap/source/tasks"
	"github.com/waltap/waltap/source/watermark"
)

// Plan is everything that a migration will create or alter, and how long it may take.
type Plan struct {
	Name        string     `json:"name"`
	Source      PlanEnd    `json:"source"`
	Destination PlanEnd    `json:"destination"`
	Waves       []PlanWave `json:"waves"`
}

// PlanEnd is a cluster.
type PlanEnd struct {
	ID      string `json:"id"`
	Quorum  string `json:"quorum"`
	Root    string `json:"root"`
	Version string `json:"version"`
	Servers int    `json:"servers"`
}

// PlanWave is the plan of a wave.
type PlanWave struct {
	Name   string      `json:"name"`
	Phase  string      `json:"phase"` // of a wave that was started
	Tables []PlanTable `json:"tables"`
	Items  []PlanItem  `json:"items"`
	Size
	// Rate is what the estimate goes by, bytes a second, and RateFrom where it is from.
	Rate     int64  `json:"bytesPerSecond"`
	RateFrom string `json:"rateFrom"`
	Estimate int64  `json:"secondsToCopy"`
}

// Size is what the master's load reports say.
type Size struct {
	Regions        int   `json:"regions"`
	StoreMB        int64 `json:"storeMB"`        // of HFiles on disk
	UncompressedMB int64 `json:"uncompressedMB"` // that they hold
	MemStoreMB     int64 `json:"memStoreMB"`
}

// bytes that a scan is likely to read.
func (s *Size) bytes() int64 { return (max(s.StoreMB, s.UncompressedMB) + s.MemStoreMB) << 20 }

func (s *Size) add(o Size) {
	s.Regions, s.StoreMB, s.UncompressedMB, s.MemStoreMB = s.Regions+o.Regions, s.StoreMB+o.StoreMB, s.UncompressedMB+o.UncompressedMB, s.MemStoreMB+o.MemStoreMB
}

// PlanTable is a table of a wave.
type PlanTable struct {
	Source string `json:"source"`
	Target string `json:"target"`
	Size
}

// What becomes of a PlanItem.
const (
	ActionCreate  = "create"
	ActionAlter   = "alter"
	ActionKeep    = "keep"    // it is there, as it should be
	ActionRefused = "refused" // the step does nothing before this is settled
	ActionNote    = "note"
)

// PlanItem is one thing that a step creates, alters or finds.
type PlanItem struct {
	Step   string `json:"step"`   // start, cutover, cutover --reverse
	Side   string `json:"side"`   // source, destination, Kafka
	Action string `json:"action"` // see ActionCreate …
	What   string `json:"what"`
	Detail string `json:"detail,omitempty"`
}

const (
	stepStart   = "start"
	stepCutover = "cutover"
	stepReverse = "cutover --reverse"

	sideSource      = "source"
	sideDestination = "destination"
	sideKafka       = "Kafka"
)

// Refused tells whether a step will not begin.
func (p *Plan) Refused() bool {
	for _, w := range p.Waves {
		if slices.ContainsFunc(w.Items, func(i PlanItem) bool { return i.Action == ActionRefused }) {
			return true
		}
	}
	return false
}

// Plan finds out what the waves of these names, or all, will create and alter. It changes nothing.
func (m *Migration) Plan(ctx context.Context, e Env, waves []string) (_ *Plan, err error) {
	chosen, err := m.find(waves)
	if err != nil {
		return nil, err
	}
	s, err := m.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.openStore(ctx, true); err != nil {
		return nil, err
	}
	p := &planner{session: s, plan: &Plan{Name: s.Name}}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	if err := p.checkWaves(); err != nil {
		return nil, err
	}
	for _, w := range chosen {
		if err := p.wave(ctx, w); err != nil {
			return nil, fmt.Errorf("plan wave %s: %w", w.Name, err)
		}
		crash.Point(crash.Planned)
	}
	return p.plan, nil
}

// planner is a Plan in the making, with what it has read once.
type planner struct {
	*session
	plan   *Plan
	tables []admin.Table // of the source
	peers  []admin.Peer  // of the source
	sizes  map[string]Size
	topics map[string]bool
}

func (p *planner) look(ctx context.Context) error {
	w := p.Waves[0]
	from, err := p.src.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	to, err := p.dst.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the destination: %w", err)
	}
	p.plan.Source, p.plan.Destination = planEnd(p.src, w.Source.Source.HBase, from), planEnd(p.dst, w.Sink.Sink.HBase, to)
	p.sizes = sizesOf(from)
	if p.tables, err = p.src.Tables(ctx, false); err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	if p.peers, err = p.src.Peers(ctx); err != nil {
		return fmt.Errorf("look at the source: %w", err)
	}
	topics, err := p.kafka.Topics(ctx)
	p.topics = make(map[string]bool)
	for _, t := range topics {
		p.topics[t.Name] = true
	}
	return err
}

func planEnd(c *admin.Cluster, h config.HBase, st *admin.Status) PlanEnd {
	return PlanEnd{ID: c.ID(), Quorum: strings.Join(h.ZooKeeperQuorum, ","), Root: h.ZNodeParent, Version: st.Version, Servers: len(st.Servers)}
}

// sizesOf sums the regions up by table. A region's name begins with that of its table and a comma.
func sizesOf(st *admin.Status) map[string]Size {
	out := make(map[string]Size)
	for _, server := range st.Servers {
		for _, r := range server.Regions {
			name, _, _ := bytes.Cut(r.Name, []byte(","))
			table := schema.NormalizeTable(string(name))
			s := out[table]
			s.add(Size{Regions: 1, StoreMB: int64(r.StoreFileMB), UncompressedMB: int64(r.UncompressedMB), MemStoreMB: int64(r.MemStoreMB)})
			out[table] = s
		}
	}
	return out
}

// checkWaves refuses waves that do not share the tables out: each is in one.
func (p *planner) checkWaves() error { return checkWaves(p.Migration, p.tables) }

func checkWaves(m *Migration, all []admin.Table) error {
	if m.Waves[0].whole {
		return nil
	}
	source := m.sourceOfFile()
	var errs []error
	for _, t := range all {
		name := t.FullName()
		if watermark.IsTable(name) {
			continue
		}
		var in []string
		for _, w := range m.Waves {
			if w.Source.Source.Tables.Match(name) {
				in = append(in, w.Name)
			}
		}
		chosen := source != nil && source.Tables.Match(name)
		switch {
		case len(in) > 1:
			errs = append(errs, fmt.Errorf("table %s is in the waves %s: name it in one", name, strings.Join(in, " and ")))
		case chosen && len(in) == 0:
			errs = append(errs, fmt.Errorf("table %s matches table.include.list and is in no wave: add it to one, or to table.exclude.list", name))
		case !chosen && len(in) == 1:
			errs = append(errs, fmt.Errorf("table %s is in wave %s and does not match table.include.list: add it there, or take it off the wave", name, in[0]))
		}
	}
	return errors.Join(errs...)
}

func (m *Migration) sourceOfFile() *config.Source {
	for i := range m.cfg.Connectors {
		if s := m.cfg.Connectors[i].Source; s != nil {
			return s
		}
	}
	return nil
}

// choose lists the tables of a wave, by name.
func (w *Wave) choose(all []admin.Table) ([]admin.Table, error) {
	filter := w.Source.Source.Tables
	there := make(map[string]bool)
	var out []admin.Table
	for _, t := range all {
		name := t.FullName()
		there[name] = true
		if filter.Match(name) && !watermark.IsTable(name) {
			out = append(out, t)
		}
	}
	var missing []string
	for _, n := range filter.Named() {
		if !there[n] {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the source has no table %s: correct table.include.list", strings.Join(missing, ", "))
	}
	if len(out) == 0 {
		return nil, errors.New("no table of the source matches")
	}
	return out, nil
}

func (p *planner) wave(ctx context.Context, w *Wave) error {
	st, err := p.store.load(ctx, w.Name)
	if err != nil {
		return err
	}
	chosen, err := w.choose(p.tables)
	if err != nil {
		return err
	}
	out := PlanWave{Name: w.Name, Phase: phaseOf(st)}
	for _, t := range chosen {
		name := t.FullName()
		out.Tables = append(out.Tables, PlanTable{Source: name, Target: w.targetName(name), Size: p.sizes[name]})
		out.add(p.sizes[name])
	}
	if out.Rate, out.RateFrom, err = p.rate(ctx, w); err != nil {
		return err
	}
	out.Estimate = out.bytes() / out.Rate
	p.sourceItems(w, chosen, &out)
	if err := p.destinationItems(ctx, w, &out); err != nil {
		return err
	}
	if err := p.kafkaItems(w, chosen, &out); err != nil {
		return err
	}
	p.cutoverItems(w, &out)
	p.plan.Waves = append(p.plan.Waves, out)
	return nil
}

func (w *PlanWave) item(step, side, action, what, detail string, args ...any) {
	w.Items = append(w.Items, PlanItem{step, side, action, what, fmt.Sprintf(detail, args...)})
}

func (p *planner) sourceItems(w *Wave, chosen []admin.Table, out *PlanWave) {
	s := w.Source.Source
	for _, t := range chosen {
		p.scopeItem(w, t, out)
	}
	what := "peer " + s.Peer.ID
	switch i := slices.IndexFunc(p.peers, func(x admin.Peer) bool { return x.ID == s.Peer.ID }); {
	case i < 0:
		out.item(stepStart, sideSource, ActionCreate, what, "lists these tables only; held while they are scanned, for at most %s: the source keeps its WALs meanwhile", s.Snapshot.MaxWALHold)
	case p.peers[i].Config[capture.MarkKey] == w.Source.Name:
		out.item(stepStart, sideSource, ActionKeep, what, "it is this connector's")
	default:
		out.item(stepStart, sideSource, ActionRefused, what, "it is there and not this connector's: choose another hbase.peer.id")
	}
	if s.Watermark.Mode == config.WatermarkHeartbeat {
		p.heartbeatItem(w, out)
	}
	out.item(stepStart, "ZooKeeper", ActionCreate, "znode "+s.Peer.ZNodeParent, "on %s: the cluster that the peer replicates to, which is waltap", strings.Join(s.Peer.ZooKeeperQuorum, ","))
	out.item(stepStart, sideSource, ActionNote, "connections", "the source's region servers connect to %s, at the port of hbase.peer.listen: %s", s.Peer.AdvertisedHost, s.Peer.Listen)
}

// scopeItem says which families of a table are to be replicated from now on.
func (p *planner) scopeItem(w *Wave, t admin.Table, out *PlanWave) {
	s := w.Source.Source
	var raise, alter, would []string
	for _, f := range t.Families {
		if f.Scope() != 0 {
			continue
		}
		raise, alter = append(raise, f.Name), append(alter, fmt.Sprintf("{NAME => '%s', %s => '1'}", f.Name, admin.ScopeAttribute))
		for _, o := range p.peers {
			if o.ID != s.Peer.ID && o.Ships(t.FullName(), f.Name) && !slices.Contains(s.ReplicationScopeAllowPeers, o.ID) && !slices.Contains(would, o.ID) {
				would = append(would, o.ID)
			}
		}
	}
	what := fmt.Sprintf("table %s, %s of family %s", t.FullName(), admin.ScopeAttribute, strings.Join(raise, ", "))
	switch {
	case len(raise) == 0:
	case s.ReplicationScope == config.ScopeRequire && len(raise) == len(t.Families):
		out.item(stepStart, sideSource, ActionRefused, what, "it is 0, so HBase ships nothing: run in the hbase shell: alter '%s', %s  (or set hbase.replication.scope: set)", t.FullName(), strings.Join(alter, ", "))
	case s.ReplicationScope == config.ScopeRequire:
		out.item(stepStart, sideSource, ActionNote, what, "it is 0: these families are not copied; to copy them run in the hbase shell: alter '%s', %s", t.FullName(), strings.Join(alter, ", "))
	case len(would) > 0:
		out.item(stepStart, sideSource, ActionRefused, what, "peer %s would begin to ship the table too: give that peer a table list, or allow it by hbase.replication.scope.allow.peers", strings.Join(would, ", "))
	default:
		out.item(stepStart, sideSource, ActionAlter, what, "0 to 1; the clean-up puts it back")
	}
}

func (p *planner) heartbeatItem(w *Wave, out *PlanWave) {
	s := w.Source.Source
	name := watermark.TableName(s.Peer.ID)
	if slices.ContainsFunc(p.tables, func(t admin.Table) bool { return t.FullName() == name }) {
		out.item(stepStart, sideSource, ActionKeep, "table "+name, "heartbeats of the watermark")
		return
	}
	for _, o := range p.peers {
		if o.ID != s.Peer.ID && o.Ships(name, watermark.Family) && !slices.Contains(s.ReplicationScopeAllowPeers, o.ID) {
			out.item(stepStart, sideSource, ActionNote, "table "+name, "not created, as peer %s would ship it too: the watermark will be an estimate, and the gate waits for it longer; give that peer a table list", o.ID)
			return
		}
	}
	out.item(stepStart, sideSource, ActionCreate, "table "+name, "heartbeats of the watermark, one cell a second to each region server")
}

// destinationItems compares the tables with what the destination has.
func (p *planner) destinationItems(ctx context.Context, w *Wave, out *PlanWave) error {
	f, err := tables.Export(ctx, p.src, tables.SelectionOf(w.Source.Source, w.Sink.Sink))
	if err != nil {
		return err
	}
	differences, err := tables.Diff(ctx, f, p.dst, tables.Options{Mapping: &w.Sink.Sink.Mapping})
	if err != nil {
		return err
	}
	for i := range differences {
		d := &differences[i]
		out.Items = append(out.Items, tableItem(d, w.Sink.Sink.CreateTables))
	}
	out.item(stepStart, sideDestination, ActionAlter, "these tables, hbase.hstore.time.to.purge.deletes", "at least %s, so that a late put stays hidden by a newer delete; the clean-up puts it back", w.Sink.Sink.LatePutWindow)
	return nil
}

// tableItem is a difference as an item.
func tableItem(d *tables.Difference, create bool) PlanItem {
	item := PlanItem{Step: stepStart, Side: sideDestination, What: d.What(), Detail: strings.TrimSuffix(d.Why+"; "+d.Remedy, "; ")}
	switch d.Action {
	case tables.Same:
		item.Action = ActionKeep
	case tables.Add:
		item.Action = ActionCreate
		if !create {
			item.Action, item.Detail = ActionRefused, "the destination lacks it: create it, or set hbase.table.create: true"
		}
	case tables.Refused:
		item.Action = ActionRefused
	case tables.Alter, tables.Decide:
		item.Action, item.Detail = ActionNote, fmt.Sprintf("%s at the destination, %s at the source; it stays: waltap schema apply can change it", textOr(d.Have, "not set"), textOr(d.Want, "not set"))
	default:
		item.Action = ActionNote
		if item.Detail == "" {
			item.Detail = string(d.Action)
		}
	}
	if item.Action == ActionCreate && item.Detail == "" && d.Want != "" {
		item.Detail = d.Want
	}
	return item
}

func textOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

func (p *planner) kafkaItems(w *Wave, chosen []admin.Table, out *PlanWave) error {
	s, prefix := w.Source.Source, w.prefix()
	topic := func(name, detail string) {
		switch {
		case p.topics[name]:
			out.item(stepStart, sideKafka, ActionKeep, "topic "+name, "%s", detail)
		case !s.TopicCreation.Enable:
			out.item(stepStart, sideKafka, ActionRefused, "topic "+name, "it is missing, and topic.creation.enable is false: create it (docs/topics.md)")
		default:
			out.item(stepStart, sideKafka, ActionCreate, "topic "+name, "%s", detail)
		}
	}
	for _, t := range chosen {
		name, err := schema.DataTopic(prefix, t.FullName())
		if err != nil {
			return err
		}
		topic(name, fmt.Sprintf("changes of %s, %d partitions", t.FullName(), s.TopicCreation.Partitions))
	}
	offsets, _ := p.cfg.OffsetsTopic(prefix)
	topic(offsets, "progress")
	topic(schema.TasksTopic(prefix), "shares the scan out")
	topic(schema.TablesTopic(prefix), "descriptors of tables")
	topic(schema.SchemaTopic(prefix), "schema of the records")
	topic(schema.WatermarksTopic(prefix), "watermarks")
	topic(sink.SeenTopic, "what each sink knows of its topics")
	topic(StateTopic, "the state of migrations")
	out.item(stepStart, sideKafka, ActionCreate, "consumer group "+w.Sink.Sink.GroupID, "of the sink")
	out.item(stepStart, sideKafka, ActionCreate, "consumer group "+tasks.Group(w.Source.Name), "of the source's processes")
	return nil
}

func (p *planner) cutoverItems(w *Wave, out *PlanWave) {
	out.item(stepCutover, sideSource, ActionAlter, "these tables, READONLY", "true, so that nobody writes to them; cutover --undo puts it back")
	if p.fence == config.FenceDisable {
		out.item(stepCutover, sideSource, ActionAlter, "these tables", "disabled once the final verify is through (migration.fence: disable)")
	}
	out.item(stepReverse, sideDestination, ActionAlter, "these tables, "+admin.ScopeAttribute, "1 for all families, so that the source can follow them; the clean-up puts it back")
	r := w.reversePeer(1)
	out.item(stepReverse, sideDestination, ActionCreate, "peer "+r, "lists these tables only")
	out.item(stepReverse, sideDestination, ActionCreate, "table "+watermark.TableName(r), "heartbeats of its watermark")
	out.item(stepReverse, sideKafka, ActionCreate, "topics of "+w.reversePrefix(1), "changes made at the destination, and their progress")
}

// duration of an estimate.
func (w *PlanWave) duration() time.Duration { return time.Duration(w.Estimate) * time.Second }
