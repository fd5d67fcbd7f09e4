/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.mapreduce.replication.VerifyReplication;
import org.apache.hadoop.hbase.replication.ReplicationPeerConfig;
import org.apache.hadoop.hbase.replication.ReplicationPeerConfigBuilder;
import org.apache.hadoop.hbase.replication.ReplicationPeerDescription;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.mapreduce.Counter;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Replication peers, and HBase's own comparison of two tables. */
final class PeerCommands {
  private final Judge judge;

  PeerCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("add_peer", action((admin, r) ->
        admin.addReplicationPeer(r.string("id"), config(ReplicationPeerConfig.newBuilder(), r), !r.flag("disabled"))));
    commands.put("update_peer", action((admin, r) -> admin.updateReplicationPeerConfig(r.string("id"),
        config(ReplicationPeerConfig.newBuilder(admin.getReplicationPeerConfig(r.string("id"))), r))));
    commands.put("remove_peer", action((admin, r) -> admin.removeReplicationPeer(r.string("id"))));
    commands.put("enable_peer", action((admin, r) -> admin.enableReplicationPeer(r.string("id"))));
    commands.put("disable_peer", action((admin, r) -> admin.disableReplicationPeer(r.string("id"))));
    commands.put("peers", this::peers);
    commands.put("verify_replication", this::verify);
  }

  private Judge.Command action(AdminCommands.Action action) {
    return request -> {
      try (Admin admin = judge.connection(request).getAdmin()) {
        action.run(admin, request);
      }
      return new JsonObject();
    };
  }

  private static ReplicationPeerConfig config(ReplicationPeerConfigBuilder peer, Request r) {
    if (!r.string("clusterKey").isEmpty()) {
      peer.setClusterKey(r.string("clusterKey"));
    }
    if (!r.string("endpoint").isEmpty()) {
      peer.setReplicationEndpointImpl(r.string("endpoint"));
    }
    boolean all = !r.json().has("tables") && !r.json().has("namespaces");
    peer.setReplicateAllUserTables(all);
    peer.setTableCFsMap(all ? null : tables(r.object("tables")));
    peer.setNamespaces(all ? null : new HashSet<>(r.strings("namespaces")));
    peer.setExcludeTableCFsMap(all && r.json().has("excludeTables") ? tables(r.object("excludeTables")) : null);
    peer.setExcludeNamespaces(all && r.json().has("excludeNamespaces")
        ? new HashSet<>(r.strings("excludeNamespaces")) : null);
    peer.putAllConfiguration(r.map("config"));
    peer.setSerial(r.flag("serial"));
    peer.setBandwidth(r.number("bandwidth"));
    return peer.build();
  }

  /** Tables with their families, none for all of them. */
  private static Map<TableName, List<String>> tables(Request r) {
    Map<TableName, List<String>> tables = new HashMap<>();
    r.names().forEach(name -> tables.put(TableName.valueOf(name), r.strings(name)));
    return tables;
  }

  private JsonObject peers(Request r) throws Exception {
    JsonArray peers = new JsonArray();
    try (Admin admin = judge.connection(r).getAdmin()) {
      for (ReplicationPeerDescription description : admin.listReplicationPeers()) {
        ReplicationPeerConfig config = description.getPeerConfig();
        JsonObject peer = new JsonObject();
        peer.addProperty("id", description.getPeerId());
        peer.addProperty("clusterKey", config.getClusterKey());
        peer.addProperty("endpoint", config.getReplicationEndpointImpl());
        peer.addProperty("disabled", !description.isEnabled());
        peer.addProperty("replicateAll", config.replicateAllUserTables());
        peer.add("tables", tables(config.getTableCFsMap()));
        peer.add("namespaces", names(config.getNamespaces()));
        peer.add("excludeTables", tables(config.getExcludeTableCFsMap()));
        peer.add("excludeNamespaces", names(config.getExcludeNamespaces()));
        peer.add("config", Request.object(new TreeMap<>(config.getConfiguration())));
        peer.addProperty("serial", config.isSerial());
        peer.addProperty("bandwidth", config.getBandwidth());
        peers.add(peer);
      }
    }
    JsonObject result = new JsonObject();
    result.add("peers", peers);
    return result;
  }

  private static JsonObject tables(Map<TableName, List<String>> tables) {
    JsonObject object = new JsonObject();
    if (tables != null) {
      tables.forEach((name, families) -> object.add(name.getNameAsString(), names(families)));
    }
    return object;
  }

  private static JsonArray names(Collection<String> names) {
    return Request.array(names == null ? List.of() : names.stream().sorted().toList());
  }

  /** Runs HBase's VerifyReplication in this process, with MapReduce's local runner. */
  private JsonObject verify(Request r) throws Exception {
    List<String> args = new ArrayList<>();
    if (r.flag("raw")) {
      args.add("--raw");
    }
    if (r.integer("versions") > 0) {
      args.add("--versions=" + r.integer("versions"));
    }
    if (r.number("startTime") > 0) {
      args.add("--starttime=" + r.number("startTime"));
    }
    if (r.number("endTime") > 0) {
      args.add("--endtime=" + r.number("endTime"));
    }
    if (!r.strings("families").isEmpty()) {
      args.add("--families=" + String.join(",", r.strings("families")));
    }
    if (!r.string("peerTable").isEmpty()) {
      args.add("--peerTableName=" + r.string("peerTable"));
    }
    args.add(r.string("peer"));
    args.add(r.string("table"));

    Configuration conf = Judge.configuration(r.string("cluster"));
    conf.set("mapreduce.framework.name", "local");
    conf.set("hadoop.tmp.dir", System.getProperty("java.io.tmpdir"));
    conf.set("hbase.fs.tmp.dir", System.getProperty("java.io.tmpdir"));
    conf.setInt("hbase.mapreduce.scan.cachedrows", 1000); // one row a call by default
    Job job = new VerifyReplication().createSubmittableJob(conf, args.toArray(new String[0]));
    if (job == null) {
      throw new IllegalArgumentException("VerifyReplication refused its arguments " + args + " (see the judge's log)");
    }
    if (!job.waitForCompletion(false)) {
      throw new IllegalStateException("VerifyReplication did not complete: " + job.getStatus().getFailureInfo());
    }
    JsonObject result = new JsonObject();
    for (Counter counter : job.getCounters().getGroup(VerifyReplication.Verifier.class.getName() + "$Counters")) {
      result.addProperty(counter.getName(), counter.getValue());
    }
    return result;
  }
}
