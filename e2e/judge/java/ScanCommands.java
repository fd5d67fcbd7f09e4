/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.IOException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.TreeMap;
import org.apache.hadoop.hbase.Cell;
import org.apache.hadoop.hbase.CellComparator;
import org.apache.hadoop.hbase.CellUtil;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptor;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.Get;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.ResultScanner;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Reads and compares tables, cell by cell. */
final class ScanCommands {
  private final Judge judge;

  ScanCommands(Judge judge) {
    this.judge = judge;
  }

  void register(Map<String, Judge.Command> commands) {
    commands.put("checksum", this::checksum);
    commands.put("diff", this::diff);
    commands.put("read_row", this::readRow);
    commands.put("cells", this::cells);
    commands.put("count_rows", this::countRows);
  }

  /** All cells of a table in HBase's order. */
  private static final class Cells implements Iterator<Cell>, AutoCloseable {
    private final Table table;
    private final ResultScanner scanner;
    private Cell[] batch = new Cell[0];
    private int next;

    Cells(Connection connection, TableName name, Request options) throws IOException {
      table = connection.getTable(name);
      scanner = table.getScanner(scan(table, options));
    }

    @Override
    public boolean hasNext() {
      while (next == batch.length) {
        try {
          Result result = scanner.next();
          if (result == null) {
            return false;
          }
          batch = result.rawCells();
          next = 0;
        } catch (IOException e) {
          throw new java.io.UncheckedIOException(e);
        }
      }
      return true;
    }

    @Override
    public Cell next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      return batch[next++];
    }

    @Override
    public void close() throws IOException {
      scanner.close();
      table.close();
    }
  }

  private static Scan scan(Table table, Request options) throws IOException {
    Scan scan = new Scan().readAllVersions().setRaw(!options.flag("visible"));
    scan.setCacheBlocks(false).setCaching(Integer.MAX_VALUE).setMaxResultSize(4 << 20);
    scan.setAllowPartialResults(true).setAsyncPrefetch(true);
    scan.withStartRow(options.bytes("startRow")).withStopRow(options.bytes("stopRow"));
    long max = options.number("maxTime");
    scan.setTimeRange(options.number("minTime"), max == 0 ? Long.MAX_VALUE : max);
    List<String> included = options.strings("families");
    List<String> excluded = options.strings("excludeFamilies");
    if (!included.isEmpty() || !excluded.isEmpty()) {
      for (ColumnFamilyDescriptor family : table.getDescriptor().getColumnFamilies()) {
        String name = family.getNameAsString();
        if ((included.isEmpty() || included.contains(name)) && !excluded.contains(name)) {
          scan.addFamily(family.getName());
        }
      }
      if (!scan.hasFamilies()) {
        throw new IllegalArgumentException("no family of " + table.getName() + " is left to read");
      }
    }
    return scan;
  }

  private JsonObject checksum(Request r) throws Exception {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    Canonical canonical = new Canonical();
    Map<String, long[]> types = new TreeMap<>();
    long rows = 0;
    long count = 0;
    Cell previous = null;
    try (Cells cells = new Cells(judge.connection(r), r.table(), r.object("options"))) {
      while (cells.hasNext()) {
        Cell cell = cells.next();
        if (previous == null || !CellUtil.matchingRows(previous, cell)) {
          rows++;
        }
        previous = cell;
        count++;
        types.computeIfAbsent(cell.getType().name(), name -> new long[1])[0]++;
        canonical.set(cell);
        digest.update(canonical.buffer, 0, canonical.length);
      }
    }
    JsonObject counts = new JsonObject();
    types.forEach((name, n) -> counts.addProperty(name, n[0]));
    JsonObject result = new JsonObject();
    result.addProperty("rows", rows);
    result.addProperty("cells", count);
    result.add("types", counts);
    result.addProperty("sum", Bytes.toHex(Arrays.copyOf(digest.digest(), 16)));
    return result;
  }

  /** A cell as bytes that two cells share only when they are equal in every part: each part with its length before it. */
  private static final class Canonical {
    byte[] buffer = new byte[1 << 12];
    int length;

    void set(Cell c) {
      int need = 64 + c.getRowLength() + c.getFamilyLength() + c.getQualifierLength() + c.getValueLength()
          + c.getTagsLength();
      if (buffer.length < need) {
        buffer = new byte[need * 2];
      }
      length = 0;
      add(c.getRowArray(), c.getRowOffset(), c.getRowLength());
      add(c.getFamilyArray(), c.getFamilyOffset(), c.getFamilyLength());
      add(c.getQualifierArray(), c.getQualifierOffset(), c.getQualifierLength());
      length = Bytes.putLong(buffer, length, c.getTimestamp());
      length = Bytes.putByte(buffer, length, c.getTypeByte());
      add(c.getValueArray(), c.getValueOffset(), c.getValueLength());
      add(c.getTagsArray(), c.getTagsOffset(), c.getTagsLength());
    }

    private void add(byte[] from, int offset, int n) {
      length = Bytes.putInt(buffer, length, n);
      length = Bytes.putBytes(buffer, length, from, offset, n);
    }
  }

  private JsonObject diff(Request r) throws Exception {
    int limit = r.integer("limit");
    List<String> lines = new ArrayList<>();
    try (
        Cells here = new Cells(judge.connection(r), r.table(), r.object("options"));
        Cells there = new Cells(judge.connection(r.string("otherCluster")),
            TableName.valueOf(r.string("otherTable")), r.object("options"))) {
      Cell a = nextOrNull(here);
      Cell b = nextOrNull(there);
      while ((a != null || b != null) && lines.size() < limit) {
        int order = a == null ? 1 : b == null ? -1 : CellComparator.getInstance().compare(a, b);
        if (order < 0) {
          lines.add("-" + describe(a));
          a = nextOrNull(here);
        } else if (order > 0) {
          lines.add("+" + describe(b));
          b = nextOrNull(there);
        } else {
          if (!CellUtil.matchingValue(a, b) || !sameTags(a, b)) {
            lines.add("-" + describe(a));
            lines.add("+" + describe(b));
          }
          a = nextOrNull(here);
          b = nextOrNull(there);
        }
      }
    }
    JsonObject result = new JsonObject();
    result.add("lines", Request.array(lines));
    return result;
  }

  private static boolean sameTags(Cell a, Cell b) {
    return Bytes.equals(a.getTagsArray(), a.getTagsOffset(), a.getTagsLength(),
        b.getTagsArray(), b.getTagsOffset(), b.getTagsLength());
  }

  private static Cell nextOrNull(Iterator<Cell> cells) {
    return cells.hasNext() ? cells.next() : null;
  }

  private static String describe(Cell c) {
    String value = Bytes.toStringBinary(c.getValueArray(), c.getValueOffset(), Math.min(c.getValueLength(), 64));
    String tags = Bytes.toStringBinary(c.getTagsArray(), c.getTagsOffset(), c.getTagsLength());
    return Bytes.toStringBinary(CellUtil.cloneRow(c)) + " " + Bytes.toStringBinary(CellUtil.cloneFamily(c)) + ":"
        + Bytes.toStringBinary(CellUtil.cloneQualifier(c)) + " @" + c.getTimestamp() + " " + c.getType() + " ("
        + c.getValueLength() + ") " + value + (tags.isEmpty() ? "" : " tags=" + tags);
  }

  private JsonObject readRow(Request r) throws Exception {
    List<Cell> cells = new ArrayList<>();
    try (Table table = judge.connection(r).getTable(r.table())) {
      if (r.flag("raw")) {
        Scan scan = new Scan().withStartRow(r.bytes("row")).withStopRow(r.bytes("row"), true).setRaw(true);
        try (ResultScanner scanner = table.getScanner(scan.readAllVersions())) {
          for (Result result : scanner) {
            cells.addAll(Arrays.asList(result.rawCells()));
          }
        }
      } else {
        Result result = table.get(new Get(r.bytes("row")));
        cells.addAll(Arrays.asList(result.isEmpty() ? new Cell[0] : result.rawCells()));
      }
    }
    JsonArray array = new JsonArray();
    cells.forEach(c -> array.add(json(c)));
    JsonObject result = new JsonObject();
    result.add("cells", array);
    return result;
  }

  private JsonObject cells(Request r) throws Exception {
    JsonArray array = new JsonArray();
    try (Cells cells = new Cells(judge.connection(r), r.table(), r.object("options"))) {
      while (cells.hasNext()) {
        array.add(json(cells.next()));
      }
    }
    JsonObject result = new JsonObject();
    result.add("cells", array);
    return result;
  }

  private static JsonObject json(Cell c) {
    JsonObject cell = new JsonObject();
    cell.addProperty("row", Request.base64(c.getRowArray(), c.getRowOffset(), c.getRowLength()));
    cell.addProperty("family", Request.base64(c.getFamilyArray(), c.getFamilyOffset(), c.getFamilyLength()));
    cell.addProperty("qualifier",
        Request.base64(c.getQualifierArray(), c.getQualifierOffset(), c.getQualifierLength()));
    cell.addProperty("timestamp", c.getTimestamp());
    cell.addProperty("type", c.getType().name());
    cell.addProperty("value", Request.base64(c.getValueArray(), c.getValueOffset(), c.getValueLength()));
    cell.addProperty("tags", Request.base64(c.getTagsArray(), c.getTagsOffset(), c.getTagsLength()));
    return cell;
  }

  private JsonObject countRows(Request r) throws Exception {
    long rows = 0;
    Scan scan = new Scan().setCacheBlocks(false).setCaching(Integer.MAX_VALUE).setMaxResultSize(4 << 20)
        .setFilter(new org.apache.hadoop.hbase.filter.FirstKeyOnlyFilter());
    try (Table table = judge.connection(r).getTable(r.table()); ResultScanner scanner = table.getScanner(scan)) {
      for (Result row : scanner) {
        rows++;
      }
    }
    JsonObject result = new JsonObject();
    result.addProperty("rows", rows);
    return result;
  }
}
