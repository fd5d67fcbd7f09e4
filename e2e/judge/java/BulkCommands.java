/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.KeyValue;
import org.apache.hadoop.hbase.RegionMetrics;
import org.apache.hadoop.hbase.ServerName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.io.hfile.HFile;
import org.apache.hadoop.hbase.io.hfile.HFileContextBuilder;
import org.apache.hadoop.hbase.regionserver.HStoreFile;
import org.apache.hadoop.hbase.tool.BulkLoadHFiles;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Bulk loads by HBase's own tool, and what region servers count. */
final class BulkCommands {
  private final Judge judge;

  BulkCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("bulk_load", this::bulkLoad);
    commands.put("read_requests", this::readRequests);
  }

  /** Writes an HFile of rows "PREFIX%06d", one cell each, below the folder and has it loaded. */
  private JsonObject bulkLoad(Request r) throws Exception {
    Configuration conf = new Configuration(judge.connection(r).getConfiguration());
    Path dir = new Path(r.string("dir"));
    conf.set("fs.defaultFS", new Path("/").makeQualified(dir.toUri(), new Path("/")).toString());
    FileSystem fs = dir.getFileSystem(conf);
    byte[] family = Bytes.toBytes(r.string("family"));
    byte[] qualifier = Bytes.toBytes(r.string("qualifier"));
    Path file = new Path(new Path(dir, r.string("family")), "0123456789abcdef");
    try (HFile.Writer writer = HFile.getWriterFactoryNoCache(conf).withPath(fs, file)
        .withFileContext(new HFileContextBuilder().withIncludesTags(true).build()).create()) {
      for (int i = 0; i < r.integer("rows"); i++) {
        byte[] row = Bytes.toBytes(String.format("%s%06d", r.string("prefix"), i));
        writer.append(new KeyValue(row, family, qualifier, r.number("timestamp"), KeyValue.Type.Put, Bytes.toBytes(r.string("value") + i)));
      }
      writer.appendFileInfo(HStoreFile.BULKLOAD_TIME_KEY, Bytes.toBytes(System.currentTimeMillis()));
    }
    BulkLoadHFiles.create(conf).bulkLoad(r.table(), dir);
    return new JsonObject();
  }

  /** The requests to read that the region servers have counted for a table's regions, asked of the servers themselves. */
  private JsonObject readRequests(Request r) throws Exception {
    long n = 0;
    try (Admin admin = judge.connection(r).getAdmin()) {
      for (ServerName server : admin.getRegionServers()) {
        for (RegionMetrics region : admin.getRegionMetrics(server, r.table())) {
          n += region.getReadRequestCount();
        }
      }
    }
    JsonObject result = new JsonObject();
    result.addProperty("requests", n);
    return result;
  }
}
