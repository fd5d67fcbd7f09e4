// Package servers runs real HBase and Kafka servers on this machine, for the
// end-to-end tests, the demo and the benchmarks.
//
// The jars come from Maven by the pinned poms in poms/ and are kept in a cache
// outside the repository ($WALTAP_CACHE, else the user's cache folder). Each
// server is one JVM that listens on 127.0.0.1 only, keeps its data, logs and
// configuration in a folder of its own, and dies with the process that started
// it, however that one ends.
package servers
