/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.KeyValue;
import org.apache.hadoop.hbase.io.compress.Compression;
import org.apache.hadoop.hbase.io.encoding.DataBlockEncoding;
import org.apache.hadoop.hbase.io.hfile.CacheConfig;
import org.apache.hadoop.hbase.io.hfile.HFile;
import org.apache.hadoop.hbase.io.hfile.HFileContextBuilder;
import org.apache.hadoop.hbase.io.hfile.HFileScanner;
import org.apache.hadoop.hbase.regionserver.BloomType;
import org.apache.hadoop.hbase.regionserver.StoreFile;
import org.apache.hadoop.hbase.util.ChecksumType;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;
import org.apache.hbase.thirdparty.com.google.gson.JsonParser;

/** HFiles with HBase 1.x: "version" is the format's, 2 or 3. */
public final class OldHFiles {
  private OldHFiles() {}

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject spec = new JsonParser().parse(line).getAsJsonObject();
      Configuration conf = HBaseConfiguration.create();
      conf.set("fs.defaultFS", "file:///");
      conf.setInt("hfile.format.version", spec.get("version").getAsInt());
      conf.setInt("hfile.index.block.max.size", spec.get("indexSize").getAsInt());
      conf.setInt("io.storefile.bloom.block.size", spec.get("bloomSize").getAsInt());
      Cells.Sum written = write(conf, spec);
      Cells.Sum read = read(conf, spec);
      if (!read.equals(written)) {
        throw new IllegalStateException(line + ": Java read " + read.json() + ", and had written " + written.json());
      }
      answers.println(read.json());
    }
    System.exit(0);
  }

  private static Path path(JsonObject spec) {
    return new Path("file://" + spec.get("dir").getAsString() + "/" + spec.get("name").getAsString());
  }

  private static Cells.Sum write(Configuration conf, JsonObject spec) throws Exception {
    FileSystem fs = FileSystem.get(conf);
    StoreFile.Writer writer = new StoreFile.WriterBuilder(conf, new CacheConfig(conf), fs).withFilePath(path(spec))
      .withFileContext(new HFileContextBuilder()
        .withHBaseCheckSum(true).withChecksumType(ChecksumType.nameToType(spec.get("checksum").getAsString()))
        .withBytesPerCheckSum(16384).withBlockSize(spec.get("blockSize").getAsInt())
        .withCompression(Compression.Algorithm.valueOf(spec.get("compression").getAsString()))
        .withDataBlockEncoding(DataBlockEncoding.valueOf(spec.get("encoding").getAsString()))
        .withIncludesMvcc(!spec.get("noMVCC").getAsBoolean()).withIncludesTags(spec.get("tags").getAsBoolean())
        .withCompressTags(spec.get("compressTags").getAsBoolean()).build())
      .withComparator(KeyValue.COMPARATOR).withBloomType(BloomType.ROW).withMaxKeyCount(100_000).build();
    Cells.Sum sum = new Cells.Sum();
    Cells.mixed(spec, KeyValue.COMPARATOR, kv -> {
      if (spec.get("noMVCC").getAsBoolean()) {
        kv.setSequenceId(0);
      }
      sum.add(kv);
      writer.append(kv);
    });
    writer.appendMetadata(777, spec.get("major").getAsBoolean());
    writer.close();
    return sum;
  }

  private static Cells.Sum read(Configuration conf, JsonObject spec) throws IOException {
    Cells.Sum sum = new Cells.Sum();
    try (HFile.Reader reader = HFile.createReader(FileSystem.get(conf), path(spec), new CacheConfig(conf), conf)) {
      reader.loadFileInfo();
      HFileScanner scanner = reader.getScanner(false, false, false);
      if (scanner.seekTo()) {
        do {
          sum.add(scanner.getKeyValue());
        } while (scanner.next());
      }
    }
    return sum;
  }
}
