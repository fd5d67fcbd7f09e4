/*
 * Licensed under the Apache License, Version 2.0; see the LICENSE file of this repository.
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hbase.thirdparty.com.google.gson.JsonObject;
import org.apache.hbase.thirdparty.com.google.gson.JsonParser;

/**
 * Drives and compares HBase clusters, and reads records, with HBase's and Avro's own libraries, so that a test's verdict
 * does not rest on the code under test. One JSON request per line on standard input, one JSON answer per line on standard output, in any order:
 *
 * <pre>
 * {"call":7, "cmd":"checksum", "cluster":"127.0.0.1:2181:/hbase", "table":"t"}
 * {"call":7, "result":{...}}     or     {"call":7, "error":"..."}
 * </pre>
 *
 * Bytes are base64. The end of standard input ends the process.
 */
public final class Judge {
  /** A command: takes the request, returns the result. */
  interface Command {
    JsonObject run(Request request) throws Exception;
  }

  private static final String TAGS_CODEC = "org.apache.hadoop.hbase.codec.KeyValueCodecWithTags";

  private final Map<String, Command> commands = new TreeMap<>();
  private final Map<String, Connection> connections = new ConcurrentHashMap<>();
  private final PrintStream out;

  private Judge(PrintStream out) {
    this.out = out;
    commands.put("ping", request -> new JsonObject());
    new AdminCommands(this).register(commands);
    new RegionCommands(this).register(commands);
    new ScanCommands(this).register(commands);
    new WriteCommands(this).register(commands);
    new BulkCommands(this).register(commands);
    new MutatorCommands(this).register(commands);
    new LatencyCommands(this).register(commands);
    new HistoryCommands(this).register(commands);
    new PeerCommands(this).register(commands);
    new AvroCommands().register(commands);
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    System.setOut(System.err); // what libraries print must not end up between the answers
    new Judge(answers).serve();
    System.exit(0); // HBase's client threads would keep the JVM
  }

  private void serve() throws Exception {
    ExecutorService workers = Executors.newCachedThreadPool();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject request = JsonParser.parseString(line).getAsJsonObject();
      workers.execute(() -> answer(request));
    }
  }

  private void answer(JsonObject request) {
    JsonObject answer = new JsonObject();
    answer.add("call", request.get("call"));
    try {
      String name = request.get("cmd").getAsString();
      Command command = commands.get(name);
      if (command == null) {
        throw new IllegalArgumentException("unknown command " + name);
      }
      answer.add("result", command.run(new Request(request)));
    } catch (Throwable t) { // an Error as well: the caller waits for an answer
      StringWriter trace = new StringWriter();
      t.printStackTrace(new PrintWriter(trace));
      System.err.println(request + "\n" + trace);
      answer.addProperty("error", t.toString());
    }
    synchronized (out) {
      out.println(answer);
      out.flush();
    }
  }

  /** The configuration of a client of the cluster "quorum:port:znode". */
  static Configuration configuration(String clusterKey) {
    String[] parts = clusterKey.split(":");
    if (parts.length != 3) {
      throw new IllegalArgumentException("cluster must be quorum:port:znode, is " + clusterKey);
    }
    Configuration conf = HBaseConfiguration.create();
    conf.set("hbase.zookeeper.quorum", parts[0]);
    conf.set("hbase.zookeeper.property.clientPort", parts[1]);
    conf.set("zookeeper.znode.parent", parts[2]);
    conf.set("hbase.client.rpc.codec", TAGS_CODEC); // the default codec drops tags
    conf.setInt("hbase.client.operation.timeout", 120_000);
    conf.setInt("hbase.client.scanner.timeout.period", 300_000);
    conf.setInt("hbase.client.retries.number", 30);
    return conf;
  }

  /** A shared connection to the cluster the request names. */
  Connection connection(Request request) throws Exception {
    return connection(request.string("cluster"));
  }

  Connection connection(String clusterKey) throws Exception {
    synchronized (connections) {
      Connection connection = connections.get(clusterKey);
      if (connection == null || connection.isClosed()) {
        connection = ConnectionFactory.createConnection(configuration(clusterKey));
        connections.put(clusterKey, connection);
      }
      return connection;
    }
  }
}
