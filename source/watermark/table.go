package watermark

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/waltap/waltap/internal/hbase/admin"
)

// Family is the family of the heartbeat table.
const Family = "h"

// tablePrefix begins the name of every heartbeat table.
const tablePrefix = "waltap_heartbeat_"

// maxRegions bounds the regions that a heartbeat table is created with; placement splits them where servers are more.
const maxRegions = 1024

// TableName is the heartbeat table of a peer: each peer has its own, which it alone ships.
func TableName(peerID string) string { return "default:" + tablePrefix + peerID }

// IsTable tells whether a table, by its full name, is a heartbeat table.
func IsTable(name string) bool { return strings.HasPrefix(name, "default:"+tablePrefix) }

// Table is the heartbeat table as it is created, with two regions for each server.
func Table(peerID string, servers int) (t admin.Table, splits [][]byte) {
	t = admin.Table{
		Namespace: "default", Qualifier: tablePrefix + peerID,
		Families: []admin.Family{{Name: Family, Attributes: map[string]string{
			admin.ScopeAttribute: "1", "VERSIONS": "1", "TTL": "600", "BLOCKCACHE": "false", "BLOOMFILTER": "NONE",
		}}},
	}
	n := min(max(2, 2*servers), maxRegions)
	for i := 1; i < n; i++ {
		splits = append(splits, bytes.TrimRight(binary.BigEndian.AppendUint16(nil, uint16(i*65536/n)), "\x00"))
	}
	return t, splits
}
