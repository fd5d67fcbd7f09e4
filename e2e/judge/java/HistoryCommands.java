/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.hadoop.hbase.Cell;
import org.apache.hadoop.hbase.CellUtil;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Append;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.Delete;
import org.apache.hadoop.hbase.client.Increment;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/**
 * Random writers that write down what they did, one JSON object per write: its row, its cells, when it was sent and when
 * HBase acknowledged it (0: it failed, so nobody knows whether it happened). A row has one writer, which waits for each
 * acknowledgement: so the lines of a row are in the order of HBase's log.
 */
final class HistoryCommands {
  /** The server set the timestamp between sending and acknowledgement. */
  private static final long SERVER_TIME = Long.MIN_VALUE;
  /** The server chose the timestamp from what it held. */
  private static final long ANY_TIME = Long.MIN_VALUE + 1;
  private static final byte[] NONE = {};

  private final Judge judge;
  private final Map<Long, History> running = new ConcurrentHashMap<>();
  private final AtomicLong lastHandle = new AtomicLong();

  HistoryCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("history_start", request -> {
      History history = new History(judge.connection(request), request);
      long handle = lastHandle.incrementAndGet();
      running.put(handle, history);
      history.start();
      JsonObject result = new JsonObject();
      result.addProperty("handle", handle);
      return result;
    });
    commands.put("history_stop", request -> running.remove(request.number("handle")).stop());
  }

  private interface Operation {
    Result run() throws IOException;
  }

  private static final class History {
    private final Connection connection;
    private final TableName table;
    private final List<byte[]> families;
    private final int rows;
    private final long seed;
    private final int rate;
    private final int threadCount;
    private final boolean distinct;
    private final BufferedWriter log;
    private final List<Thread> threads = new ArrayList<>();
    private final AtomicLong acked = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private volatile String lastError = "";
    private volatile boolean stopped;

    History(Connection connection, Request r) throws IOException {
      this.connection = connection;
      table = r.table();
      families = r.strings("families").stream().map(Bytes::toBytes).toList();
      rows = r.integer("rows");
      seed = r.number("seed");
      rate = r.integer("rate");
      threadCount = Math.max(1, r.integer("threads"));
      distinct = r.flag("distinct");
      log = Files.newBufferedWriter(Path.of(r.string("log")));
    }

    void start() {
      for (int i = 0; i < threadCount; i++) {
        int index = i;
        Thread thread = new Thread(() -> run(index), "history-" + table + "-" + i);
        thread.setDaemon(true);
        threads.add(thread);
      }
      threads.forEach(Thread::start);
    }

    JsonObject stop() throws Exception {
      stopped = true;
      for (Thread thread : threads) {
        thread.join();
      }
      log.close();
      JsonObject result = new JsonObject();
      result.addProperty("acked", acked.get());
      result.addProperty("failed", failed.get());
      result.addProperty("lastError", lastError);
      return result;
    }

    private void run(int thread) {
      long interval = rate == 0 ? 0 : 1_000_000_000L * threadCount / rate;
      long next = System.nanoTime();
      try (Table t = connection.getTable(table)) {
        Writer writer = new Writer(t, thread);
        while (!stopped) {
          writer.step();
          next = Math.max(next + interval, System.nanoTime() - 1_000_000_000L);
          while (!stopped && next > System.nanoTime()) {
            LockSupport.parkNanos(Math.min(next - System.nanoTime(), 100_000_000L));
          }
        }
      } catch (IOException | RuntimeException e) {
        failed.incrementAndGet();
        lastError = "writer ended: " + e;
      }
    }

    private final class Writer {
      private final Table table;
      private final int thread;
      private final SplittableRandom random;
      private long values;

      Writer(Table table, int thread) {
        this.table = table;
        this.thread = thread;
        random = new SplittableRandom(seed * 1000 + thread);
      }

      void step() throws IOException {
        int key = random.nextInt((rows + threadCount - 1) / threadCount) * threadCount + thread;
        byte[] row = Bytes.toBytes(Bytes.toHex(Bytes.toBytes((int) (key * 0x9E3779B1L))) + "-" + key);
        byte[] family = families.get(random.nextInt(families.size()));
        byte[] qualifier = Bytes.toBytes("q" + random.nextInt(4));
        long ts = random.nextInt(3) == 0 ? 1_700_000_000_000L + random.nextInt(8) : Long.MAX_VALUE;
        int dice = random.nextInt(100);
        if (dice < 45) {
          put(row, family, ts, 1 + random.nextInt(3));
        } else if (dice < 60) {
          long now = System.currentTimeMillis();
          putAt(row, family, qualifier, now);
          delete(row, family, qualifier, now, random.nextInt(4));
          putAt(row, family, qualifier, now);
        } else if (dice < 72) {
          Increment increment = new Increment(row).addColumn(family, Bytes.toBytes("n"), random.nextInt(100));
          write(row, new JsonArray(), () -> table.increment(increment));
        } else if (dice < 76) {
          Append append = new Append(row).addColumn(family, Bytes.toBytes("a"), Bytes.toBytes("+"));
          write(row, new JsonArray(), () -> table.append(append));
        } else if (dice < 97) {
          delete(row, family, qualifier, ts, random.nextInt(4));
        } else {
          JsonArray cells = new JsonArray();
          for (byte[] f : families) {
            cells.add(cell(f, NONE, SERVER_TIME, "DeleteFamily", NONE));
          }
          Delete whole = new Delete(row);
          write(row, cells, () -> {
            table.delete(whole);
            return null;
          });
        }
      }

      /** Unlike any other, or for an explicit timestamp, unless distinct, always the same. */
      private byte[] value(long ts) {
        boolean rewrite = ts != Long.MAX_VALUE && !distinct;
        return Bytes.toBytes(rewrite ? "at " + ts : "w" + thread + "." + values++);
      }

      private void put(byte[] row, byte[] family, long ts, int columns) throws IOException {
        Put put = new Put(row);
        JsonArray cells = new JsonArray();
        int first = random.nextInt(4);
        for (int i = 0; i < columns; i++) {
          byte[] qualifier = Bytes.toBytes("q" + (first + i) % 4);
          byte[] value = value(ts);
          put.addColumn(family, qualifier, ts, value);
          cells.add(cell(family, qualifier, ts == Long.MAX_VALUE ? SERVER_TIME : ts, "Put", value));
        }
        write(row, cells, () -> {
          table.put(put);
          return null;
        });
      }

      private void putAt(byte[] row, byte[] family, byte[] qualifier, long ts) throws IOException {
        byte[] value = value(ts);
        JsonArray cells = new JsonArray();
        cells.add(cell(family, qualifier, ts, "Put", value));
        Put put = new Put(row).addColumn(family, qualifier, ts, value);
        write(row, cells, () -> {
          table.put(put);
          return null;
        });
      }

      private void delete(byte[] row, byte[] family, byte[] qualifier, long ts, int kind) throws IOException {
        Delete delete = new Delete(row);
        JsonArray cells = new JsonArray();
        long known = ts == Long.MAX_VALUE ? SERVER_TIME : ts;
        switch (kind) {
          case 0 -> {
            delete.addColumn(family, qualifier, ts);
            cells.add(cell(family, qualifier, ts == Long.MAX_VALUE ? ANY_TIME : ts, "Delete", NONE));
          }
          case 1 -> {
            delete.addColumns(family, qualifier, ts);
            cells.add(cell(family, qualifier, known, "DeleteColumn", NONE));
          }
          case 2 -> {
            delete.addFamily(family, ts);
            cells.add(cell(family, NONE, known, "DeleteFamily", NONE));
          }
          default -> {
            long version = ts == Long.MAX_VALUE ? System.currentTimeMillis() - random.nextInt(50) : ts;
            delete.addFamilyVersion(family, version);
            cells.add(cell(family, NONE, version, "DeleteFamilyVersion", NONE));
          }
        }
        write(row, cells, () -> {
          table.delete(delete);
          return null;
        });
      }

      /** Runs one write and logs it; a result's cells are what the write has made. */
      private void write(byte[] row, JsonArray cells, Operation operation) throws IOException {
        JsonObject line = new JsonObject();
        line.addProperty("row", Bytes.toString(row));
        line.addProperty("sent", System.currentTimeMillis());
        long at = 0;
        try {
          Result result = operation.run();
          at = System.currentTimeMillis();
          acked.incrementAndGet();
          for (Cell c : result == null ? new Cell[0] : result.rawCells()) {
            cells.add(cell(CellUtil.cloneFamily(c), CellUtil.cloneQualifier(c), c.getTimestamp(), "Put", CellUtil.cloneValue(c)));
          }
        } catch (IOException e) {
          failed.incrementAndGet();
          lastError = e.toString();
        }
        line.addProperty("acked", at);
        line.add("cells", cells);
        synchronized (log) {
          log.write(line + "\n");
        }
      }

      private static JsonObject cell(byte[] family, byte[] qualifier, long ts, String type, byte[] value) {
        JsonObject cell = new JsonObject();
        cell.addProperty("family", Bytes.toString(family));
        cell.addProperty("qualifier", Bytes.toString(qualifier));
        cell.addProperty("timestamp", ts);
        cell.addProperty("type", type);
        cell.addProperty("value", Bytes.toHex(value));
        return cell;
      }
    }
  }
}
