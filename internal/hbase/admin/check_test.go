package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// A descriptor is shown to the master under a name that no table has; what it says tells a good one from a bad one, and both from a
// master that does not say.
func TestCheckTable(t *testing.T) {
	const sanity = " Set hbase.table.sanity.checks to false at conf or table descriptor if you want to bypass sanity checks"
	for _, tc := range []struct {
		name, class, message string
		refused              string // "": none
		fails                bool
	}{
		{"good", "TableNotFoundException", "waltap_descriptor_check_1", "", false},
		{"no codec", "DoNotRetryIOException", "java.lang.RuntimeException: no lzo" + sanity, "java.lang.RuntimeException: no lzo", false},
		{"no such codec in 1.x", "IOException", "java.lang.IllegalArgumentException: No enum constant X\n\tat x", "java.lang.IllegalArgumentException: No enum constant X", false},
		{"not allowed", "security.AccessDeniedException", "Insufficient permissions", "", true},
		{"another trouble", "IOException", "the file system is away", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := clusterAt(t, master{"ModifyTable": func(call *rpc.Call) {
				req := decode[pb.ModifyTableRequest](t, call)
				if q := string(req.GetTableName().GetQualifier()); !strings.HasPrefix(q, checkedTable) || q != string(req.GetTableSchema().GetTableName().GetQualifier()) {
					t.Errorf("asked for %q", q)
				}
				fail(tc.class, tc.message)(call)
			}}.serve(t))
			err := c.CheckTable(t.Context(), Table{Namespace: "shop", Qualifier: "orders"})
			var refused *TableRefusedError
			switch {
			case tc.refused != "":
				if !errors.As(err, &refused) || refused.Reason != tc.refused {
					t.Errorf("got %v", err)
				}
			case tc.fails == (err == nil) || errors.As(err, &refused):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNamespacesHaveProperties(t *testing.T) {
	want := Namespace{Name: "shop", Properties: map[string]string{"b": "2", "a": "1"}}
	c, _ := clusterAt(t, master{
		"CreateNamespace": func(call *rpc.Call) {
			d := decode[pb.CreateNamespaceRequest](t, call).GetNamespaceDescriptor()
			if diff := cmp.Diff(want, Namespace{string(d.GetName()), stringMap(d.GetConfiguration())}); diff != "" {
				t.Error(diff)
			}
			call.Reply(&pb.CreateNamespaceResponse{})
		},
		"ListNamespaceDescriptors": reply(&pb.ListNamespaceDescriptorsResponse{NamespaceDescriptor: []*pb.NamespaceDescriptor{
			{Name: []byte("shop"), Configuration: []*pb.NameStringPair{{Name: proto.String("b"), Value: proto.String("2")}, {Name: proto.String("a"), Value: proto.String("1")}}},
			{Name: []byte("default")},
		}}),
	}.serve(t))
	if err := c.CreateNamespaceWithProperties(t.Context(), want); err != nil {
		t.Error(err)
	}
	all, err := c.NamespacesWithProperties(t.Context())
	if diff := cmp.Diff([]Namespace{{Name: "default"}, want}, all); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
