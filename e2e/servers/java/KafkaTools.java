import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import kafka.admin.ConfigCommand;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.AclCommand;

import org.apache.kafka.tools.TopicCommand;

/** Runs Kafka's own commands, one of a line of a file, its words divided by tabs. */
public final class KafkaTools {
  private KafkaTools() {}

  public static void main(String[] files) throws Exception {
    Exit.setExitProcedure((code, message) -> {
      if (code != 0) {
        throw new IllegalStateException("exit code " + code + ": " + message);
      }
    });
    for (String line : Files.readAllLines(Path.of(files[0]))) {
      String[] words = line.split("\t");
      System.out.println("$ " + String.join(" ", words));
      String[] args = Arrays.copyOfRange(words, 1, words.length);
      switch (words[0]) {
        case "kafka-acls.sh" -> AclCommand.main(args);
        case "kafka-topics.sh" -> TopicCommand.main(args);
        case "kafka-configs.sh" -> ConfigCommand.main(args);
        default -> throw new IllegalArgumentException("no such command: " + words[0]);
      }
    }
    Runtime.getRuntime().halt(0);
  }
}
