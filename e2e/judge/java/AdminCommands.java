/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.hbase.NamespaceDescriptor;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptor;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.TableDescriptor;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.security.access.Permission;
import org.apache.hadoop.hbase.security.access.UserPermission;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Namespaces and tables. */
final class AdminCommands {
  interface Action {
    void run(Admin admin, Request request) throws Exception;
  }

  private final Judge judge;

  AdminCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("cluster_id", request -> {
      try (Admin admin = judge.connection(request).getAdmin()) {
        JsonObject result = new JsonObject();
        result.addProperty("id", admin.getClusterMetrics().getClusterId());
        return result;
      }
    });
    commands.put("create_namespace", action((admin, r) -> {
      NamespaceDescriptor.Builder namespace = NamespaceDescriptor.create(r.string("namespace"));
      r.map("properties").forEach(namespace::addConfiguration);
      admin.createNamespace(namespace.build());
    }));
    commands.put("describe_namespace", request -> {
      try (Admin admin = judge.connection(request).getAdmin()) {
        JsonObject result = new JsonObject();
        result.add("properties",
            Request.object(admin.getNamespaceDescriptor(request.string("namespace")).getConfiguration()));
        return result;
      }
    });
    commands.put("drop_namespace", action((admin, r) -> admin.deleteNamespace(r.string("namespace"))));
    commands.put("create_table", action(AdminCommands::createTable));
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
    commands.put("clone_snapshot", action((admin, r) -> admin.cloneSnapshot(r.string("snapshot"), r.table())));
    commands.put("delete_snapshot", action((admin, r) -> admin.deleteSnapshot(r.string("snapshot"))));
    commands.put("disable_table", action((admin, r) -> admin.disableTable(r.table())));
    commands.put("enable_table", action((admin, r) -> admin.enableTable(r.table())));
    commands.put("alter_table", action(AdminCommands::alterTable));
    commands.put("alter_family", action(AdminCommands::alterFamily));
    commands.put("add_family", action((admin, r) -> admin.addColumnFamily(r.table(), family(r.object("family")))));
    commands.put("drop_family", action((admin, r) ->
        admin.deleteColumnFamily(r.table(), Bytes.toBytes(r.string("family")))));
    commands.put("grant", action((admin, r) -> admin.grant(new UserPermission(r.string("user"),
        Permission.newBuilder().withActionCodes(Bytes.toBytes(r.string("actions"))).build()), true)));
    commands.put("grant_table", action((admin, r) -> admin.grant(new UserPermission(r.string("user"),
        Permission.newBuilder(r.table()).withActionCodes(Bytes.toBytes(r.string("actions"))).build()), true)));
    commands.put("tables", this::tables);
    commands.put("describe_table", this::describe);
  }

  /** A command without a result. */
  private Judge.Command action(Action action) {
    return request -> {
      try (Admin admin = judge.connection(request).getAdmin()) {
        action.run(admin, request);
      }
      return new JsonObject();
    };
  }

  private static void disable(Admin admin, TableName table) throws Exception {
    if (admin.isTableEnabled(table)) {
      admin.disableTable(table);
    }
  }

  private static void createTable(Admin admin, Request r) throws Exception {
    TableDescriptorBuilder table = TableDescriptorBuilder.newBuilder(r.table());
    r.map("attributes").forEach(table::setValue);
    for (Request family : r.objects("families")) {
      table.setColumnFamily(family(family));
    }
    byte[][] splits = r.byteStrings("splits").toArray(new byte[0][]);
    if (splits.length == 0) {
      admin.createTable(table.build());
    } else {
      admin.createTable(table.build(), splits);
    }
  }

  private static ColumnFamilyDescriptor family(Request r) {
    ColumnFamilyDescriptorBuilder family = ColumnFamilyDescriptorBuilder.newBuilder(Bytes.toBytes(r.string("name")));
    family.setMaxVersions(Math.max(1, r.integer("versions")));
    family.setScope(r.integer("scope"));
    if (r.integer("ttl") > 0) {
      family.setTimeToLive(r.integer("ttl"));
    }
    r.map("attributes").forEach(family::setValue);
    r.map("configuration").forEach(family::setConfiguration);
    return family.build();
  }

  private static void alterTable(Admin admin, Request r) throws Exception {
    TableDescriptorBuilder table = TableDescriptorBuilder.newBuilder(admin.getDescriptor(r.table()));
    r.map("attributes").forEach((key, value) -> {
      if (value.isEmpty()) {
        table.removeValue(Bytes.toBytes(key));
      } else {
        table.setValue(key, value);
      }
    });
    admin.modifyTable(table.build());
  }

  private static void alterFamily(Admin admin, Request r) throws Exception {
    byte[] name = Bytes.toBytes(r.string("family"));
    ColumnFamilyDescriptor old = admin.getDescriptor(r.table()).getColumnFamily(name);
    if (old == null) {
      throw new IllegalArgumentException("table " + r.table() + " has no family " + r.string("family"));
    }
    ColumnFamilyDescriptorBuilder family = ColumnFamilyDescriptorBuilder.newBuilder(old);
    // A null value removes the attribute.
    r.map("attributes").forEach((key, value) -> family.setValue(key, value.isEmpty() ? null : value));
    admin.modifyColumnFamily(r.table(), family.build());
  }

  private JsonObject tables(Request r) throws Exception {
    try (Admin admin = judge.connection(r).getAdmin()) {
      JsonObject result = new JsonObject();
      result.add("tables", Request.array(
          Arrays.stream(admin.listTableNames()).map(TableName::getNameAsString).sorted().toList()));
      return result;
    }
  }

  private JsonObject describe(Request r) throws Exception {
    try (Admin admin = judge.connection(r).getAdmin()) {
      TableDescriptor table = admin.getDescriptor(r.table());
      JsonArray families = new JsonArray();
      for (ColumnFamilyDescriptor f : table.getColumnFamilies()) {
        JsonObject family = new JsonObject();
        family.addProperty("name", f.getNameAsString());
        family.addProperty("versions", f.getMaxVersions());
        family.addProperty("scope", f.getScope());
        family.addProperty("ttl", f.getTimeToLive() == Integer.MAX_VALUE ? 0 : f.getTimeToLive());
        Map<String, String> attributes = new TreeMap<>();
        f.getValues().forEach((k, v) -> attributes.put(Bytes.toString(k.get()), Bytes.toString(v.copyBytes())));
        family.add("attributes", Request.object(attributes));
        family.add("configuration", Request.object(f.getConfiguration()));
        families.add(family);
      }
      Map<String, String> attributes = new TreeMap<>();
      table.getValues().forEach((k, v) -> attributes.put(Bytes.toString(k.get()), Bytes.toString(v.copyBytes())));
      JsonArray splits = new JsonArray();
      admin.getRegions(r.table()).stream().map(region -> region.getStartKey())
          .filter(key -> key.length > 0).sorted(Bytes.BYTES_COMPARATOR).forEach(key -> splits.add(Request.base64(key)));
      JsonObject result = new JsonObject();
      result.addProperty("name", table.getTableName().getNameAsString());
      result.add("families", families);
      result.add("attributes", Request.object(attributes));
      result.add("splits", splits);
      return result;
    }
  }
}
