/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
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
import org.apache.hadoop.hbase.snapshot.ExportSnapshot;
import org.apache.hadoop.hbase.tool.BulkLoadHFiles;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hdfs.client.CreateEncryptionZoneFlag;
import org.apache.hadoop.hdfs.client.HdfsAdmin;
import org.apache.hadoop.util.ToolRunner;
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
    commands.put("export_snapshot", this::export);
    commands.put("unreadable_files", this::unreadable);
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

  /** Runs HBase's ExportSnapshot in this process, with MapReduce's local runner. */
  private JsonObject export(Request r) throws Exception {
    Configuration conf = Judge.configuration(r.string("cluster"));
    String tmp = System.getProperty("java.io.tmpdir");
    conf.set("mapreduce.framework.name", "local");
    conf.set("hadoop.tmp.dir", tmp);
    conf.set("hbase.fs.tmp.dir", tmp);
    conf.set("hbase.rootdir", r.string("root"));
    List<String> args = new ArrayList<>(List.of("-snapshot", r.string("snapshot"), "-copy-to", r.string("to"), "-mappers", "2"));
    if (r.string("to").startsWith("file:")) {
      args.add("-no-checksum-verify"); // the sums of HDFS are of another kind
    }
    int code = ToolRunner.run(conf, new ExportSnapshot(), args.toArray(new String[0]));
    if (code != 0) {
      throw new IllegalStateException("ExportSnapshot ended with " + code + " (see the judge's log)");
    }
    return new JsonObject();
  }

  /** Makes below the folder plain/file, zone/file in an encryption zone, and striped/file under an erasure coding policy. */
  private JsonObject unreadable(Request r) throws Exception {
    Configuration conf = new Configuration();
    Path dir = new Path(r.string("dir"));
    conf.set("fs.defaultFS", new Path("/").makeQualified(dir.toUri(), new Path("/")).toString());
    conf.set("hadoop.security.key.provider.path", r.string("keys"));
    FileSystem fs = dir.getFileSystem(conf);
    HdfsAdmin admin = new HdfsAdmin(fs.getUri(), conf);
    for (String sub : new String[] {"zone", "striped", "plain"}) {
      fs.mkdirs(new Path(dir, sub));
    }
    admin.createEncryptionZone(new Path(dir, "zone"), r.string("key"), EnumSet.noneOf(CreateEncryptionZoneFlag.class));
    admin.enableErasureCodingPolicy("XOR-2-1-1024k");
    admin.setErasureCodingPolicy(new Path(dir, "striped"), "XOR-2-1-1024k");
    for (String sub : new String[] {"zone", "striped", "plain"}) {
      fs.create(new Path(new Path(dir, sub), "file")).close();
    }
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
