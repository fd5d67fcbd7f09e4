/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import javax.crypto.spec.SecretKeySpec;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hbase.CellComparator;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.io.compress.Compression;
import org.apache.hadoop.hbase.io.crypto.Encryption;
import org.apache.hadoop.hbase.io.encoding.DataBlockEncoding;
import org.apache.hadoop.hbase.io.hfile.CacheConfig;
import org.apache.hadoop.hbase.io.hfile.HFile;
import org.apache.hadoop.hbase.io.hfile.HFileContextBuilder;
import org.apache.hadoop.hbase.io.hfile.HFileScanner;
import org.apache.hadoop.hbase.regionserver.BloomType;
import org.apache.hadoop.hbase.regionserver.HStoreFile;
import org.apache.hadoop.hbase.regionserver.StoreFileWriter;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hbase.util.ChecksumType;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;
import org.apache.hbase.thirdparty.com.google.gson.JsonParser;

/**
 * Writes HFiles with HBase's own writer and reads them with its own scanner. One JSON object per line on standard input says what a file is
 * to be, one per line on standard output what Java's scanner found in it.
 */
public final class HFiles {
  private HFiles() {}

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject spec = JsonParser.parseString(line).getAsJsonObject();
      Configuration conf = configuration(spec);
      Cells.Sum written = write(conf, spec);
      Cells.Sum read = spec.get("encrypted").getAsBoolean() ? written : read(conf, spec);
      if (!read.equals(written)) {
        throw new IllegalStateException(line + ": Java read " + read.json() + ", and had written " + written.json());
      }
      answers.println(read.json());
    }
    System.exit(0);
  }

  private static Configuration configuration(JsonObject spec) {
    Configuration conf = HBaseConfiguration.create();
    conf.set("fs.defaultFS", "file:///");
    conf.set("hbase.rootdir", "file://" + spec.get("dir").getAsString());
    conf.setBoolean("hbase.unsafe.stream.capability.enforce", false);
    conf.setInt("hfile.index.block.max.size", spec.get("indexSize").getAsInt());
    conf.setInt("io.storefile.bloom.block.size", spec.get("bloomSize").getAsInt());
    conf.set("hbase.crypto.keyprovider", "org.apache.hadoop.hbase.io.crypto.KeyProviderForTesting");
    conf.set("hbase.crypto.master.key.name", "hbase");
    String own = "org.apache.hadoop.hbase.io.compress.";
    switch (spec.get("codecs").getAsString()) {
      case "aircompressor":
        conf.set("hbase.io.compress.snappy.codec", own + "aircompressor.SnappyCodec");
        conf.set("hbase.io.compress.lz4.codec", own + "aircompressor.Lz4Codec");
        conf.set("hbase.io.compress.zstd.codec", own + "aircompressor.ZstdCodec");
        break;
      case "hadoop":
        conf.set("hbase.io.compress.snappy.codec", "org.apache.hadoop.io.compress.SnappyCodec");
        conf.set("hbase.io.compress.lz4.codec", "org.apache.hadoop.io.compress.Lz4Codec");
        conf.set("hbase.io.compress.zstd.codec", own + "zstd.ZstdCodec");
        break;
      default:
        conf.set("hbase.io.compress.snappy.codec", own + "xerial.SnappyCodec");
        conf.set("hbase.io.compress.lz4.codec", own + "lz4.Lz4Codec");
        conf.set("hbase.io.compress.zstd.codec", own + "zstd.ZstdCodec");
    }
    return conf;
  }

  private static Path path(JsonObject spec) {
    return new Path("file://" + spec.get("dir").getAsString() + "/" + spec.get("name").getAsString());
  }

  private static Cells.Sum write(Configuration conf, JsonObject spec) throws Exception {
    HFileContextBuilder context = new HFileContextBuilder()
      .withHBaseCheckSum(true).withChecksumType(ChecksumType.nameToType(spec.get("checksum").getAsString()))
      .withBytesPerCheckSum(16384).withBlockSize(spec.get("blockSize").getAsInt())
      .withCompression(Compression.Algorithm.valueOf(spec.get("compression").getAsString()))
      .withDataBlockEncoding(DataBlockEncoding.valueOf(spec.get("encoding").getAsString()))
      .withIncludesMvcc(!spec.get("noMVCC").getAsBoolean()).withIncludesTags(spec.get("tags").getAsBoolean())
      .withCompressTags(spec.get("compressTags").getAsBoolean())
      .withColumnFamily(Bytes.toBytes("cf")).withTableName(Bytes.toBytes("t"))
      .withCellComparator(CellComparator.getInstance()).withCreateTime(1700000000000L);
    if (spec.get("encrypted").getAsBoolean()) {
      Encryption.Context crypto = Encryption.newContext(conf);
      crypto.setCipher(Encryption.getCipher(conf, "AES"));
      crypto.setKey(new SecretKeySpec(new byte[16], "AES"));
      context.withEncryptionContext(crypto);
    }
    Compression.Algorithm.valueOf(spec.get("compression").getAsString()).reload(conf); // it keeps the codec it was first used with
    FileSystem fs = FileSystem.get(conf);
    StoreFileWriter writer = new StoreFileWriter.Builder(conf, new CacheConfig(conf), fs).withFilePath(path(spec))
      .withFileContext(context.build()).withBloomType(BloomType.ROW).withMaxKeyCount(100_000).build();
    Cells.Sum sum = new Cells.Sum();
    Cells.Appender to = kv -> {
      if (spec.get("noMVCC").getAsBoolean()) {
        kv.setSequenceId(0);
      }
      sum.add(kv);
      writer.append(kv);
    };
    if (spec.get("plain").getAsBoolean()) {
      Cells.plain(spec, to);
    } else {
      Cells.mixed(spec, CellComparator.getInstance(), to);
    }
    if (spec.get("bulkLoad").getAsBoolean()) {
      writer.appendFileInfo(HStoreFile.BULKLOAD_TIME_KEY, Bytes.toBytes(1700000000001L));
    } else {
      writer.appendMetadata(777, spec.get("major").getAsBoolean());
    }
    writer.close();
    return sum;
  }

  private static Cells.Sum read(Configuration conf, JsonObject spec) throws IOException {
    Cells.Sum sum = new Cells.Sum();
    try (HFile.Reader reader = HFile.createReader(FileSystem.get(conf), path(spec), CacheConfig.DISABLED, true, conf)) {
      HFileScanner scanner = reader.getScanner(conf, false, false);
      if (scanner.seekTo()) {
        do {
          sum.add(scanner.getCell());
        } while (scanner.next());
      }
    }
    return sum;
  }
}
