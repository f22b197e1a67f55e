package pagewire.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * The Java client as one member of a group: joins, reads and commits until a line comes on standard input. The argument and
 * what is printed are told in {@code group_members.py}.
 */
public final class Member implements ConsumerRebalanceListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long COMMIT_MS = 150;
    private static final Map<String, String> ASSIGNORS =
            Map.of(
                    "eager", "org.apache.kafka.clients.consumer.RangeAssignor",
                    "cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final PrintStream reports = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final String topic;
    private final KafkaConsumer<String, String> consumer;
    /** Read, reported, and not committed yet. */
    private final Map<Integer, Long> positions = new TreeMap<>();
    private long committedAtMs = System.currentTimeMillis();

    private Member(JsonNode setup) {
        topic = setup.get("topic").asText();
        consumer = new KafkaConsumer<>(settings(setup), new StringDeserializer(), new StringDeserializer());
    }

    public static void main(String[] arguments) throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        Thread waiting =
                new Thread(
                        () -> {
                            try {
                                System.in.read();
                            } catch (java.io.IOException closed) {
                                // the end as well
                            }
                            stop.set(true);
                        });
        waiting.setDaemon(true);
        waiting.start();
        Member member = new Member(JSON.readTree(arguments[0]));
        try {
            member.run(stop);
            member.tell("left", JSON.createObjectNode());
        } catch (KafkaException failure) {
            failure.printStackTrace();
            member.tell("failed", JSON.createObjectNode().put("error", failure.toString()));
            System.exit(1);
        }
    }

    private static Properties settings(JsonNode setup) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", setup.get("bootstrap").asText());
        settings.put("group.id", setup.get("group").asText());
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", setup.get("reset").asText());
        settings.put("reconnect.backoff.max.ms", "500");
        if (setup.get("keeps_metadata").asBoolean()) {
            settings.put("metadata.recovery.strategy", "none");
        }
        if (!setup.get("instance").isNull()) {
            settings.put("group.instance.id", setup.get("instance").asText());
        }
        String protocol = setup.get("protocol").asText();
        if (protocol.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("session.timeout.ms", setup.get("session_ms").asText());
            settings.put("heartbeat.interval.ms", setup.get("heartbeat_ms").asText());
            settings.put("partition.assignment.strategy", ASSIGNORS.get(protocol));
        }
        return settings;
    }

    private void run(AtomicBoolean stop) {
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (!stop.get()) {
                ArrayNode seen = JSON.createArrayNode();
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(50))) {
                    seen.addArray().add(record.partition()).add(record.offset()).add(Long.parseLong(record.value()));
                    positions.put(record.partition(), record.offset() + 1);
                }
                if (!seen.isEmpty()) {
                    tell("seen", JSON.createObjectNode().set("records", seen));
                }
                if (!positions.isEmpty() && System.currentTimeMillis() - committedAtMs >= COMMIT_MS) {
                    commit();
                }
            }
            commit();
        }
    }

    private void commit() {
        committedAtMs = System.currentTimeMillis();
        if (positions.isEmpty()) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>();
        ArrayNode offsets = JSON.createArrayNode();
        positions.forEach(
                (partition, offset) -> {
                    wanted.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset));
                    offsets.addArray().add(partition).add(offset);
                });
        try {
            consumer.commitSync(wanted, Duration.ofSeconds(10));
            tell("committed", JSON.createObjectNode().set("offsets", offsets));
            positions.clear();
        } catch (KafkaException failure) {
            tell("not_committed", JSON.createObjectNode().put("error", failure.toString()));
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
        ObjectNode fields = JSON.createObjectNode();
        fields.put("member", consumer.groupMetadata().memberId()).put("generation", consumer.groupMetadata().generationId());
        tell("assigned", fields.set("partitions", ids(assigned)));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
        commit();
        revoked.forEach(one -> positions.remove(one.partition()));
        tell("revoked", JSON.createObjectNode().set("partitions", ids(revoked)));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> lost) {
        lost.forEach(one -> positions.remove(one.partition()));
        tell("lost", JSON.createObjectNode().set("partitions", ids(lost)));
    }

    private static ArrayNode ids(Collection<TopicPartition> partitions) {
        ArrayNode ids = JSON.createArrayNode();
        partitions.stream().mapToInt(TopicPartition::partition).sorted().forEach(ids::add);
        return ids;
    }

    private synchronized void tell(String event, JsonNode fields) {
        ObjectNode report = JSON.createObjectNode();
        report.put("event", event).put("at", ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()));
        report.setAll((ObjectNode) fields);
        reports.println(report);
    }
}
