package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/waltap/waltap/internal/check"
	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
	"github.com/waltap/waltap/internal/hbase/zookeeper"
)

// Action is something that a user may do.
type Action = pb.Permission_Action

// The actions that waltap needs.
const (
	Read   = pb.Permission_READ
	Write  = pb.Permission_WRITE
	Create = pb.Permission_CREATE
	Admin  = pb.Permission_ADMIN
)

// Grant is the right to some actions on a table; Table "" means the whole cluster.
type Grant struct {
	Table   string
	Actions []Action
}

// letters are what the HBase shell's grant writes for actions.
var letters = map[Action]string{Read: "R", Write: "W", Create: "C", Admin: "A"}

// Command is what an administrator types in the HBase shell to give a user the right.
func (g Grant) Command(user string) string {
	rights := ""
	for _, a := range g.Actions {
		rights += letters[a]
	}
	if g.Table == "" {
		return fmt.Sprintf("grant '%s', '%s'", user, rights)
	}
	return fmt.Sprintf("grant '%s', '%s', '%s'", user, rights, g.Table)
}

func (g Grant) String() string {
	text := ""
	for i, a := range g.Actions {
		if i > 0 {
			text += ", "
		}
		text += a.String()
	}
	if g.Table == "" {
		return text + " on the cluster"
	}
	return text + " on " + g.Table
}

func (g Grant) toProto() *pb.Permission {
	if g.Table == "" {
		return &pb.Permission{Type: pb.Permission_Global.Enum(), GlobalPermission: &pb.GlobalPermission{Action: g.Actions}}
	}
	return &pb.Permission{Type: pb.Permission_Table.Enum(), TablePermission: &pb.TablePermission{TableName: tableNameProto(g.Table), Action: g.Actions}}
}

// Security tells whether the cluster wants Kerberos, and whether it looks at rights at all (1.2).
func (c *Cluster) Security(ctx context.Context) (kerberos, rights bool, err error) {
	var resp pb.SecurityCapabilitiesResponse
	err = c.callMaster(ctx, masterCall{method: "getSecurityCapabilities", req: &pb.SecurityCapabilitiesRequest{}, resp: &resp, repeatable: true})
	if err != nil {
		return false, false, fmt.Errorf("ask for the cluster's security: %w", err)
	}
	has := resp.GetCapabilities()
	return slices.Contains(has, pb.SecurityCapabilitiesResponse_SECURE_AUTHENTICATION), slices.Contains(has, pb.SecurityCapabilitiesResponse_AUTHORIZATION), nil
}

// User is the name by which the cluster knows us.
func (c *Cluster) User() string { return c.cfg.User }

// Missing returns those of the grants that our user does not have. HBase before 2.2 has no such call: an error for which
// CannotAsk holds.
func (c *Cluster) Missing(ctx context.Context, grants []Grant) ([]Grant, error) {
	req := &pb.HasUserPermissionsRequest{UserName: []byte(c.cfg.User)}
	for _, g := range grants {
		req.Permission = append(req.Permission, g.toProto())
	}
	var resp pb.HasUserPermissionsResponse
	if err := c.callMaster(ctx, masterCall{method: "HasUserPermissions", req: req, resp: &resp, repeatable: true}); err != nil {
		return nil, fmt.Errorf("ask for the rights of user %s: %w", c.cfg.User, err)
	}
	if n := len(resp.GetHasUserPermission()); n != len(grants) {
		return nil, fmt.Errorf("ask for the rights of user %s: %d answers to %d questions", c.cfg.User, n, len(grants))
	}
	var missing []Grant
	for i, has := range resp.GetHasUserPermission() {
		if !has {
			missing = append(missing, grants[i])
		}
	}
	return missing, nil
}

// CannotAsk tells whether err says that the cluster has no such call.
func CannotAsk(err error) bool {
	return rpc.IsRemote(err, "UnsupportedOperationException") || rpc.IsRemote(err, "UnknownProtocolException")
}

// CheckGrants looks whether our user has all of the grants, as results of a check.
func (c *Cluster) CheckGrants(ctx context.Context, of *check.Check, grants []Grant) []check.Result {
	_, looks, err := c.Security(ctx)
	if err == nil && !looks {
		return []check.Result{of.Right("", "HBase checks no rights: everybody may do everything")}
	}
	var missing []Grant
	if err == nil {
		missing, err = c.Missing(ctx, grants)
	}
	switch {
	case err != nil && CannotAsk(err):
		return []check.Result{of.Unknown("", "this version of HBase cannot be asked")}
	case err != nil:
		return []check.Result{of.Error("", err)}
	case len(missing) == 0:
		return []check.Result{of.Right("user "+c.User(), "has all %d that are needed", len(grants))}
	}
	var results []check.Result
	for _, g := range missing {
		results = append(results, of.Fail("user "+c.User(), "it lacks "+g.String(), "In the hbase shell, as an administrator: "+g.Command(c.User())))
	}
	return results
}

// Ping asks a region server for its name, which proves that one serves at its address.
func (c *Cluster) Ping(ctx context.Context, s ServerName) error {
	conn, err := c.Admin(ctx, s)
	if err != nil {
		return err
	}
	var resp pb.GetServerInfoResponse
	if _, err := conn.Call(ctx, "GetServerInfo", &pb.GetServerInfoRequest{}, nil, &resp); err != nil {
		return classify(err)
	}
	if is := serverNameOf(resp.GetServerInfo().GetServerName()); is != s {
		return fmt.Errorf("another server answers there: %s", is)
	}
	return nil
}

// ServerInfo is what a region server has written about itself into ZooKeeper.
type ServerInfo struct {
	Version  string // "2.6.4"; "": not known
	InfoPort int    // of its web interface; 0: none
}

// ServerInfo reads it from <root>/rs/<server>.
func (c *Cluster) ServerInfo(ctx context.Context, s ServerName) (ServerInfo, error) {
	payload, err := c.zk.Get(ctx, c.znode("rs")+"/"+s.String())
	if err != nil {
		return ServerInfo{}, c.explain(ctx, err)
	}
	return parseServerInfo(payload)
}

// parseServerInfo reads the payload of a region server's znode, which very old versions leave empty.
func parseServerInfo(payload []byte) (ServerInfo, error) {
	if len(payload) == 0 {
		return ServerInfo{}, nil
	}
	var m pb.RegionServerInfo
	if err := zookeeper.UnmarshalPayload(payload, &m); err != nil {
		return ServerInfo{}, fmt.Errorf("read a region server's znode: %w", err)
	}
	return ServerInfo{Version: m.GetVersionInfo().GetVersion(), InfoPort: max(0, int(m.GetInfoPort()))}, nil
}
