/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.hadoop.hbase.KeyValue;
import org.apache.hadoop.hbase.PrivateCellUtil;
import org.apache.hadoop.hbase.client.Append;
import org.apache.hadoop.hbase.client.AsyncConnection;
import org.apache.hadoop.hbase.client.AsyncTable;
import org.apache.hadoop.hbase.client.BufferedMutator;
import org.apache.hadoop.hbase.client.BufferedMutatorParams;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Delete;
import org.apache.hadoop.hbase.client.Durability;
import org.apache.hadoop.hbase.client.Increment;
import org.apache.hadoop.hbase.client.Mutation;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.RowMutations;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Writes exactly what it is told, and bulk loads of a deterministic table. */
final class WriteCommands {
  private final Judge judge;

  WriteCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("write", this::write);
    commands.put("load", this::load);
  }

  /** Applies the mutations one after the other, each acknowledged before the next is sent. */
  private JsonObject write(Request r) throws Exception {
    try (Table table = judge.connection(r).getTable(r.table())) {
      for (Request m : r.objects("mutations")) {
        switch (m.string("kind")) {
          case "put" -> table.put(put(m));
          case "delete" -> table.delete(delete(m));
          case "increment" -> table.increment(increment(m));
          case "append" -> table.append(append(m));
          case "atomic" -> table.mutateRow(atomic(m));
          default -> throw new IllegalArgumentException("unknown mutation " + m.string("kind"));
        }
      }
    }
    return new JsonObject();
  }

  private static RowMutations atomic(Request r) throws Exception {
    List<Mutation> parts = new ArrayList<>();
    for (Request part : r.objects("parts")) {
      switch (part.string("kind")) {
        case "put" -> parts.add(put(part));
        case "delete" -> parts.add(delete(part));
        default -> throw new IllegalArgumentException(part.string("kind") + " cannot be part of an atomic mutation");
      }
    }
    RowMutations mutations = new RowMutations(r.bytes("row"), parts.size());
    mutations.add(parts);
    return mutations;
  }

  private static Put put(Request r) throws Exception {
    Put put = new Put(r.bytes("row"));
    for (Request c : r.objects("cells")) {
      KeyValue kv = new KeyValue(put.getRow(), c.bytes("family"), c.bytes("qualifier"), timestamp(c),
          KeyValue.Type.Put, c.bytes("value"));
      byte[] tags = c.bytes("tags");
      put.add(tags.length == 0 ? kv : PrivateCellUtil.createCell(kv, tags));
    }
    if (r.number("ttl") > 0) {
      put.setTTL(r.number("ttl"));
    }
    common(put, r);
    return put;
  }

  /** A delete without cells deletes the row. */
  private static Delete delete(Request r) {
    Delete delete = new Delete(r.bytes("row"));
    for (Request c : r.objects("cells")) {
      byte[] family = c.bytes("family");
      byte[] qualifier = c.bytes("qualifier");
      long ts = timestamp(c);
      switch (c.string("type")) {
        case "Delete" -> delete.addColumn(family, qualifier, ts);
        case "DeleteColumn" -> delete.addColumns(family, qualifier, ts);
        case "DeleteFamily" -> delete.addFamily(family, ts);
        case "DeleteFamilyVersion" -> delete.addFamilyVersion(family, ts);
        default -> throw new IllegalArgumentException("unknown delete type " + c.string("type"));
      }
    }
    common(delete, r);
    return delete;
  }

  private static Increment increment(Request r) {
    Increment increment = new Increment(r.bytes("row"));
    for (Request c : r.objects("cells")) {
      increment.addColumn(c.bytes("family"), c.bytes("qualifier"), Bytes.toLong(c.bytes("value")));
    }
    common(increment, r);
    return increment;
  }

  private static Append append(Request r) {
    Append append = new Append(r.bytes("row"));
    for (Request c : r.objects("cells")) {
      append.addColumn(c.bytes("family"), c.bytes("qualifier"), c.bytes("value"));
    }
    common(append, r);
    return append;
  }

  private static void common(Mutation mutation, Request r) {
    Request attributes = r.object("attributes");
    attributes.names().forEach(name -> mutation.setAttribute(name, attributes.bytes(name)));
    List<String> clusters = r.strings("clusterIDs");
    if (!clusters.isEmpty()) {
      mutation.setClusterIds(clusters.stream().map(UUID::fromString).toList());
    }
    if (r.flag("skipWAL")) {
      mutation.setDurability(Durability.SKIP_WAL);
    }
  }

  /** The cell's timestamp; none given means that the server sets it. */
  private static long timestamp(Request cell) {
    return cell.flag("timed") ? cell.number("timestamp") : Long.MAX_VALUE;
  }

  private JsonObject load(Request r) throws Exception {
    LoadSpec spec = new LoadSpec(r);
    long start = System.nanoTime();
    if (r.flag("singly")) {
      loadSingly(r, spec);
    } else {
      loadBatched(r, spec);
    }
    JsonObject result = new JsonObject();
    result.addProperty("rows", spec.rows);
    result.addProperty("cells", spec.rows * spec.families.size() * spec.columns * spec.versions);
    result.addProperty("elapsedMS", (System.nanoTime() - start) / 1_000_000);
    return result;
  }

  private void loadBatched(Request r, LoadSpec spec) throws Exception {
    BufferedMutatorParams params = new BufferedMutatorParams(r.table()).writeBufferSize(4 << 20);
    try (BufferedMutator mutator = judge.connection(r).getBufferedMutator(params)) {
      for (int version = 1; version <= spec.versions; version++) {
        for (long row = spec.firstRow; row < spec.firstRow + spec.rows; row++) {
          mutator.mutate(spec.put(row, version));
        }
        mutator.flush(); // a later version never overtakes an earlier one
      }
    }
  }

  /** A call and a WAL edit for each row, many under way at once. */
  private static void loadSingly(Request r, LoadSpec spec) throws Exception {
    final int underWay = 400;
    Semaphore room = new Semaphore(underWay);
    AtomicReference<Throwable> failed = new AtomicReference<>();
    try (AsyncConnection connection = ConnectionFactory.createAsyncConnection(Judge.configuration(r.string("cluster"))).get()) {
      AsyncTable<?> table = connection.getTable(r.table());
      for (int version = 1; version <= spec.versions; version++) {
        for (long row = spec.firstRow; row < spec.firstRow + spec.rows && failed.get() == null; row++) {
          room.acquire();
          table.put(spec.put(row, version)).whenComplete((done, error) -> {
            if (error != null) {
              failed.compareAndSet(null, error);
            }
            room.release();
          });
        }
        room.acquire(underWay); // a later version never overtakes an earlier one
        room.release(underWay);
      }
    }
    if (failed.get() != null) {
      throw new IOException("put: " + failed.get(), failed.get());
    }
  }

  /** A table made of a seed: the same spec gives the same cells. */
  private static final class LoadSpec {
    final long rows;
    final long firstRow;
    final long seed;
    final List<byte[]> families;
    final int columns;
    final int versions;
    final int valueSize;
    final boolean binaryKeys;
    final long baseTime;

    LoadSpec(Request r) {
      rows = r.number("rows");
      firstRow = r.number("firstRow");
      seed = r.number("seed");
      families = r.strings("families").stream().map(Bytes::toBytes).toList();
      columns = Math.max(1, r.integer("columns"));
      versions = Math.max(1, r.integer("versions"));
      valueSize = r.integer("valueSize");
      binaryKeys = r.flag("binaryKeys");
      baseTime = r.number("baseTime");
    }

    Put put(long row, int version) {
      SplittableRandom random = new SplittableRandom(mix(seed) ^ mix(row * 31 + version));
      Put put = new Put(key(row));
      for (byte[] family : families) {
        for (int column = 0; column < columns; column++) {
          byte[] qualifier = Bytes.toBytes("q" + column);
          byte[] value = new byte[valueSize];
          random.nextBytes(value);
          if (baseTime == 0) {
            put.addColumn(family, qualifier, value);
          } else {
            put.addColumn(family, qualifier, baseTime + version, value);
          }
        }
      }
      return put;
    }

    /** Keys spread evenly: 16 hex digits, or 8 random bytes and the row number. */
    private byte[] key(long row) {
      long spread = mix(seed + row);
      if (!binaryKeys) {
        return Bytes.toBytes(Bytes.toHex(Bytes.toBytes(spread)));
      }
      byte[] key = ByteBuffer.allocate(16).putLong(spread).putLong(row).array();
      return Arrays.copyOf(key, 16 - (int) (row & 3) * 2); // of different lengths, none lost: spread is unique
    }

    /** A bijection of the 64-bit numbers (the finaliser of SplitMix64). */
    private static long mix(long z) {
      z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
      z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
      return z ^ (z >>> 31);
    }
  }
}
