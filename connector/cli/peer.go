package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/capture"
	"github.com/waltap/waltap/source/watermark"
)

// peerTimeout bounds one peer command.
const peerTimeout = time.Minute

type peerCommands struct {
	Quorum string `help:"ZooKeeper of the source, host:port,host:port (hbase.zookeeper.quorum)." required:"" placeholder:"HOST:PORT"`
	Znode  string `help:"Its root (hbase.zookeeper.znode.parent)." default:"/hbase"`

	List    peerListCommand    `cmd:"" help:"List all replication peers of the source; those with a connector are waltap's."`
	Disable peerDisableCommand `cmd:"" help:"Stop HBase from shipping to a peer of waltap's. HBase keeps its WALs for it until it is enabled or removed."`
	Enable  peerEnableCommand  `cmd:"" help:"Let HBase ship to a peer of waltap's again."`
	Remove  peerRemoveCommand  `cmd:"" help:"Remove a peer of waltap's and its heartbeat table. HBase lets go of the WALs it kept for it; the connector needs a new full scan."`
}

type (
	peerListCommand    struct{}
	peerDisableCommand struct {
		ID string `arg:"" help:"The peer's id."`
	}
	peerEnableCommand struct {
		ID string `arg:"" help:"The peer's id."`
	}
	peerRemoveCommand struct {
		ID  string `arg:"" help:"The peer's id."`
		Yes bool   `short:"y" help:"Do not ask."`
	}
)

// open connects to the source; done closes the connection.
func (p *peerCommands) open(e *env) (ctx context.Context, c *admin.Cluster, done func(), err error) {
	ctx, cancel := context.WithTimeout(e.ctx, peerTimeout)
	c, err = admin.Open(ctx, admin.Config{
		Quorum: strings.Split(p.Quorum, ","), Root: p.Znode, Keys: admin.Keys{Quorum: "--quorum", Root: "--znode"},
	})
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	return ctx, c, func() { c.Close(); cancel() }, nil
}

// ours finds a peer that carries waltap's mark.
func ours(ctx context.Context, c *admin.Cluster, id string) error {
	peers, err := c.Peers(ctx)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if p.ID != id {
			continue
		}
		if _, marked := p.Config[capture.MarkKey]; !marked {
			return fmt.Errorf("peer %q was not made by waltap; use the hbase shell for it", id)
		}
		return nil
	}
	return fmt.Errorf("%w %q; waltap peer list shows them", errNoPeer, id)
}

var errNoPeer = errors.New("the source has no peer")

func (p *peerCommands) change(e *env, id, done string, f func(*admin.Cluster, context.Context, string) error) error {
	ctx, c, closeAll, err := p.open(e)
	if err != nil {
		return err
	}
	defer closeAll()
	if err := ours(ctx, c, id); err != nil {
		return err
	}
	if err := alone(ctx, c, e, id, func(ctx context.Context) error { return f(c, ctx, id) }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "peer %s %s\n", id, done)
	return err
}

// alone changes a peer while no connector of waltap changes one of the same source; see admin.Cluster.Alone.
func alone(ctx context.Context, c *admin.Cluster, e *env, id string, change func(context.Context) error) error {
	return c.Alone(ctx, admin.PeerLock{
		Owner:   fmt.Sprintf("waltap peer, of peer %s, process %d", id, os.Getpid()),
		Waiting: func(holder string) { fmt.Fprintln(e.stderr, "waiting for another peer change:", holder) },
	}, change)
}

func (cmd *peerDisableCommand) Run(e *env, root *commands) error {
	return root.Peer.change(e, cmd.ID, "disabled: nothing is lost and nothing is copied; HBase keeps its WALs for it until it is enabled or removed, so watch the room in its file system", (*admin.Cluster).DisablePeer)
}

func (cmd *peerEnableCommand) Run(e *env, root *commands) error {
	return root.Peer.change(e, cmd.ID, "enabled", (*admin.Cluster).EnablePeer)
}

// agree says what the removal loses, and asks.
func (cmd *peerRemoveCommand) agree(ctx context.Context, c *admin.Cluster, e *env) error {
	p, err := c.Peer(ctx, cmd.ID)
	if err != nil {
		return err
	}
	if of, probe := p.ProbeOf(); probe {
		_, err := fmt.Fprintf(e.stdout, "peer %s is a probe of peer %s and ships nothing: nothing is lost with it.\n", p.ID, of)
		return err
	}
	fmt.Fprintf(e.stdout, "peer %s of connector %s ships %s.\n", p.ID, p.Config[capture.MarkKey], tablesOf(p))
	kept, err := keptFor(ctx, c, p.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Lost with it: the changes that waltap has not acknowledged yet (%s), and all that are made until there is another peer. The connector needs a new full scan.\n", kept)
	if cmd.Yes {
		return nil
	}
	fmt.Fprintf(e.stdout, "Remove it? Type the peer's id: ")
	answer, err := bufio.NewReader(e.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != cmd.ID {
		return fmt.Errorf("peer %s stays: the answer was not its id (--yes does not ask)", cmd.ID)
	}
	return nil
}

// keptFor says in words which WALs HBase keeps for a peer.
func keptFor(ctx context.Context, c *admin.Cluster, peer string) (string, error) {
	queues, err := c.Queues(ctx, peer)
	if errors.Is(err, admin.ErrNoQueues) {
		return "how many WALs hold them is not known", nil
	}
	if err != nil {
		return "", err
	}
	wals := 0
	for _, q := range queues {
		names, err := c.QueueWALs(ctx, q)
		if err != nil {
			return "", err
		}
		wals += len(names)
	}
	return fmt.Sprintf("in up to %d WALs, in %d queues of region servers", wals, len(queues)), nil
}

// Run removes the peer first: it is what holds WALs. A heartbeat table that an earlier removal has left is dropped, too.
func (cmd *peerRemoveCommand) Run(e *env, root *commands) error {
	ctx, c, closeAll, err := root.Peer.open(e)
	if err != nil {
		return err
	}
	defer closeAll()
	gone := ours(ctx, c, cmd.ID)
	switch {
	case errors.Is(gone, errNoPeer):
	case gone != nil:
		return gone
	default:
		if err := cmd.agree(ctx, c, e); err != nil {
			return err
		}
		if err := alone(ctx, c, e, cmd.ID, func(ctx context.Context) error { return c.RemovePeer(ctx, cmd.ID) }); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(e.stdout, "peer %s removed\n", cmd.ID); err != nil {
			return err
		}
	}
	probes, err := c.RemoveProbes(ctx, cmd.ID)
	if err != nil {
		return err
	}
	for _, probe := range probes {
		gone = nil
		if _, err := fmt.Fprintf(e.stdout, "its probe %s removed\n", probe); err != nil {
			return err
		}
	}
	dropped, err := watermark.DropTable(ctx, c, cmd.ID)
	switch {
	case err != nil:
		return err
	case dropped:
		_, err = fmt.Fprintf(e.stdout, "its heartbeat table %s dropped\n", watermark.TableName(cmd.ID))
		return err
	}
	return gone
}

func (cmd *peerListCommand) Run(e *env, root *commands) error {
	ctx, c, closeAll, err := root.Peer.open(e)
	if err != nil {
		return err
	}
	defer closeAll()
	peers, err := c.Peers(ctx)
	if err != nil {
		return err
	}
	return writePeers(e.stdout, peers)
}

// writePeers writes a table, and below it what to do about probes that were left.
func writePeers(out io.Writer, peers []admin.Peer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tSTATE\tCONNECTOR\tTABLES\tCLUSTER KEY")
	for _, p := range peers {
		state := "enabled"
		if !p.Enabled {
			state = "disabled"
		}
		connector := p.Config[capture.MarkKey]
		if connector == "" {
			connector = "-"
		}
		tables := tablesOf(&p)
		if _, probe := p.ProbeOf(); probe {
			tables = "(none: a probe)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, state, connector, tables, p.ClusterKey)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range peers {
		if of, probe := peers[i].ProbeOf(); probe {
			_, err := fmt.Fprintf(out, "%s ships nothing: a start adds it for seconds to see that the region servers know peer %s. Is it still there when no start is under way, a process was killed: the connector's next start removes it, and so does: waltap peer remove %s\n", peers[i].ID, of, peers[i].ID)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func tablesOf(p *admin.Peer) string {
	if p.ReplicateAll {
		return "(all)"
	}
	return strings.Join(slices.Sorted(maps.Keys(p.Tables)), ",")
}
