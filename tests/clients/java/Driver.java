package pagewire.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * The process that stands for the Java client and for Kafka's tools: one JSON request per line of standard input, one JSON
 * answer per line of standard output; see {@code drivers.py}. One JVM serves the whole test run.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Driver() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            long startedNs = System.nanoTime();
            try {
                perform(JSON.readTree(line), answer);
                answer.put("ok", true);
            } catch (Exception failure) {
                answer.put("ok", false).put("error", failure.toString());
            }
            answer.put("seconds", (System.nanoTime() - startedNs) / 1e9);
            answers.println(JSON.writeValueAsString(answer));
            answers.flush();
        }
    }

    private static void perform(JsonNode request, ObjectNode answer) throws Exception {
        switch (request.get("step").asText()) {
            case "version" -> answer.put("version", "kafka-clients " + AppInfoParser.getVersion());
            case "write" -> {
                String topic = request.get("topic").asText();
                int count = request.get("records").asInt();
                MatrixClient.create(request.get("bootstrap").asText(), topic);
                Thread.sleep((long) (request.path("settle_seconds").asDouble() * 1000));
                MatrixClient.write(request.get("bootstrap").asText(), topic, count);
                new Recipe(topic, count).digests().forEach(answer.putArray("digests")::add);
            }
            case "read" -> {
                String topic = request.get("topic").asText();
                int count = request.get("records").asInt();
                MatrixClient.read(request.get("bootstrap").asText(), topic, count);
                new Recipe(topic, count).digests().forEach(answer.putArray("digests")::add);
            }
            case "tool" -> {
                String[] arguments = JSON.convertValue(request.get("arguments"), String[].class);
                String input = request.path("input").asText("");
                answer.put("code", Tool.run(request.get("class").asText(), arguments, input, Path.of(request.get("output").asText())));
            }
            default -> throw new IllegalArgumentException("step expected version, write, read or tool, came " + request.get("step"));
        }
    }
}
