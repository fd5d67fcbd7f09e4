package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/waltap/waltap/internal/hbase/admin"
	"github.com/waltap/waltap/source/capture"
)

func TestPeerListNamesProbesThatAreLeft(t *testing.T) {
	mark := map[string]string{capture.MarkKey: "orders-source"}
	peers := []admin.Peer{
		{ID: "waltap_orders", Enabled: true, Config: mark, Tables: map[string][]string{"default:orders": nil}, ClusterKey: "h:2181:/w"},
		{ID: "waltap_orders_probe_2", Config: mark, Tables: map[string][]string{"waltap_probe:none": {"none"}}},
		{ID: "my_probe_1", ReplicateAll: true},
	}
	var out bytes.Buffer
	if err := writePeers(&out, peers); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"waltap_orders_probe_2  disabled", "(none: a probe)", "know peer waltap_orders.", "waltap peer remove waltap_orders_probe_2"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Count(text, "ships nothing") != 1 {
		t.Errorf("other peers are taken for probes:\n%s", text)
	}
}
