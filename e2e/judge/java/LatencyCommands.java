/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Get;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Puts at a steady rate, with the time when each was acknowledged, and when it was seen at another cluster. */
final class LatencyCommands {
  private final Judge judge;

  LatencyCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("put_latency", this::run);
  }

  private JsonObject run(Request r) throws Exception {
    Run run = new Run(r);
    AtomicReference<Throwable> failed = new AtomicReference<>();
    Thread watcher = new Thread(() -> {
      try {
        run.watch();
      } catch (Throwable t) {
        failed.set(t);
      }
    }, "watcher");
    if (!r.string("destination").isEmpty()) {
      watcher.start();
    }
    run.write();
    watcher.join();
    if (failed.get() != null) {
      throw new IllegalStateException("watch the destination: " + failed.get(), failed.get());
    }
    JsonObject result = new JsonObject();
    JsonArray rows = new JsonArray();
    for (byte[] row : run.rows) {
      rows.add(Bytes.toString(row));
    }
    result.add("rows", rows);
    result.add("acked", micros(run.acked));
    result.add("visible", micros(run.visible));
    return result;
  }

  private static JsonArray micros(long[] times) {
    JsonArray array = new JsonArray();
    for (long t : times) {
      array.add(t);
    }
    return array;
  }

  private final class Run {
    private static final int ASK_AT_ONCE = 500;

    private final Request r;
    private final byte[][] rows;
    private final long[] acked;   // microseconds since 1970
    private final long[] visible; // 0: not asked for
    private final AtomicInteger written = new AtomicInteger();

    Run(Request r) {
      this.r = r;
      int count = r.integer("count");
      rows = new byte[count][];
      acked = new long[count];
      visible = new long[count];
      SplittableRandom random = new SplittableRandom(r.number("seed"));
      for (int i = 0; i < count; i++) { // spread over the regions
        rows[i] = Bytes.toBytes(String.format("%04x-%s-%d", random.nextInt(0x10000), r.string("prefix"), i));
      }
    }

    private static long now() {
      return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    }

    void write() throws Exception {
      byte[] value = new byte[r.integer("valueSize")];
      long pause = 1_000_000_000L / r.integer("rate");
      long next = System.nanoTime();
      try (Table table = judge.connection(r).getTable(r.table())) {
        for (int i = 0; i < rows.length; i++) {
          for (long left = next - System.nanoTime(); left > 0; left = next - System.nanoTime()) {
            LockSupport.parkNanos(left);
          }
          next += pause;
          table.put(new Put(rows[i]).addColumn(Bytes.toBytes(r.string("family")), Bytes.toBytes("q"), value));
          acked[i] = now();
          written.set(i + 1);
        }
      }
    }

    /** Asks for what is written and was not seen, over and over. */
    void watch() throws Exception {
      long end = System.nanoTime() + r.number("timeoutMS") * 1_000_000;
      try (Table table = judge.connection(r.string("destination")).getTable(TableName.valueOf(r.string("destinationTable")))) {
        List<Integer> open = new ArrayList<>();
        int taken = 0;
        while (taken < rows.length || !open.isEmpty()) {
          for (int n = written.get(); taken < n && open.size() < ASK_AT_ONCE; taken++) {
            open.add(taken);
          }
          boolean[] there = table.exists(open.stream().map(i -> new Get(rows[i])).toList());
          long seen = now();
          List<Integer> left = new ArrayList<>();
          for (int k = 0; k < there.length; k++) {
            if (there[k]) {
              visible[open.get(k)] = seen;
            } else {
              left.add(open.get(k));
            }
          }
          open = left;
          if (System.nanoTime() > end) {
            throw new TimeoutException(open.size() + " of " + taken + " rows are not visible");
          }
          LockSupport.parkNanos(1_000_000);
        }
      }
    }
  }
}
