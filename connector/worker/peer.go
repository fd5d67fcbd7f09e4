package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/waltap/waltap/connector/config"
	"github.com/waltap/waltap/connector/herder"
	"github.com/waltap/waltap/connector/status"
	"github.com/waltap/waltap/source/capture"
)

// Control looks at and changes the replication peer of a source; a *capture.Control.
type Control interface {
	Peer(ctx context.Context) (capture.PeerState, error)
	Disable(ctx context.Context) (changed bool, err error)
	Enable(ctx context.Context) (changed bool, err error)
	Remove(ctx context.Context) error
	// Backlog is what the source keeps for its peers.
	Backlog(ctx context.Context) (capture.Backlog, error)
	// RollSize is how large a WAL of the source gets, bytes.
	RollSize(ctx context.Context) (int64, error)
	DropSnapshots(ctx context.Context) (names []string, err error)
	Close()
}

const (
	peerTimeout = 20 * time.Second
	// backlogInterval is how often the master of a source is asked for the load of its servers.
	backlogInterval = 30 * time.Second
	// backlogStale is after what time what was seen of it is shown no more, when the source does not answer.
	backlogStale = 2 * time.Minute

	removalPause  = 5 * time.Second
	removalWaits  = 30 * time.Second // for workers to stop a deleted connector
	peerUnknown   = "unknown"
	notePaused    = "the connector is paused: its peer is disabled, HBase keeps all WALs since then until it is resumed; watch the room in the source's file system"
	noteStopped   = "the connector is stopped: its peer is disabled, HBase keeps all WALs since then until it is resumed or deleted; watch the room in the source's file system"
	noteFailed    = "no task takes the changes: HBase keeps all WALs since then; restart the tasks, or delete the connector"
	noteDisabled  = "the peer is disabled: HBase keeps all WALs since then until it is enabled"
	noteUnadapted = "hbase.peer.create is false: pausing and stopping leave the peer to you, and HBase repeats its calls, ever more seldom"
)

// lookAfterPeer brings the peer of a source to what the connector is to be, and reports it. The peer is disabled before the tasks
// stop, so that HBase does not call a closed port: it would back off for minutes.
func (u *unit) lookAfterPeer(ctx context.Context, want *wish) {
	if want.entry.kind() != herder.Source {
		return
	}
	var was peerReport
	u.w.statuses.get(keyPeer+u.name, &was)
	changed := u.peerTarget != want.entry.Target || u.enables(want, was) || u.justEnded()
	if !changed && time.Since(u.peerLooked) < peerInterval {
		return
	}
	pctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	now, err := u.peer(pctx, want, was)
	u.peerLooked = time.Now()
	if err != nil && ctx.Err() != nil {
		return
	}
	u.showPeer(now, err)
	if err != nil && u.seen.Backlog != nil && time.Since(u.backlogLooked) > backlogStale {
		u.seen.Backlog = nil // of long ago
		u.w.cfg.Status.SetPeer(u.seen)
	}
	if err != nil {
		now = was
		now.State, now.Note = peerUnknown, "the source does not answer: "+err.Error()
	} else {
		u.peerTarget = want.entry.Target
	}
	if now != was {
		if err := u.w.put(ctx, keyPeer+u.name, now); err != nil {
			u.w.retry("report the peer of a connector", err)
			u.peerTarget = ""
		}
	}
}

// enables tells whether a peer that was disabled for a pause is to be enabled now: when somebody takes the changes.
func (u *unit) enables(want *wish, was peerReport) bool {
	return was.Ours && want.entry.Target == herder.TargetRunning && u.run != nil && u.run.st.State().Connect() == "RUNNING"
}

// justEnded tells whether the connector has come to its end, and nobody was told: its peer is looked at once more before.
func (u *unit) justEnded() bool { return u.run != nil && u.run.ended() && u.run.untold }

// peer brings the peer to what it is to be and says what it is.
func (u *unit) peer(ctx context.Context, want *wish, was peerReport) (peerReport, error) {
	c, err := u.w.parse(u.name, want.entry.Props)
	if err != nil {
		return was, err
	}
	u.seen.ID, u.seen.HoldLimit = c.Source.Peer.ID, int64(c.Source.Snapshot.MaxWALHold.Seconds())
	now := peerReport{ID: c.Source.Peer.ID, Ours: was.Ours, HeldSince: was.HeldSince}
	k, err := u.w.cfg.Control(ctx, c)
	if err != nil {
		return was, err
	}
	defer k.Close()
	runs := want.entry.Target == herder.TargetRunning
	switch {
	case !runs && !was.Ours:
		if now.Ours, err = k.Disable(ctx); err != nil {
			return was, err
		}
	case u.enables(want, was):
		if _, err = k.Enable(ctx); err != nil {
			return was, err
		}
		now.Ours = false
	}
	state, err := k.Peer(ctx)
	if err != nil {
		return was, err
	}
	now.State = string(state)
	u.lookAtBacklog(ctx, k, now.State)
	failed := runs && u.run != nil && u.run.ended() && u.run.err != nil
	switch {
	case state == capture.PeerAbsent:
		now.HeldSince = 0
		return now, nil
	case !runs && !c.Source.Peer.Create:
		now.Note = noteUnadapted
	case want.entry.Target == herder.TargetPaused:
		now.Note = notePaused
	case want.entry.Target == herder.TargetStopped:
		now.Note = noteStopped
	case failed:
		now.Note = noteFailed
	case state == capture.PeerDisabled:
		now.Note = noteDisabled
	}
	if now.Note == "" {
		now.HeldSince = 0
	} else if now.HeldSince == 0 {
		now.HeldSince = time.Now().UnixMilli()
	}
	return now, nil
}

// showPeer shows in the status what was seen of the peer, or why it was not.
func (u *unit) showPeer(now peerReport, err error) {
	u.seen.Connector, u.seen.HeldSince, u.seen.Error = u.name, nil, ""
	if now.HeldSince > 0 {
		since := time.UnixMilli(now.HeldSince).UTC()
		u.seen.HeldSince = &since
	}
	switch {
	case err == nil:
		u.seen.State, u.seen.Looked = now.State, u.peerLooked.UTC()
	case u.seen.State == "":
		u.seen.State = peerUnknown
	}
	if err != nil {
		u.seen.Error = err.Error()
	}
	u.w.cfg.Status.SetPeer(u.seen)
}

// lookAtBacklog looks at what the source keeps, from time to time: it asks the master for the load of all servers. Without an answer
// nothing is known of it until the next look.
func (u *unit) lookAtBacklog(ctx context.Context, k Control, state string) {
	if state == string(capture.PeerAbsent) {
		u.seen.Backlog = nil
		return
	}
	if state == u.seen.State && time.Since(u.backlogLooked) < backlogInterval {
		return
	}
	u.backlogLooked, u.seen.Backlog = time.Now(), nil
	b, err := k.Backlog(ctx)
	if err == nil && u.rollSize == 0 {
		u.rollSize, err = k.RollSize(ctx)
	}
	if err != nil {
		u.w.retry("look at what the source keeps for its peers", err)
		return
	}
	u.seen.Backlog = &status.BacklogView{LogQueue: b.WALs, RetainedBytes: int64(b.WALs) * u.rollSize, OldestWAL: timeOf(b.Oldest), OthersOldest: timeOf(b.OthersOldest),
		LastShipped: timeOf(b.LastShipped), AgeOfLastMS: b.AgeOfLastShipped.Milliseconds(), LagMS: b.Lag.Milliseconds(), Queued: b.Queued, Reported: b.Reported}
}

func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// remove removes what deleted sources have left, for as long as this worker leads.
func (w *Worker) removeDeleted(ctx context.Context) {
	for name, props := range w.configs.beingRemoved() {
		if w.configs.get(name) != nil { // its worker died between the two records
			if _, err := w.change(ctx, func(c *configs) (string, []byte, error) { return keyConnector + name, nil, nil }); err != nil {
				w.retry("delete a connector", err)
			}
			continue
		}
		if w.removals[name].IsZero() {
			w.removals[name] = time.Now()
		}
		if w.atWork(name) && time.Since(w.removals[name]) < removalWaits {
			continue
		}
		if err := w.removeLeft(ctx, name, props); err != nil {
			w.removalFault(name, err)
			continue
		}
		delete(w.removals, name)
	}
}

// atWork tells whether a worker that is there says that it runs a task of the connector.
func (w *Worker) atWork(name string) bool {
	there := w.present()
	for _, key := range w.statuses.taskKeys(name) {
		var r report
		if w.statuses.get(key, &r) && there[r.WorkerID] {
			return true
		}
	}
	return false
}

func (w *Worker) removeLeft(ctx context.Context, name string, props map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, removalWaits)
	defer cancel()
	c, err := w.parse(name, props)
	if err != nil {
		return fmt.Errorf("read its configuration on this worker: %w", err)
	}
	if c.Source != nil && (c.Source.PeerOnDelete == "remove" || c.Source.Files.Reader == config.ReaderFiles) {
		if err := w.removeAtSource(ctx, name, c); err != nil {
			return err
		}
	}
	for _, key := range w.statuses.ofConnector(name) {
		if _, err := w.status.append(ctx, key, nil, 0); err != nil {
			return err
		}
	}
	_, err = w.change(ctx, func(c *configs) (string, []byte, error) { return keyRemoving + name, nil, nil })
	return err
}

// removeAtSource removes the peer of a deleted source, unless it is to be kept, and the snapshots that it has made. A source that no worker
// has ever reached has none that this group has made.
func (w *Worker) removeAtSource(ctx context.Context, name string, c *config.Connector) error {
	var seen peerReport
	w.statuses.get(keyPeer+name, &seen)
	k, err := w.cfg.Control(ctx, c)
	switch {
	case err != nil && seen.ID == "":
		w.log.Warn("the source of a deleted connector does not answer, and never did: if it has a peer of this connector, waltap peer remove removes it", "connector", name, "peer", c.Source.Peer.ID, "error", err)
		return nil
	case err != nil:
		return err
	}
	defer k.Close()
	dropped, err := k.DropSnapshots(ctx)
	for _, s := range dropped {
		w.log.Info("a snapshot of a deleted connector is deleted", "connector", name, "snapshot", s)
	}
	if err != nil || c.Source.PeerOnDelete != "remove" {
		return err
	}
	if err := k.Remove(ctx); err != nil {
		return err
	}
	// Shown for a while: that a source is shown no more says that nobody looks after its peer.
	w.cfg.Status.SetPeer(status.PeerView{Connector: name, ID: c.Source.Peer.ID, State: string(capture.PeerAbsent), Looked: time.Now().UTC()})
	w.log.Info("the peer of a deleted connector is removed (hbase.peer.on.delete: remove)", "connector", name, "peer", c.Source.Peer.ID)
	return nil
}
