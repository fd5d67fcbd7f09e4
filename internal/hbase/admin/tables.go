package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// ScopeAttribute is the family attribute that decides about replication: 0 stays, 1 is shipped to peers.
const ScopeAttribute = "REPLICATION_SCOPE"

// Table is a table's descriptor. Attributes and configuration values are HBase's own, as text ("true", "3",
// "FAST_DIFF"); where HBase keeps bytes that are no text, the string holds those bytes.
type Table struct {
	Namespace, Qualifier      string
	Attributes, Configuration map[string]string
	Families                  []Family
}

// Family is a column family's descriptor.
type Family struct {
	Name                      string
	Attributes, Configuration map[string]string
}

// FullName returns "namespace:qualifier".
func (t Table) FullName() string { return t.Namespace + ":" + t.Qualifier }

// Family returns the family of that name, nil if there is none.
func (t *Table) Family(name string) *Family {
	for i := range t.Families {
		if t.Families[i].Name == name {
			return &t.Families[i]
		}
	}
	return nil
}

// Scope returns the family's replication scope; 0, HBase's default, when it says nothing or nonsense.
func (f Family) Scope() int {
	scope, err := strconv.Atoi(f.Attributes[ScopeAttribute])
	if err != nil {
		return 0
	}
	return scope
}

// Tables returns the descriptors of all tables, sorted by name; includeSystem adds those of the namespace "hbase".
func (c *Cluster) Tables(ctx context.Context, includeSystem bool) ([]Table, error) {
	tables, err := c.tables(ctx, &pb.GetTableDescriptorsRequest{IncludeSysTables: &includeSystem})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return tables, nil
}

// Table returns a table's descriptor, or an error that wraps ErrTableNotFound.
func (c *Cluster) Table(ctx context.Context, name string) (*Table, error) {
	tables, err := c.tables(ctx, &pb.GetTableDescriptorsRequest{
		TableNames:       []*pb.TableName{tableNameProto(name)},
		IncludeSysTables: proto.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", fullName(name), err)
	}
	if len(tables) != 1 {
		return nil, fmt.Errorf("describe table %s: %w", fullName(name), ErrTableNotFound)
	}
	return &tables[0], nil
}

// TablesNamed returns the descriptors of those of the tables that exist, sorted by name.
func (c *Cluster) TablesNamed(ctx context.Context, names []string) ([]Table, error) {
	if len(names) == 0 { // the call would mean all tables
		return nil, nil
	}
	req := &pb.GetTableDescriptorsRequest{IncludeSysTables: proto.Bool(true)}
	for _, name := range names {
		req.TableNames = append(req.TableNames, tableNameProto(name))
	}
	tables, err := c.tables(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("describe %d tables: %w", len(names), err)
	}
	return tables, nil
}

func (c *Cluster) tables(ctx context.Context, req *pb.GetTableDescriptorsRequest) ([]Table, error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	var resp pb.GetTableDescriptorsResponse
	call := masterCall{method: "GetTableDescriptors", req: req, resp: &resp, repeatable: true}
	if err := c.callMaster(ctx, call); err != nil {
		return nil, err
	}
	tables := make([]Table, 0, len(resp.GetTableSchema()))
	for _, m := range resp.GetTableSchema() {
		tables = append(tables, tableOf(m))
	}
	slices.SortFunc(tables, func(a, b Table) int {
		return compareStrings(a.FullName(), b.FullName())
	})
	return tables, nil
}

// CreateTable creates a table and waits until its regions are open. splits are the start keys of all regions but the
// first. Attributes that are not given get HBase's defaults. ErrTableExists, ErrNamespaceNotFound.
func (c *Cluster) CreateTable(ctx context.Context, t Table, splits [][]byte) error {
	req := &pb.CreateTableRequest{TableSchema: t.toProto(), SplitKeys: splits}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.CreateTableResponse
	call := masterCall{method: "CreateTable", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("create table %s: %w", t.FullName(), err)
	}
	return nil
}

// ModifyTable replaces a table's descriptor and waits until every region was reopened with it. ErrTableNotFound.
func (c *Cluster) ModifyTable(ctx context.Context, t Table) error {
	ctx, cancel := withDefaultTimeout(ctx, c.cfg.OperationTimeout)
	defer cancel()
	req := &pb.ModifyTableRequest{TableName: tableNameProto(t.FullName()), TableSchema: t.toProto()}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.ModifyTableResponse
	call := masterCall{method: "ModifyTable", req: req, resp: &resp, repeatable: true}
	err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId })
	if err == nil && (resp.ProcId == nil || c.isOld()) { // in 1.x the procedure does not wait for regions in transition
		err = c.awaitAlter(ctx, t.FullName())
	}
	if err != nil {
		return fmt.Errorf("modify table %s: %w", t.FullName(), err)
	}
	return nil
}

// awaitAlter waits for a change of a table on a master without procedures.
func (c *Cluster) awaitAlter(ctx context.Context, table string) error {
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		var resp pb.GetSchemaAlterStatusResponse
		err := c.callMaster(ctx, masterCall{
			method:     "GetSchemaAlterStatus",
			req:        &pb.GetSchemaAlterStatusRequest{TableName: tableNameProto(table)},
			resp:       &resp,
			repeatable: true,
		})
		if err != nil {
			return fmt.Errorf("wait for the regions to reopen: %w", err)
		}
		if resp.GetYetToUpdateRegions() == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("wait for the regions to reopen: %d of %d left: %w",
				resp.GetYetToUpdateRegions(), resp.GetTotalRegions(), ctx.Err())
		}
	}
}

// DisableTable takes a table out of service. ErrTableNotFound; ErrTableNotEnabled when it is disabled already.
func (c *Cluster) DisableTable(ctx context.Context, name string) error {
	req := &pb.DisableTableRequest{TableName: tableNameProto(name)}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.DisableTableResponse
	call := masterCall{method: "DisableTable", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("disable table %s: %w", fullName(name), err)
	}
	return nil
}

// EnableTable puts a disabled table back into service. ErrTableNotFound; ErrTableNotDisabled.
func (c *Cluster) EnableTable(ctx context.Context, name string) error {
	req := &pb.EnableTableRequest{TableName: tableNameProto(name)}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.EnableTableResponse
	call := masterCall{method: "EnableTable", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("enable table %s: %w", fullName(name), err)
	}
	return nil
}

// DeleteTable deletes a disabled table. ErrTableNotFound; ErrTableNotDisabled.
func (c *Cluster) DeleteTable(ctx context.Context, name string) error {
	req := &pb.DeleteTableRequest{TableName: tableNameProto(name)}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.DeleteTableResponse
	call := masterCall{method: "DeleteTable", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("delete table %s: %w", fullName(name), err)
	}
	return nil
}

// Namespaces returns the names of all namespaces, "default" and "hbase" included, sorted.
func (c *Cluster) Namespaces(ctx context.Context) ([]string, error) {
	ctx, cancel := withDefaultTimeout(ctx, 2*callTimeout)
	defer cancel()
	var resp pb.ListNamespaceDescriptorsResponse
	err := c.callMaster(ctx, masterCall{
		method:     "ListNamespaceDescriptors",
		req:        &pb.ListNamespaceDescriptorsRequest{},
		resp:       &resp,
		repeatable: true,
	})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, ns := range resp.GetNamespaceDescriptor() {
		names = append(names, string(ns.GetName()))
	}
	slices.Sort(names)
	return names, nil
}

// CreateNamespace creates a namespace. ErrNamespaceExists.
func (c *Cluster) CreateNamespace(ctx context.Context, name string) error {
	req := &pb.CreateNamespaceRequest{NamespaceDescriptor: &pb.NamespaceDescriptor{Name: []byte(name)}}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.CreateNamespaceResponse
	call := masterCall{method: "CreateNamespace", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// EnsureNamespace creates a namespace unless it exists.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	if name == defaultNamespace {
		return nil
	}
	if err := c.CreateNamespace(ctx, name); err != nil && !errors.Is(err, ErrNamespaceExists) {
		return err
	}
	return nil
}

// DeleteNamespace deletes an empty namespace. ErrNamespaceNotFound.
func (c *Cluster) DeleteNamespace(ctx context.Context, name string) error {
	req := &pb.DeleteNamespaceRequest{NamespaceName: &name}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.DeleteNamespaceResponse
	call := masterCall{method: "DeleteNamespace", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

func tableOf(m *pb.TableSchema) Table {
	t := Table{
		Namespace:     string(m.GetTableName().GetNamespace()),
		Qualifier:     string(m.GetTableName().GetQualifier()),
		Attributes:    bytesMap(m.GetAttributes()),
		Configuration: stringMap(m.GetConfiguration()),
	}
	for _, f := range m.GetColumnFamilies() {
		t.Families = append(t.Families, Family{
			Name:          string(f.GetName()),
			Attributes:    bytesMap(f.GetAttributes()),
			Configuration: stringMap(f.GetConfiguration()),
		})
	}
	return t
}

func (t Table) toProto() *pb.TableSchema {
	m := &pb.TableSchema{
		TableName:     tableNameProto(t.FullName()),
		Attributes:    bytesPairs(t.Attributes),
		Configuration: stringPairs(t.Configuration),
	}
	for _, f := range t.Families {
		m.ColumnFamilies = append(m.ColumnFamilies, &pb.ColumnFamilySchema{
			Name:          []byte(f.Name),
			Attributes:    bytesPairs(f.Attributes),
			Configuration: stringPairs(f.Configuration),
		})
	}
	return m
}

// TableOf is the descriptor of a table schema, as it stands in files, too.
func TableOf(m *pb.TableSchema) Table { return tableOf(m) }
