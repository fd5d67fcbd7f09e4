package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waltap/waltap/internal/hbase/pb"
	"github.com/waltap/waltap/internal/hbase/rpc"
)

// TableRefusedError is what a master finds wrong with a table's descriptor.
type TableRefusedError struct{ Reason string }

func (e *TableRefusedError) Error() string { return e.Reason }

// checkedTable is the name under which CheckTable shows a descriptor to the master. No table of it may exist.
const checkedTable = "waltap_descriptor_check_"

// CheckTable lets the master apply its sanity checks to a descriptor, whatever its name: limits, and whether compression codecs,
// coprocessors, the split policy, the store engine and the encryption can be loaded. Nothing is created or changed. It returns a
// *TableRefusedError when the master would not take the table.
//
// It asks the master to modify a table that does not exist: HMaster.modifyTable (read in 1.4.14 and 2.6.4, run on 2.6.4) checks
// the descriptor first and says only then that there is no such table. It does not check data block encodings, the
// flush policy, the storage policy, nor what region servers can load; with hbase.table.sanity.checks or
// hbase.master.check.compression off, less. What is taken here may still be refused when the table is created.
func (c *Cluster) CheckTable(ctx context.Context, t Table) error {
	_, n := nonce()
	t.Namespace, t.Qualifier = defaultNamespace, fmt.Sprintf("%s%016x", checkedTable, *n)
	req := &pb.ModifyTableRequest{TableName: tableNameProto(t.FullName()), TableSchema: t.toProto()}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.ModifyTableResponse
	call := masterCall{method: "ModifyTable", req: req, resp: &resp, repeatable: true}
	err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId })
	switch reason := refusal(err); {
	case errors.Is(err, ErrTableNotFound):
		return nil
	case reason != "":
		return &TableRefusedError{Reason: reason}
	case err == nil:
		return errors.New("check a table's descriptor: the master has changed a table that does not exist")
	}
	return fmt.Errorf("check a table's descriptor: %w", err)
}

// refusal is the master's reason in err, "" when err is not about the descriptor.
func refusal(err error) string {
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) {
		return ""
	}
	// An unknown name of an enumeration comes out of 1.x as the IOException that wraps it.
	if !strings.HasSuffix(remote.Class, ".DoNotRetryIOException") && !strings.Contains(remote.Message, "IllegalArgumentException") {
		return ""
	}
	text, _, _ := strings.Cut(remote.Message, "\n")
	text, _, _ = strings.Cut(text, " Set hbase.table.sanity.checks")
	return text
}
