// Package pb holds the protocol messages of HBase that waltap speaks, generated from hand-written, minimal
// proto2 files. Names, tag numbers and labels are HBase's own, checked against the descriptors compiled into
// HBase 2.6.4; a message or field that waltap has no use for is left out (unknown fields are skipped on reading).
//
// The files are registered as "waltap/hbase/*.proto" in the proto package "waltap.hbase": gohbase registers
// HBase's names in the proto package "pb", and a process links both. Neither the package name nor the file path
// is part of the wire format.
package pb

//go:generate protoc -Iwaltap/hbase=. --go_out=. --go_opt=module=github.com/waltap/waltap/internal/hbase/pb waltap/hbase/hbase.proto waltap/hbase/rpc.proto waltap/hbase/wal.proto waltap/hbase/admin.proto waltap/hbase/client.proto waltap/hbase/cluster.proto waltap/hbase/master.proto waltap/hbase/replication.proto waltap/hbase/security.proto waltap/hbase/snapshot.proto waltap/hbase/zookeeper.proto
