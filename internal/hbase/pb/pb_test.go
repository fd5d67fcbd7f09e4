package pb

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestDescriptorsMatchHBase compares every message, field and enum value of this package with HBase's own.
func TestDescriptorsMatchHBase(t *testing.T) {
	hbase := descriptors{map[string]*descriptorpb.DescriptorProto{}, map[string]*descriptorpb.EnumDescriptorProto{}}
	hbase.read(t, "testdata/hbase-1.4.14.desc.gz") // what 2.x has no more; else 2.6.4 decides
	hbase.read(t, "testdata/hbase-2.6.4.desc.gz")
	files := []protoreflect.FileDescriptor{
		File_waltap_hbase_hbase_proto, File_waltap_hbase_wal_proto, File_waltap_hbase_admin_proto,
		File_waltap_hbase_client_proto, File_waltap_hbase_cluster_proto, File_waltap_hbase_master_proto,
		File_waltap_hbase_replication_proto, File_waltap_hbase_zookeeper_proto, File_waltap_hbase_rpc_proto, File_waltap_hbase_security_proto, File_waltap_hbase_snapshot_proto,
	}
	fields := 0
	for _, file := range files {
		if got := file.Package(); got != "waltap.hbase" {
			t.Errorf("%s: proto package %s", file.Path(), got)
		}
		own := &descriptorpb.FileDescriptorProto{}
		proto.Merge(own, protodesc.ToFileDescriptorProto(file))
		// Headers keep few fields required: there a missing one is an error of the peer that the code names itself.
		labels := file != File_waltap_hbase_rpc_proto
		for _, m := range own.GetMessageType() {
			fields += compareMessage(t, m.GetName(), m, hbase.messages, hbase.enums, labels)
		}
		for _, e := range own.GetEnumType() {
			compareEnum(t, e.GetName(), e, hbase.enums)
		}
	}
	if fields < 200 {
		t.Errorf("compared %d fields only", fields)
	}
}

type descriptors struct {
	messages map[string]*descriptorpb.DescriptorProto
	enums    map[string]*descriptorpb.EnumDescriptorProto
}

// read adds the descriptors of a file, in place of those there are.
func (d descriptors) read(t *testing.T, file string) {
	t.Helper()
	zipped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	for _, f := range set.GetFile() {
		for _, m := range f.GetMessageType() {
			d.add(m.GetName(), m)
		}
		for _, e := range f.GetEnumType() {
			d.enums[e.GetName()] = e
		}
	}
}

func (d descriptors) add(name string, m *descriptorpb.DescriptorProto) {
	d.messages[name] = m
	for _, n := range m.GetNestedType() {
		d.add(name+"."+n.GetName(), n)
	}
	for _, e := range m.GetEnumType() {
		d.enums[name+"."+e.GetName()] = e
	}
}

func compareMessage(t *testing.T, name string, own *descriptorpb.DescriptorProto, hbase map[string]*descriptorpb.DescriptorProto,
	enums map[string]*descriptorpb.EnumDescriptorProto, labels bool) int {
	t.Helper()
	theirs := hbase[name]
	if theirs == nil {
		t.Errorf("message %s: HBase has none", name)
		return 0
	}
	byNumber := map[int32]*descriptorpb.FieldDescriptorProto{}
	for _, f := range theirs.GetField() {
		byNumber[f.GetNumber()] = f
	}
	ownNumbers := map[int32]bool{}
	for _, f := range own.GetField() {
		ownNumbers[f.GetNumber()] = true
		h := byNumber[f.GetNumber()]
		if h == nil || h.GetName() != f.GetName() {
			t.Errorf("%s.%s = %d: HBase has %s there", name, f.GetName(), f.GetNumber(), h.GetName())
			continue
		}
		if f.GetType() != h.GetType() || f.GetDefaultValue() != h.GetDefaultValue() ||
			lastName(f.GetTypeName()) != lastName(h.GetTypeName()) {
			t.Errorf("%s.%s: %v, HBase has %v", name, f.GetName(), f, h)
		}
		repeated := descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		if labels && f.GetLabel() != h.GetLabel() || (f.GetLabel() == repeated) != (h.GetLabel() == repeated) {
			t.Errorf("%s.%s: %v, HBase has %v", name, f.GetName(), f.GetLabel(), h.GetLabel())
		}
	}
	for _, h := range theirs.GetField() {
		if labels && h.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REQUIRED && !ownNumbers[h.GetNumber()] {
			t.Errorf("%s: required field %s is missing", name, h.GetName())
		}
	}
	for _, e := range own.GetEnumType() {
		compareEnum(t, name+"."+e.GetName(), e, enums)
	}
	n := len(own.GetField())
	for _, m := range own.GetNestedType() {
		n += compareMessage(t, name+"."+m.GetName(), m, hbase, enums, labels)
	}
	return n
}

func compareEnum(t *testing.T, name string, own *descriptorpb.EnumDescriptorProto, hbase map[string]*descriptorpb.EnumDescriptorProto) {
	t.Helper()
	theirs := hbase[name]
	if theirs == nil {
		t.Errorf("enum %s: HBase has none", name)
		return
	}
	values := map[string]int32{}
	for _, v := range theirs.GetValue() {
		values[v.GetName()] = v.GetNumber()
	}
	for _, v := range own.GetValue() {
		if n, ok := values[v.GetName()]; !ok || n != v.GetNumber() {
			t.Errorf("%s.%s = %d: HBase has %d (%v)", name, v.GetName(), v.GetNumber(), n, ok)
		}
	}
}

func lastName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
