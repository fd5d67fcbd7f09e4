package replication

import (
	"net"
	"strings"

	"github.com/waltap/waltap/schema"
)

// MarkKey is the key in the CONFIG of a peer of ours that holds the connector's name. Only a peer that carries it is ours to change or to
// remove.
const MarkKey = "waltap.connector"

// CaptureKey is the key in the CONFIG of a peer of ours that tells it from another one that was added later under its name.
const CaptureKey = "waltap.capture"

// VirtualID is the id of the virtual cluster that a connector is to its source: the same for one connector on one source for ever, never the
// source's own, which HBase would refuse.
func VirtualID(source schema.UUID, connector string) schema.UUID {
	return schema.NameUUID(source[:], "waltap/"+connector)
}

// ClusterKey is how HBase names a virtual cluster: "host,host:port:/root", or "host:port,host:port:port:/root" when the ports of the
// ZooKeeper servers differ.
func ClusterKey(quorum []string, root string) string {
	var hosts []string
	port, mixed := "", false
	for _, s := range quorum {
		h, p, err := net.SplitHostPort(s)
		if err != nil {
			h, p = s, "2181"
		}
		mixed = mixed || port != "" && p != port
		hosts, port = append(hosts, h), p
	}
	if mixed {
		hosts = quorum
	}
	return strings.Join(hosts, ",") + ":" + port + ":" + root
}
