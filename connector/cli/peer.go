package cli

import (
	"context"
	"errors"
	"fmt"
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
		ID string `arg:"" help:"The peer's id."`
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
	return root.Peer.change(e, cmd.ID, "disabled", (*admin.Cluster).DisablePeer)
}

func (cmd *peerEnableCommand) Run(e *env, root *commands) error {
	return root.Peer.change(e, cmd.ID, "enabled", (*admin.Cluster).EnablePeer)
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
		if err := alone(ctx, c, e, cmd.ID, func(ctx context.Context) error { return c.RemovePeer(ctx, cmd.ID) }); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(e.stdout, "peer %s removed\n", cmd.ID); err != nil {
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
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
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
		tables := strings.Join(slices.Sorted(maps.Keys(p.Tables)), ",")
		if p.ReplicateAll {
			tables = "(all)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, state, connector, tables, p.ClusterKey)
	}
	return w.Flush()
}
