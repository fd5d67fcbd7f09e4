/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Append;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.Delete;
import org.apache.hadoop.hbase.client.Increment;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Random writers that run in the background until they are stopped. */
final class MutatorCommands {
  private final Judge judge;
  private final Map<Long, Mutator> running = new ConcurrentHashMap<>();
  private final AtomicLong lastHandle = new AtomicLong();

  MutatorCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("mutator_start", request -> {
      Mutator mutator = new Mutator(judge.connection(request), request);
      long handle = lastHandle.incrementAndGet();
      running.put(handle, mutator);
      mutator.start();
      JsonObject result = new JsonObject();
      result.addProperty("handle", handle);
      return result;
    });
    commands.put("mutator_stats", request -> running.get(request.number("handle")).stats());
    commands.put("mutator_stop", request -> {
      Mutator mutator = running.remove(request.number("handle"));
      mutator.stop();
      return mutator.stats();
    });
  }

  private static final class Mutator {
    private static final long EXPLICIT_TIME = 1_700_000_000_000L;

    private final Connection connection;
    private final TableName table;
    private final List<byte[]> families;
    private final int keys;
    private final long seed;
    private final int rate;
    private final int threadCount;
    private final boolean serverTimes;
    private final int valueSize;
    private final List<Thread> threads = new ArrayList<>();
    private final Map<String, AtomicLong> acked = new ConcurrentHashMap<>();
    private final AtomicLong failed = new AtomicLong();
    private volatile String lastError = "";
    private volatile boolean stopped;

    Mutator(Connection connection, Request r) {
      this.connection = connection;
      table = r.table();
      families = r.strings("families").stream().map(Bytes::toBytes).toList();
      keys = Math.max(1, r.integer("keys"));
      seed = r.number("seed");
      rate = r.integer("rate");
      threadCount = Math.max(1, r.integer("threads"));
      serverTimes = r.flag("serverTimes");
      valueSize = Math.max(1, r.integer("valueSize"));
    }

    void start() {
      for (int i = 0; i < threadCount; i++) {
        int index = i;
        Thread thread = new Thread(() -> run(index), "mutator-" + table + "-" + i);
        thread.setDaemon(true);
        threads.add(thread);
      }
      threads.forEach(Thread::start);
    }

    void stop() throws InterruptedException {
      stopped = true;
      for (Thread thread : threads) {
        thread.join(); // the write in hand is waited for, so that what is counted is what is there
      }
    }

    JsonObject stats() {
      JsonObject kinds = new JsonObject();
      long sum = 0;
      for (Map.Entry<String, AtomicLong> e : new TreeMap<>(acked).entrySet()) {
        kinds.addProperty(e.getKey(), e.getValue().get());
        sum += e.getValue().get();
      }
      JsonObject result = new JsonObject();
      result.addProperty("acked", sum);
      result.addProperty("failed", failed.get());
      result.add("byKind", kinds);
      result.addProperty("lastError", lastError);
      return result;
    }

    private void run(int thread) {
      SplittableRandom random = new SplittableRandom(seed * 1000 + thread);
      long interval = rate == 0 ? 0 : 1_000_000_000L * threadCount / rate;
      long next = System.nanoTime();
      try (Table t = connection.getTable(table)) {
        while (!stopped) {
          try {
            String kind = mutate(t, random, thread);
            acked.computeIfAbsent(kind, k -> new AtomicLong()).incrementAndGet();
          } catch (IOException e) { // the cluster is being restarted, perhaps: the test sees the count
            failed.incrementAndGet();
            lastError = e.toString();
          }
          next = Math.max(next + interval, System.nanoTime() - 1_000_000_000L); // catches up one second at most
          while (!stopped && next > System.nanoTime()) {
            LockSupport.parkNanos(Math.min(next - System.nanoTime(), 100_000_000L));
          }
        }
      } catch (IOException | RuntimeException e) {
        failed.incrementAndGet();
        lastError = "writer ended: " + e;
      }
    }

    /** Threads write disjoint rows, so that each row's history has one author. */
    private String mutate(Table t, SplittableRandom random, int thread) throws IOException {
      int key = random.nextInt((keys + threadCount - 1) / threadCount) * threadCount + thread;
      byte[] row = Bytes.toBytes(Bytes.toHex(Bytes.toBytes((int) (key * 0x9E3779B1L))) + "-" + key);
      byte[] family = families.get(random.nextInt(families.size()));
      byte[] qualifier = Bytes.toBytes("q" + random.nextInt(4));
      boolean explicit = !serverTimes && random.nextInt(4) == 0;
      long ts = explicit ? EXPLICIT_TIME + random.nextInt(8) : Long.MAX_VALUE;
      int dice = random.nextInt(100);
      if (dice < 60) {
        Put put = new Put(row);
        for (int i = random.nextInt(3); i >= 0; i--) {
          put.addColumn(family, Bytes.toBytes("q" + random.nextInt(4)), ts, value(random));
        }
        t.put(put);
        return "put";
      }
      if (dice < 70) {
        t.increment(new Increment(row).addColumn(family, Bytes.toBytes("n"), random.nextInt(100)));
        return "increment";
      }
      if (dice < 78) {
        t.append(new Append(row).addColumn(family, Bytes.toBytes("a"), new byte[] {(byte) random.nextInt(256)}));
        return "append";
      }
      Delete delete = new Delete(row);
      String kind;
      // A marker of one version bears that version's timestamp, not the time of the write.
      if (dice < 85 && !serverTimes) {
        delete.addColumn(family, qualifier, ts);
        kind = "Delete";
      } else if (dice < 91) {
        delete.addColumns(family, qualifier, ts);
        kind = "DeleteColumn";
      } else if (dice < 95) {
        delete.addFamily(family, ts);
        kind = "DeleteFamily";
      } else if (dice < 98 && !serverTimes) {
        delete.addFamilyVersion(family, explicit ? ts : System.currentTimeMillis() - random.nextInt(50));
        kind = "DeleteFamilyVersion";
      } else {
        kind = "deleteRow";
      }
      t.delete(delete);
      return kind;
    }

    private byte[] value(SplittableRandom random) {
      byte[] value = new byte[valueSize];
      random.nextBytes(value);
      return value;
    }
  }
}
