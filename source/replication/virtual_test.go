package replication

import (
	"testing"

	"github.com/waltap/waltap/schema"
)

func TestVirtualClusterKeepsItsID(t *testing.T) {
	a := VirtualID(schema.UUID{}, "a")
	if a != VirtualID(schema.UUID{}, "a") {
		t.Error("the id differs from start to start")
	}
	if a == VirtualID(schema.UUID{}, "b") || a == VirtualID(schema.UUID{1}, "a") || a.IsZero() {
		t.Error("two connectors share an id")
	}
}
