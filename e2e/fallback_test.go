//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/waltap/waltap/e2e/testenv"
	"github.com/waltap/waltap/internal/hbase/cell"
	"github.com/waltap/waltap/schema"
	"github.com/waltap/waltap/sink"
	"github.com/waltap/waltap/sink/hbase"
)

// misspelled is a connection on which a word is written wrong, so that a real server answers as one that does not know it.
type misspelled struct {
	net.Conn
	word string
}

func (m misspelled) Write(b []byte) (int, error) {
	wrong := []byte(m.word[:len(m.word)-1] + "X")
	return m.Conn.Write(bytes.ReplaceAll(b, []byte(m.word), wrong))
}

// A destination is written to by mutations, but for cells with tags that no client may write where HBase checks that; those too when it
// does not know the replication call, or its service, and that is said once. Told to use the call, the sink does not get on.
func TestSinkFallsBackToMutations(t *testing.T) {
	t.Parallel()
	ctx := testenv.Context(t, 2*time.Minute)
	client := kafkaClient(t)
	const reserved = 65 // a type of nobody's
	for _, tc := range []struct {
		name, word string
		mode       hbase.Mode
		tag        byte   // 0: none
		want       string // in the warning
	}{
		{"unknown method", "ReplicateWALEntry", hbase.Auto, reserved, "UnsupportedOperationException"},
		{"unknown service", "AdminService", hbase.Auto, reserved, "EOF"},
		{"nothing unknown", "no such word", hbase.Auto, reserved, ""},
		{"not needed without tags", "ReplicateWALEntry", hbase.Auto, 0, ""},
		{"not needed for a TTL", "ReplicateWALEntry", hbase.Auto, byte(cell.TagTTL), ""},
		{"no other way for tags", "Multi", hbase.Auto, reserved, ""},
		{"no falling back", "ReplicateWALEntry", hbase.Replication, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := testenv.Name(t)
			topic := table + ".default." + table
			err := publishJSON(ctx, client, schema.TablesTopic(table), "default:"+table, schema.Table{Name: "default:" + table, Epoch: 1, Families: []schema.Family{{Name: "a"}}})
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			a, err := openSink(ctx, client, func(c *hbase.Config) {
				c.Mode, c.Log = tc.mode, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
				c.Target.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, addr)
					return misspelled{conn, tc.word}, err
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			put := schema.Cell{Timestamp: time.Now().UnixMilli(), Type: schema.Put, Value: []byte("v")}
			if tc.tag != 0 {
				put.Tags = []byte{0, 9, tc.tag, 0, 0, 0, 0, 0, 10, 0, 0} // a TTL of 655 s
			}
			for _, b := range []*sink.Batch{oneCell(topic, table, "one", put), oneCell(topic, table, "two", put)} {
				switch err := a.Apply(ctx, b); {
				case tc.mode == hbase.Replication && (err == nil || !strings.Contains(err.Error(), "UnsupportedOperationException")):
					t.Errorf("%v, want that the call is unknown", err)
				case tc.mode == hbase.Auto && err != nil:
					t.Fatal(err)
				}
			}
			rows, err := env.Dst.CountRows(ctx, table)
			if want := map[hbase.Mode]int64{hbase.Auto: 2}[tc.mode]; err != nil || rows != want {
				t.Errorf("%d rows at the destination, %v; want %d", rows, err, want)
			}
			said := strings.Count(log.String(), "going on with mutations")
			if tc.want == "" && said != 0 || tc.want != "" && (said != 1 || !strings.Contains(log.String(), tc.want)) {
				t.Errorf("said %d times:\n%s", said, log.String())
			}
		})
	}
}
