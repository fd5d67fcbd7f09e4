/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonElement;
import org.apache.hbase.thirdparty.com.google.gson.JsonNull;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;
import org.apache.hbase.thirdparty.com.google.gson.JsonPrimitive;

/** Reads records with Avro's own Java library. */
final class AvroCommands {
  void register(Map<String, Judge.Command> commands) {
    commands.put("avro_fingerprint", request -> {
      JsonObject result = new JsonObject();
      Schema schema = new Schema.Parser().parse(request.string("schema"));
      result.addProperty("fingerprint", String.format("%016x", SchemaNormalization.parsingFingerprint64(schema)));
      return result;
    });
    commands.put("avro_decode", this::decode);
  }

  /** Records in single-object encoding, of "schema", or in Confluent's wire format, of "schemas" by their ids. */
  private JsonObject decode(Request r) throws Exception {
    BinaryMessageDecoder<Object> single = null;
    if (!r.string("schema").isEmpty()) {
      single = new BinaryMessageDecoder<>(GenericData.get(), new Schema.Parser().parse(r.string("schema")));
    }
    Map<Integer, GenericDatumReader<Object>> readers = new HashMap<>();
    for (Map.Entry<String, String> e : r.map("schemas").entrySet()) {
      readers.put(Integer.valueOf(e.getKey()), new GenericDatumReader<>(new Schema.Parser().parse(e.getValue())));
    }
    JsonArray records = new JsonArray();
    for (byte[] record : r.byteStrings("records")) {
      records.add(json(record[0] == 0 ? confluent(record, readers) : single.decode(record)));
    }
    JsonObject result = new JsonObject();
    result.add("records", records);
    return result;
  }

  private static Object confluent(byte[] record, Map<Integer, GenericDatumReader<Object>> readers) throws Exception {
    int id = ByteBuffer.wrap(record, 1, 4).getInt();
    GenericDatumReader<Object> reader = readers.get(id);
    if (reader == null) {
      throw new IllegalArgumentException("a record of schema " + id);
    }
    BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(record, 5, record.length - 5, null);
    Object value = reader.read(null, decoder);
    if (!decoder.isEnd()) {
      throw new IllegalArgumentException("bytes after the end of a record");
    }
    return value;
  }

  private static JsonElement json(Object value) {
    if (value == null) {
      return JsonNull.INSTANCE;
    }
    if (value instanceof IndexedRecord record) {
      JsonObject object = new JsonObject();
      for (Schema.Field field : record.getSchema().getFields()) {
        object.add(field.name(), json(record.get(field.pos())));
      }
      return object;
    }
    if (value instanceof List<?> list) {
      JsonArray array = new JsonArray();
      list.forEach(item -> array.add(json(item)));
      return array;
    }
    if (value instanceof ByteBuffer buffer) {
      byte[] bytes = new byte[buffer.remaining()];
      buffer.duplicate().get(bytes);
      return new JsonPrimitive(Base64.getEncoder().encodeToString(bytes));
    }
    if (value instanceof GenericFixed fixed) {
      return new JsonPrimitive(Base64.getEncoder().encodeToString(fixed.bytes()));
    }
    if (value instanceof Number number) {
      return new JsonPrimitive(number);
    }
    return new JsonPrimitive(value.toString());
  }
}
