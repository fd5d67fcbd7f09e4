package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/waltap/waltap/internal/hbase/pb"
)

// Namespace is a namespace with its properties, such as hbase.namespace.quota.maxtables.
type Namespace struct {
	Name       string
	Properties map[string]string
}

// NamespacesWithProperties returns all namespaces, "default" and "hbase" included, sorted by name.
func (c *Cluster) NamespacesWithProperties(ctx context.Context) ([]Namespace, error) {
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
	var all []Namespace
	for _, ns := range resp.GetNamespaceDescriptor() {
		all = append(all, Namespace{Name: string(ns.GetName()), Properties: stringMap(ns.GetConfiguration())})
	}
	slices.SortFunc(all, func(a, b Namespace) int { return compareStrings(a.Name, b.Name) })
	return all, nil
}

// CreateNamespaceWithProperties creates a namespace. ErrNamespaceExists.
func (c *Cluster) CreateNamespaceWithProperties(ctx context.Context, ns Namespace) error {
	req := &pb.CreateNamespaceRequest{NamespaceDescriptor: &pb.NamespaceDescriptor{Name: []byte(ns.Name), Configuration: stringPairs(ns.Properties)}}
	req.NonceGroup, req.Nonce = nonce()
	var resp pb.CreateNamespaceResponse
	call := masterCall{method: "CreateNamespace", req: req, resp: &resp, repeatable: true}
	if err := c.procedureCall(ctx, call, func() *uint64 { return resp.ProcId }); err != nil {
		return fmt.Errorf("create namespace %s: %w", ns.Name, err)
	}
	return nil
}
