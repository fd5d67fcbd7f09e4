/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.zip.CRC32C;
import org.apache.hadoop.hbase.Cell;
import org.apache.hadoop.hbase.KeyValue;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** The cells of a file, the same for every version of HBase, and their checksum. */
final class Cells {
  private static final KeyValue.Type[] TYPES = {KeyValue.Type.Put, KeyValue.Type.Put, KeyValue.Type.Put, KeyValue.Type.Put,
    KeyValue.Type.Delete, KeyValue.Type.DeleteColumn, KeyValue.Type.DeleteFamilyVersion, KeyValue.Type.DeleteFamily};
  private static final String[] PREFIXES = {"", "user/", "aa", "\u00e9z", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-"};
  private static final byte[] SAME = bytes("same-value-every-time");

  interface Appender {
    void append(KeyValue kv) throws Exception;
  }

  private final Random random;
  private final boolean tags;

  private Cells(long seed, boolean tags) {
    this.random = new Random(seed);
    this.tags = tags;
  }

  /**
   * Cells of all kinds in HBase's order: all kinds of deletes, empty qualifiers and values, values that repeat, timestamps from 0 to
   * the largest, sequence ids up to 2^55, tags from a few and from many; and "big" values of 700 KB.
   */
  static void mixed(JsonObject spec, Comparator<? super KeyValue> order, Appender to) throws Exception {
    List<KeyValue> cells = new Cells(spec.get("seed").getAsLong(), spec.get("tags").getAsBoolean())
      .mixed(spec.get("rows").getAsInt(), spec.get("big").getAsInt());
    cells.sort(order);
    KeyValue last = null;
    for (KeyValue kv : cells) {
      if (last == null || order.compare(last, kv) != 0) {
        to.append(kv);
      }
      last = kv;
    }
  }

  private List<KeyValue> mixed(int rows, int big) {
    List<KeyValue> cells = new ArrayList<>();
    Set<Integer> bigAt = new HashSet<>();
    while (bigAt.size() < big) {
      bigAt.add(random.nextInt(rows));
    }
    byte[] family = bytes("cf");
    for (int i = 0; i < rows; i++) {
      byte[] row = random.nextInt(10) == 0 ? some(1 + random.nextInt(300))
        : bytes(PREFIXES[random.nextInt(PREFIXES.length)] + random.nextInt(1 + rows / 2));
      int columns = 1 + random.nextInt(5);
      for (int c = 0; c < columns; c++) {
        KeyValue.Type type = TYPES[random.nextInt(TYPES.length)];
        byte[] value = type == KeyValue.Type.Put ? value() : new byte[0];
        if (c == 0 && bigAt.contains(i)) {
          type = KeyValue.Type.Put;
          value = some(700_000);
        }
        boolean whole = type == KeyValue.Type.DeleteFamily || type == KeyValue.Type.DeleteFamilyVersion;
        KeyValue kv = cell(row, family, whole ? new byte[0] : qualifier(), timestamp(), type, value, tagList());
        kv.setSequenceId(sequence());
        cells.add(kv);
      }
    }
    return cells;
  }

  /** Rows of five columns with values of 100 bytes, half words and half hexadecimal digits: what is measured with. */
  static void plain(JsonObject spec, Appender to) throws Exception {
    Random random = new Random(spec.get("seed").getAsLong());
    String[] words = new String[2000];
    for (int i = 0; i < words.length; i++) {
      StringBuilder word = new StringBuilder();
      for (int j = 3 + random.nextInt(8); j > 0; j--) {
        word.append((char) ('a' + random.nextInt(26)));
      }
      words[i] = word.toString();
    }
    byte[] family = bytes("d");
    byte[][] qualifiers = {bytes("addr"), bytes("email"), bytes("name"), bytes("phone"), bytes("score")};
    long sequence = 1;
    for (int i = 0; i < spec.get("rows").getAsInt(); i++) {
      byte[] row = bytes(String.format("user%012d", i * 37L));
      for (int q = 0; q < qualifiers.length; q++) {
        StringBuilder value = new StringBuilder();
        while (value.length() < 60) {
          value.append(words[random.nextInt(words.length)]).append(' ');
        }
        value.setLength(60);
        while (value.length() < 100) {
          value.append(Character.forDigit(random.nextInt(16), 16));
        }
        KeyValue kv = cell(row, family, qualifiers[q], 1700000000000L + (i * 13L + q) % 1000003, KeyValue.Type.Put,
          bytes(value.toString()), new byte[0]);
        kv.setSequenceId(i % 2 == 0 ? 0 : sequence++);
        to.append(kv);
      }
    }
  }

  private static KeyValue cell(byte[] row, byte[] family, byte[] qualifier, long timestamp, KeyValue.Type type, byte[] value, byte[] tags) {
    return new KeyValue(row, 0, row.length, family, 0, family.length, qualifier, 0, qualifier.length, timestamp, type, value, 0,
      value.length, tags, 0, tags.length);
  }

  private byte[] qualifier() {
    switch (random.nextInt(8)) {
      case 0:
        return new byte[0];
      case 1:
      case 2:
        return some(random.nextInt(40));
      default:
        return bytes("q" + random.nextInt(1200));
    }
  }

  private byte[] value() {
    switch (random.nextInt(6)) {
      case 0:
        return new byte[0];
      case 1:
      case 2:
        return SAME;
      case 3:
        return bytes("text text text text " + random.nextInt(50));
      default:
        return some(random.nextInt(200));
    }
  }

  private long timestamp() {
    switch (random.nextInt(6)) {
      case 0:
        return random.nextInt(1000);
      case 1:
        return 0;
      case 2:
        return (random.nextLong() & Long.MAX_VALUE) % (Long.MAX_VALUE - 5);
      default:
        return 1700000000000L + random.nextInt(100000);
    }
  }

  private long sequence() {
    switch (random.nextInt(4)) {
      case 0:
        return 0;
      case 1:
        return random.nextInt(100);
      default:
        return 1L + ((random.nextLong() & Long.MAX_VALUE) >>> (random.nextInt(50) + 8));
    }
  }

  private byte[] tagList() {
    if (!tags || random.nextInt(3) == 0) {
      return new byte[0];
    }
    ByteBuffer list = ByteBuffer.allocate(512);
    for (int n = 1 + random.nextInt(3), i = 0; i < n; i++) {
      byte[] value = random.nextInt(5) == 0 ? some(1 + random.nextInt(60)) : bytes("tag" + random.nextInt(300));
      list.putShort((short) (1 + value.length)).put((byte) (65 + i)).put(value);
    }
    return Arrays.copyOf(list.array(), list.position());
  }

  private byte[] some(int n) {
    byte[] b = new byte[n];
    random.nextBytes(b);
    return b;
  }

  private static byte[] bytes(String s) {
    return s.getBytes(StandardCharsets.UTF_8);
  }

  /** What depends on every byte of every cell, and on their order. */
  static final class Sum {
    private final CRC32C crc = new CRC32C();
    private final ByteBuffer number = ByteBuffer.allocate(16);
    private long cells;
    private long bytes;

    @SuppressWarnings("deprecation") // HBase 1.x has these methods only
    void add(Cell c) {
      number.clear();
      part(number.putShort(c.getRowLength()), c.getRowArray(), c.getRowOffset(), c.getRowLength());
      part(number.put(c.getFamilyLength()), c.getFamilyArray(), c.getFamilyOffset(), c.getFamilyLength());
      part(number.putInt(c.getQualifierLength()), c.getQualifierArray(), c.getQualifierOffset(), c.getQualifierLength());
      part(number.putLong(c.getTimestamp()).put(c.getTypeByte()), null, 0, 0);
      part(number.putInt(c.getValueLength()), c.getValueArray(), c.getValueOffset(), c.getValueLength());
      int tags = c.getTagsLength();
      part(number.putInt(tags), tags == 0 ? null : c.getTagsArray(), tags == 0 ? 0 : c.getTagsOffset(), tags);
      part(number.putLong(c.getSequenceId()), null, 0, 0);
      cells++;
      bytes += c.getRowLength() + c.getFamilyLength() + c.getQualifierLength() + c.getValueLength() + tags + 12;
    }

    private void part(ByteBuffer head, byte[] array, int offset, int length) {
      crc.update(head.array(), 0, head.position());
      head.clear();
      if (length > 0) {
        crc.update(array, offset, length);
      }
    }


    boolean equals(Sum o) {
      return cells == o.cells && crc.getValue() == o.crc.getValue();
    }

    JsonObject json() {
      JsonObject o = new JsonObject();
      o.addProperty("cells", cells);
      o.addProperty("crc", crc.getValue());
      o.addProperty("bytes", bytes);
      return o;
    }
  }
}
