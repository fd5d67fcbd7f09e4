/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.hbase.Cell;
import org.apache.hadoop.hbase.CellUtil;
import org.apache.hadoop.hbase.HRegionLocation;
import org.apache.hadoop.hbase.ServerName;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.CompactionState;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.RegionInfo;
import org.apache.hadoop.hbase.client.RegionLocator;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.ResultScanner;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Regions and region servers: what an operator or the balancer does to them. */
final class RegionCommands {
  private final Judge judge;

  RegionCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("region_servers", request -> {
      try (Admin admin = judge.connection(request).getAdmin()) {
        JsonObject result = new JsonObject();
        result.add("servers", Request.array(admin.getRegionServers().stream().map(ServerName::toString).toList()));
        return result;
      }
    });
    commands.put("regions", this::regions);
    commands.put("openings", this::openings);
    commands.put("flush", this::flush);
    commands.put("major_compact", this::majorCompact);
    commands.put("split", this::split);
    commands.put("merge", this::merge);
    commands.put("move", this::move);
    commands.put("roll_wals", this::rollWALs);
  }

  private JsonObject regions(Request r) throws Exception {
    JsonArray regions = new JsonArray();
    try (RegionLocator locator = judge.connection(r).getRegionLocator(r.table())) {
      locator.clearRegionLocationCache();
      for (HRegionLocation location : locator.getAllRegionLocations()) {
        JsonObject region = new JsonObject();
        region.addProperty("encoded", location.getRegion().getEncodedName());
        region.addProperty("start", Request.base64(location.getRegion().getStartKey()));
        region.addProperty("end", Request.base64(location.getRegion().getEndKey()));
        region.addProperty("server", String.valueOf(location.getServerName()));
        regions.add(region);
      }
    }
    JsonObject result = new JsonObject();
    result.add("regions", regions);
    return result;
  }

  /** What hbase:meta keeps of each opening of a table's regions, those that are gone included: for serial peers. */
  private JsonObject openings(Request r) throws Exception {
    byte[] family = Bytes.toBytes("rep_barrier");
    String name = r.table().getNameAsString();
    Scan scan = new Scan().withStartRow(Bytes.toBytes(name + ",,")).withStopRow(Bytes.toBytes(name + "-")).addFamily(family).readAllVersions();
    JsonObject openings = new JsonObject();
    try (Table meta = judge.connection(r).getTable(TableName.META_TABLE_NAME); ResultScanner rows = meta.getScanner(scan)) {
      for (Result row : rows) {
        JsonArray sequences = new JsonArray();
        for (Cell cell : row.rawCells()) {
          if (CellUtil.matchingQualifier(cell, Bytes.toBytes("seqnumDuringOpen"))) {
            sequences.add(Bytes.toLong(CellUtil.cloneValue(cell)));
          }
        }
        openings.add(RegionInfo.encodeRegionName(row.getRow()), sequences);
      }
    }
    JsonObject result = new JsonObject();
    result.add("openings", openings);
    return result;
  }

  private JsonObject flush(Request r) throws Exception {
    try (Admin admin = judge.connection(r).getAdmin()) {
      admin.flush(r.table());
    }
    return new JsonObject();
  }

  private JsonObject majorCompact(Request r) throws Exception {
    try (Admin admin = judge.connection(r).getAdmin()) {
      admin.majorCompact(r.table()); // the servers have chosen the files when this returns
      while (admin.getCompactionState(r.table()) != CompactionState.NONE) {
        Thread.sleep(50);
      }
    }
    return new JsonObject();
  }

  private JsonObject split(Request r) throws Exception {
    Connection connection = judge.connection(r);
    byte[] at = r.bytes("at");
    try (Admin admin = connection.getAdmin()) {
      List<RegionInfo> regions = admin.getRegions(r.table());
      RegionInfo region = regions.stream().filter(x -> x.containsRow(at)).min(Comparator.naturalOrder())
          .orElseThrow(() -> new IllegalStateException("no region of " + r.table() + " holds " + Bytes.toStringBinary(at)));
      admin.splitRegionAsync(region.getRegionName(), at.length == 0 ? null : at).get();
      while (admin.getRegions(r.table()).size() <= regions.size()) {
        Thread.sleep(50);
      }
    }
    return new JsonObject();
  }

  private JsonObject merge(Request r) throws Exception {
    byte[][] names = r.strings("regions").stream().map(Bytes::toBytes).toArray(byte[][]::new);
    try (Admin admin = judge.connection(r).getAdmin()) {
      admin.mergeRegionsAsync(names, true).get();
    }
    return new JsonObject();
  }

  private JsonObject move(Request r) throws Exception {
    byte[] encoded = Bytes.toBytes(r.string("region"));
    try (Admin admin = judge.connection(r).getAdmin()) {
      if (r.string("server").isEmpty()) {
        admin.move(encoded);
      } else {
        admin.move(encoded, ServerName.valueOf(r.string("server")));
      }
    }
    return new JsonObject();
  }

  private JsonObject rollWALs(Request r) throws Exception {
    try (Admin admin = judge.connection(r).getAdmin()) {
      for (ServerName server : admin.getRegionServers()) {
        admin.rollWALWriter(server);
      }
    }
    return new JsonObject();
  }
}
