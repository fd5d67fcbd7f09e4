/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.Cell;
import org.apache.hadoop.hbase.CellUtil;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.KeyValue;
import org.apache.hadoop.hbase.PrivateCellUtil;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptor;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.Delete;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.RegionInfo;
import org.apache.hadoop.hbase.client.RegionInfoBuilder;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.TableDescriptor;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.errorhandling.ForeignExceptionDispatcher;
import org.apache.hadoop.hbase.io.Reference;
import org.apache.hadoop.hbase.io.encoding.DataBlockEncoding;
import org.apache.hadoop.hbase.io.hfile.HFile;
import org.apache.hadoop.hbase.io.hfile.HFileContextBuilder;
import org.apache.hadoop.hbase.mob.MobFileCache;
import org.apache.hadoop.hbase.mob.MobUtils;
import org.apache.hadoop.hbase.regionserver.ChunkCreator;
import org.apache.hadoop.hbase.regionserver.HRegion;
import org.apache.hadoop.hbase.regionserver.HRegionFileSystem;
import org.apache.hadoop.hbase.regionserver.HStoreFile;
import org.apache.hadoop.hbase.regionserver.MemStoreLAB;
import org.apache.hadoop.hbase.regionserver.RegionScanner;
import org.apache.hadoop.hbase.shaded.protobuf.generated.SnapshotProtos.SnapshotDescription;
import org.apache.hadoop.hbase.snapshot.SnapshotDescriptionUtils;
import org.apache.hadoop.hbase.snapshot.SnapshotManifest;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hbase.util.CommonFSUtils;
import org.apache.hadoop.hbase.util.Pair;
import org.apache.hadoop.hbase.wal.WAL;
import org.apache.hadoop.hbase.wal.WALFactory;

/** Makes a snapshot with HBase's own classes, without a server: regions that were flushed, compacted, bulk-loaded into and split; and what a raw scan of them shows. */
public final class Snapshots {
  private static final byte[] A = Bytes.toBytes("a");
  private static final byte[] M = Bytes.toBytes("m");
  private static final long TS = 1_700_000_000_000L;

  public static void main(String[] args) throws Exception {
    Path root = new Path("file://" + args[0]);
    Configuration conf = HBaseConfiguration.create();
    conf.set("hbase.rootdir", root.toString());
    conf.set("hbase.wal.dir", "file://" + args[1]);
    conf.set("fs.defaultFS", "file:///");
    conf.set("hbase.wal.provider", "filesystem");
    conf.setBoolean("hbase.unsafe.stream.capability.enforce", false);
    conf.setBoolean("hbase.hregion.memstore.mslab.enabled", false);
    conf.setInt("hbase.hstore.compaction.min", 2);
    ChunkCreator.initialize(MemStoreLAB.CHUNK_SIZE_DEFAULT, false, 0, 0, 0, null, MemStoreLAB.INDEX_CHUNK_SIZE_PERCENTAGE_DEFAULT);
    FileSystem fs = root.getFileSystem(conf);
    fs.setVerifyChecksum(false);
    fs.setWriteChecksum(false);
    fs.mkdirs(root);
    TableName name = TableName.valueOf("shop:orders");
    TableDescriptor table = TableDescriptorBuilder.newBuilder(name)
        .setColumnFamily(ColumnFamilyDescriptorBuilder.newBuilder(A).setMaxVersions(100).setDataBlockEncoding(DataBlockEncoding.FAST_DIFF).setBlocksize(1024).build())
        .setColumnFamily(ColumnFamilyDescriptorBuilder.newBuilder(M).setMaxVersions(100).setMobEnabled(true).setMobThreshold(50).build()).build();
    Path dir = CommonFSUtils.getTableDir(root, name);
    WALFactory wals = new WALFactory(conf, "snapshots");
    RegionInfo parent = RegionInfoBuilder.newBuilder(name).setRegionId(TS).build();
    HRegion region = open(conf, fs, dir, wals, parent, table);
    for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 60; i++) {
        Put put = new Put(row(i));
        put.addColumn(A, Bytes.toBytes("q" + i % 3), TS, Bytes.toBytes("round " + round));
        put.addColumn(A, Bytes.toBytes("q" + i % 3), TS + round, Bytes.toBytes("v" + round));
        if (i % 7 == 0) {
          put.addColumn(M, Bytes.toBytes("blob"), TS, Bytes.toBytes("a value that is long enough to be a MOB, of round " + round + ", row " + i));
          put.addColumn(M, Bytes.toBytes("small"), TS + round, Bytes.toBytes("small"));
        }
        if (i % 11 == 0) {
          put.setTTL(1000L * 3600 * 24 * 365 * 100);
        }
        region.put(put);
        Delete delete = new Delete(row(i));
        switch (i % 10 == round ? i / 10 : -1) {
          case 0 -> delete.addColumn(A, Bytes.toBytes("q0"), TS);
          case 1 -> delete.addColumns(A, Bytes.toBytes("q1"), TS + 1);
          case 2 -> delete.addFamily(A, TS - 1);
          case 3 -> delete.addFamilyVersion(A, TS);
          default -> delete = null;
        }
        if (delete != null) {
          region.delete(delete);
        }
      }
      region.flush(true);
      if (round == 1) {
        region.compact(false);
      }
    }
    Path bulk = new Path(new Path(args[1]), "bulk/a/0123456789abcdef");
    try (HFile.Writer writer = HFile.getWriterFactoryNoCache(conf).withPath(fs, bulk).withFileContext(new HFileContextBuilder().build()).create()) {
      for (int i = 0; i < 60; i += 2) {
        writer.append(new KeyValue(row(i), A, Bytes.toBytes("q" + i % 3), TS, KeyValue.Type.Put, Bytes.toBytes("bulk")));
      }
      writer.appendFileInfo(HStoreFile.BULKLOAD_TIME_KEY, Bytes.toBytes(TS));
    }
    List<Pair<byte[], String>> load = new ArrayList<>();
    load.add(new Pair<>(A, bulk.toString()));
    region.bulkLoadHFiles(load, true, null);
    for (int i = 0; i < 60; i += 4) {
      region.put(new Put(row(i)).addColumn(A, Bytes.toBytes("q" + i % 3), TS, Bytes.toBytes("after the bulk load")));
    }
    region.flush(true);
    region.close();

    byte[] at = row(31);
    RegionInfo low = RegionInfoBuilder.newBuilder(name).setRegionId(TS + 1).setEndKey(at).build();
    RegionInfo high = RegionInfoBuilder.newBuilder(name).setRegionId(TS + 1).setStartKey(at).build();
    for (RegionInfo half : List.of(low, high)) {
      HRegionFileSystem.createRegionOnFileSystem(conf, fs, dir, half);
      for (ColumnFamilyDescriptor family : table.getColumnFamilies()) {
        Path to = new Path(new Path(dir, half.getEncodedName()), family.getNameAsString());
        fs.mkdirs(to);
        for (FileStatus file : fs.listStatus(new Path(new Path(dir, parent.getEncodedName()), family.getNameAsString()))) {
          Reference reference = half == low ? Reference.createBottomReference(at) : Reference.createTopReference(at);
          reference.write(fs, new Path(to, file.getPath().getName() + "." + parent.getEncodedName()));
        }
      }
    }
    try (PrintWriter out = new PrintWriter(args[2])) {
      for (RegionInfo half : List.of(low, high)) {
        HRegion daughter = open(conf, fs, dir, wals, half, table);
        if (half == low) {
          for (int i = 0; i < 10; i++) {
            daughter.put(new Put(row(i)).addColumn(A, Bytes.toBytes("q" + i % 3), TS, Bytes.toBytes("in the daughter")));
          }
          daughter.flush(true);
        }
        try (RegionScanner scanner = daughter.getScanner(new Scan().setRaw(true).readAllVersions())) {
          List<Cell> cells = new ArrayList<>();
          for (boolean more = true; more;) {
            cells.clear();
            more = scanner.next(cells);
            for (Cell c : cells) {
              out.println(Bytes.toString(CellUtil.cloneRow(c)) + "\t" + Bytes.toString(CellUtil.cloneFamily(c)) + "\t" + Bytes.toString(CellUtil.cloneQualifier(c))
                  + "\t" + c.getTimestamp() + "\t" + c.getType() + "\t" + Bytes.toHex(PrivateCellUtil.cloneTags(c)) + "\t" + Bytes.toString(CellUtil.cloneValue(c)));
            }
          }
        }
        daughter.close();
      }
    }
    SnapshotDescription snapshot = SnapshotDescription.newBuilder().setName("orders_snap").setTable("shop:orders").setVersion(2).setCreationTime(TS)
        .setType(SnapshotDescription.Type.FLUSH).build();
    Path working = SnapshotDescriptionUtils.getWorkingSnapshotDir(snapshot, root, conf);
    fs.mkdirs(working);
    SnapshotDescriptionUtils.writeSnapshotInfo(snapshot, working, fs);
    SnapshotManifest manifest = SnapshotManifest.create(conf, fs, working, snapshot, new ForeignExceptionDispatcher("orders_snap"));
    manifest.addTableDescriptor(table);
    manifest.addRegion(dir, RegionInfoBuilder.newBuilder(parent).setSplit(true).setOffline(true).build());
    manifest.addRegion(dir, low);
    manifest.addRegion(dir, high);
    manifest.addMobRegion(MobUtils.getMobRegionInfo(name));
    manifest.consolidate();
    Path done = SnapshotDescriptionUtils.getCompletedSnapshotDir(snapshot, root);
    fs.mkdirs(done.getParent());
    fs.rename(working, done);
    System.exit(0);
  }

  private static byte[] row(int i) {
    return Bytes.toBytes(String.format("r%03d", i));
  }

  private static HRegion open(Configuration conf, FileSystem fs, Path dir, WALFactory wals, RegionInfo info, TableDescriptor table) throws Exception {
    if (!fs.exists(new Path(dir, info.getEncodedName()))) {
      HRegionFileSystem.createRegionOnFileSystem(conf, fs, dir, info);
    }
    WAL wal = wals.getWAL(info);
    HRegion region = HRegion.newHRegion(dir, wal, fs, conf, info, table, null);
    region.setMobFileCache(new MobFileCache(conf));
    region.initialize();
    return region;
  }
}
