//go:build e2e

// Package snapshots holds the end-to-end tests of history that is read from files: a distributed HBase on a real HDFS.
package snapshots

import (
	"os"
	"testing"

	"github.com/waltap/waltap/e2e/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{HDFS: true, Kafka: true,
		SourceSite: map[string]string{"hbase.replication.bulkload.enabled": "true", "hbase.replication.cluster.id": "source"}}, &env))
}
