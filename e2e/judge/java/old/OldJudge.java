/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.HColumnDescriptor;
import org.apache.hadoop.hbase.HRegionInfo;
import org.apache.hadoop.hbase.HTableDescriptor;
import org.apache.hadoop.hbase.NamespaceDescriptor;
import org.apache.hadoop.hbase.ServerName;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.replication.ReplicationAdmin;
import org.apache.hadoop.hbase.protobuf.generated.AdminProtos.GetRegionInfoResponse.CompactionState;
import org.apache.hadoop.hbase.replication.ReplicationPeerConfig;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hbase.util.Pair;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;
import org.apache.hbase.thirdparty.com.google.gson.JsonParser;
import org.apache.zookeeper.KeeperException;

/**
 * What an administrator does to a cluster of HBase 1.x, which the client of 2.x cannot do there: the commands of
 * AdminCommands, RegionCommands and PeerCommands, with the client of 1.x. See Judge for how it is spoken to.
 */
public final class OldJudge {
  interface Command {
    JsonObject run(Request request) throws Exception;
  }

  interface Action {
    void run(Admin admin, Request request) throws Exception;
  }

  private final Map<String, Command> commands = new TreeMap<>();
  private final Map<String, Connection> connections = new HashMap<>();
  private final PrintStream out;

  private OldJudge(PrintStream out) {
    this.out = out;
    commands.put("ping", request -> new JsonObject());
    tables();
    regions();
    peers();
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    new OldJudge(answers).serve();
    System.exit(0);
  }

  private void serve() throws Exception {
    ExecutorService workers = Executors.newCachedThreadPool();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject request = new JsonParser().parse(line).getAsJsonObject();
      workers.execute(() -> answer(request));
    }
  }

  private void answer(JsonObject request) {
    JsonObject answer = new JsonObject();
    answer.add("call", request.get("call"));
    try {
      Command command = commands.get(request.get("cmd").getAsString());
      if (command == null) {
        throw new IllegalArgumentException("unknown command " + request.get("cmd"));
      }
      answer.add("result", command.run(new Request(request)));
    } catch (Throwable t) { // an Error as well: the caller waits for an answer
      StringWriter trace = new StringWriter();
      t.printStackTrace(new PrintWriter(trace));
      System.err.println(request + "\n" + trace);
      answer.addProperty("error", t.toString());
    }
    synchronized (out) {
      out.println(answer);
      out.flush();
    }
  }

  private static Configuration configuration(Request r) {
    String[] parts = r.string("cluster").split(":");
    if (parts.length != 3) {
      throw new IllegalArgumentException("cluster must be quorum:port:znode, is " + r.string("cluster"));
    }
    Configuration conf = HBaseConfiguration.create();
    conf.set("hbase.zookeeper.quorum", parts[0]);
    conf.set("hbase.zookeeper.property.clientPort", parts[1]);
    conf.set("zookeeper.znode.parent", parts[2]);
    conf.setInt("hbase.client.retries.number", 30);
    return conf;
  }

  private Connection connection(Request r) throws Exception {
    synchronized (connections) {
      Connection connection = connections.get(r.string("cluster"));
      if (connection == null || connection.isClosed()) {
        connection = ConnectionFactory.createConnection(configuration(r));
        connections.put(r.string("cluster"), connection);
      }
      return connection;
    }
  }

  private Command action(Action action) {
    return request -> {
      try (Admin admin = connection(request).getAdmin()) {
        action.run(admin, request);
      }
      return new JsonObject();
    };
  }

  private static JsonObject object(String name, JsonArray value) {
    JsonObject object = new JsonObject();
    object.add(name, value);
    return object;
  }

  private void tables() {
    commands.put("cluster_id", r -> {
      try (Admin admin = connection(r).getAdmin()) {
        JsonObject result = new JsonObject();
        result.addProperty("id", admin.getClusterStatus().getClusterId());
        return result;
      }
    });
    commands.put("create_namespace", action((admin, r) ->
        admin.createNamespace(NamespaceDescriptor.create(r.string("namespace")).build())));
    commands.put("drop_namespace", action((admin, r) -> admin.deleteNamespace(r.string("namespace"))));
    commands.put("create_table", action(OldJudge::createTable));
    commands.put("drop_table", action((admin, r) -> {
      disable(admin, r.table());
      admin.deleteTable(r.table());
    }));
    commands.put("truncate_table", action((admin, r) -> {
      disable(admin, r.table());
      admin.truncateTable(r.table(), r.flag("keepSplits"));
    }));
    commands.put("snapshot", action((admin, r) -> admin.snapshot(r.string("snapshot"), r.table())));
    commands.put("restore_snapshot", action((admin, r) -> {
      disable(admin, r.table());
      admin.restoreSnapshot(r.string("snapshot"));
      admin.enableTable(r.table());
    }));
    commands.put("delete_snapshot", action((admin, r) -> admin.deleteSnapshot(r.string("snapshot"))));
    commands.put("disable_table", action((admin, r) -> admin.disableTable(r.table())));
    commands.put("enable_table", action((admin, r) -> admin.enableTable(r.table())));
    commands.put("alter_family", action(OldJudge::alterFamily));
    commands.put("tables", r -> {
      try (Admin admin = connection(r).getAdmin()) {
        JsonArray names = new JsonArray();
        for (TableName name : admin.listTableNames()) {
          names.add(name.getNameAsString());
        }
        return object("tables", names);
      }
    });
    commands.put("describe_table", this::describe);
  }

  private static void disable(Admin admin, TableName table) throws Exception {
    if (admin.isTableEnabled(table)) {
      admin.disableTable(table);
    }
  }

  private static void createTable(Admin admin, Request r) throws Exception {
    HTableDescriptor table = new HTableDescriptor(r.table());
    r.map("attributes").forEach(table::setValue);
    for (Request f : r.objects("families")) {
      HColumnDescriptor family = new HColumnDescriptor(f.string("name"));
      family.setMaxVersions(Math.max(1, f.integer("versions")));
      family.setScope(f.integer("scope"));
      if (f.integer("ttl") > 0) {
        family.setTimeToLive(f.integer("ttl"));
      }
      f.map("attributes").forEach(family::setValue);
      f.map("configuration").forEach(family::setConfiguration);
      table.addFamily(family);
    }
    List<byte[]> splits = r.byteStrings("splits");
    if (splits.isEmpty()) {
      admin.createTable(table);
    } else {
      admin.createTable(table, splits.toArray(new byte[0][]));
    }
  }

  private static void alterFamily(Admin admin, Request r) throws Exception {
    HTableDescriptor table = admin.getTableDescriptor(r.table());
    HColumnDescriptor family = new HColumnDescriptor(table.getFamily(Bytes.toBytes(r.string("family"))));
    r.map("attributes").forEach((key, value) -> {
      if (value.isEmpty()) {
        family.remove(Bytes.toBytes(key));
      } else {
        family.setValue(key, value);
      }
    });
    admin.modifyColumn(r.table(), family);
    for (Pair<Integer, Integer> left = admin.getAlterStatus(r.table()); left.getFirst() > 0; left = admin.getAlterStatus(r.table())) {
      Thread.sleep(50);
    }
  }

  private JsonObject describe(Request r) throws Exception {
    try (Admin admin = connection(r).getAdmin()) {
      HTableDescriptor table = admin.getTableDescriptor(r.table());
      JsonArray families = new JsonArray();
      for (HColumnDescriptor f : table.getColumnFamilies()) {
        JsonObject family = new JsonObject();
        family.addProperty("name", f.getNameAsString());
        family.addProperty("versions", f.getMaxVersions());
        family.addProperty("scope", f.getScope());
        family.addProperty("ttl", f.getTimeToLive() == Integer.MAX_VALUE ? 0 : f.getTimeToLive());
        Map<String, String> attributes = new TreeMap<>();
        f.getValues().forEach((k, v) -> attributes.put(Bytes.toString(k.copyBytes()), Bytes.toString(v.copyBytes())));
        family.add("attributes", Request.object(attributes));
        family.add("configuration", Request.object(f.getConfiguration()));
        families.add(family);
      }
      JsonArray splits = new JsonArray();
      for (HRegionInfo region : admin.getTableRegions(r.table())) {
        if (region.getStartKey().length > 0) {
          splits.add(Request.base64(region.getStartKey()));
        }
      }
      JsonObject result = object("families", families);
      result.addProperty("name", table.getTableName().getNameAsString());
      result.add("attributes", new JsonObject());
      result.add("splits", splits);
      return result;
    }
  }

  private void regions() {
    commands.put("region_servers", r -> {
      try (Admin admin = connection(r).getAdmin()) {
        JsonArray servers = new JsonArray();
        for (ServerName server : admin.getClusterStatus().getServers()) {
          servers.add(server.toString());
        }
        return object("servers", servers);
      }
    });
    commands.put("flush", action((admin, r) -> admin.flush(r.table())));
    commands.put("major_compact", action((admin, r) -> {
      admin.majorCompact(r.table());
      do { // a server takes the order up a moment later
        Thread.sleep(500);
      } while (admin.getCompactionState(r.table()) != CompactionState.NONE);
    }));
    commands.put("split", action((admin, r) -> {
      int before = admin.getTableRegions(r.table()).size();
      byte[] at = r.bytes("at");
      for (HRegionInfo region : admin.getTableRegions(r.table())) {
        if (region.containsRow(at)) {
          admin.splitRegion(region.getRegionName(), at);
        }
      }
      while (admin.getTableRegions(r.table()).size() <= before) {
        Thread.sleep(50);
      }
    }));
    commands.put("move", action((admin, r) -> admin.move(Bytes.toBytes(r.string("region")),
        r.string("server").isEmpty() ? null : Bytes.toBytes(r.string("server")))));
    commands.put("roll_wals", action((admin, r) -> {
      for (ServerName server : admin.getClusterStatus().getServers()) {
        admin.rollWALWriter(server);
      }
    }));
  }

  private void peers() {
    commands.put("add_peer", r -> {
      try (ReplicationAdmin admin = replicationAdmin(r)) {
        ReplicationPeerConfig config = new ReplicationPeerConfig().setClusterKey(r.string("clusterKey"));
        config.getConfiguration().putAll(r.map("config"));
        config.setBandwidth(r.number("bandwidth"));
        Map<TableName, List<String>> tables = null;
        if (r.json().has("tables")) {
          tables = new HashMap<>();
          for (String name : r.object("tables").names()) {
            tables.put(TableName.valueOf(name), r.object("tables").strings(name));
          }
        }
        admin.addPeer(r.string("id"), config, tables);
        if (r.flag("disabled")) {
          admin.disablePeer(r.string("id"));
        }
      }
      return new JsonObject();
    });
    commands.put("remove_peer", r -> {
      try (ReplicationAdmin admin = replicationAdmin(r)) {
        admin.removePeer(r.string("id"));
      }
      return new JsonObject();
    });
    commands.put("peers", r -> unlessAPeerGoes(() -> {
      JsonArray peers = new JsonArray();
      try (ReplicationAdmin admin = replicationAdmin(r)) {
        for (Map.Entry<String, ReplicationPeerConfig> e : admin.listPeerConfigs().entrySet()) {
          JsonObject peer = new JsonObject();
          peer.addProperty("id", e.getKey());
          peer.addProperty("clusterKey", e.getValue().getClusterKey());
          peer.addProperty("disabled", !admin.getPeerState(e.getKey()));
          peer.addProperty("replicateAll", e.getValue().getTableCFsMap() == null);
          JsonObject tables = new JsonObject();
          if (e.getValue().getTableCFsMap() != null) {
            e.getValue().getTableCFsMap().forEach((name, families) ->
                tables.add(name.getNameAsString(), Request.array(families == null ? List.of() : families)));
          }
          peer.add("tables", tables);
          peer.add("config", Request.object(new TreeMap<>(e.getValue().getConfiguration())));
          peer.addProperty("bandwidth", e.getValue().getBandwidth());
          peers.add(peer);
        }
      }
      return object("peers", peers);
    }));
  }

  private static ReplicationAdmin replicationAdmin(Request r) throws Exception {
    return unlessAPeerGoes(() -> new ReplicationAdmin(configuration(r)));
  }

  /**
   * Asks again while the reason for a failure is a znode that is gone: the client of 1.x lists the peers and then reads them one by
   * one, already when it is made, and fails when somebody removes one of them meanwhile.
   */
  private static <T> T unlessAPeerGoes(Callable<T> question) throws Exception {
    for (int left = 50;; left--) {
      try {
        return question.call();
      } catch (Exception e) {
        Throwable cause = e;
        while (cause != null && !(cause instanceof KeeperException.NoNodeException)) {
          cause = cause.getCause();
        }
        if (cause == null || left == 0) {
          throw e;
        }
        Thread.sleep(20);
      }
    }
  }
}
