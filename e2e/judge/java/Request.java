/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.hadoop.hbase.TableName;
import org.apache.hbase.thirdparty.com.google.gson.JsonArray;
import org.apache.hbase.thirdparty.com.google.gson.JsonElement;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;

/** Typed access to a JSON object; what is absent reads as empty, 0 or false. */
record Request(JsonObject json) {
  private boolean has(String name) {
    return json.has(name) && !json.get(name).isJsonNull();
  }

  String string(String name) {
    return has(name) ? json.get(name).getAsString() : "";
  }

  long number(String name) {
    return has(name) ? json.get(name).getAsLong() : 0;
  }

  int integer(String name) {
    return Math.toIntExact(number(name));
  }

  boolean flag(String name) {
    return has(name) && json.get(name).getAsBoolean();
  }

  byte[] bytes(String name) {
    return Base64.getDecoder().decode(string(name));
  }

  TableName table() {
    return TableName.valueOf(string("table"));
  }

  List<String> strings(String name) {
    return list(name, JsonElement::getAsString);
  }

  List<byte[]> byteStrings(String name) {
    return list(name, e -> Base64.getDecoder().decode(e.getAsString()));
  }

  List<Request> objects(String name) {
    return list(name, e -> new Request(e.getAsJsonObject()));
  }

  Request object(String name) {
    return new Request(has(name) ? json.getAsJsonObject(name) : new JsonObject());
  }

  Map<String, String> map(String name) {
    Map<String, String> map = new LinkedHashMap<>();
    object(name).json.entrySet().forEach(e -> map.put(e.getKey(), e.getValue().getAsString()));
    return map;
  }

  /** The names of the object's fields. */
  Iterable<String> names() {
    return json.keySet();
  }

  private <T> List<T> list(String name, Function<JsonElement, T> convert) {
    List<T> list = new ArrayList<>();
    if (has(name)) {
      json.getAsJsonArray(name).forEach(e -> list.add(convert.apply(e)));
    }
    return list;
  }

  static String base64(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }

  static String base64(byte[] bytes, int offset, int length) {
    return base64(java.util.Arrays.copyOfRange(bytes, offset, offset + length));
  }

  static JsonArray array(Iterable<String> strings) {
    JsonArray array = new JsonArray();
    strings.forEach(array::add);
    return array;
  }

  static JsonObject object(Map<String, String> map) {
    JsonObject object = new JsonObject();
    map.forEach(object::addProperty);
    return object;
  }
}
