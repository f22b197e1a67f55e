package pagewire.tests;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client's part of the matrix: creates and fills a topic, reads a topic back and compares every field. */
final class MatrixClient {
    private static final Duration READ_WITHOUT_PROGRESS_MAX = Duration.ofSeconds(30);

    private MatrixClient() {}

    /** Creates the topic through the admin API. */
    static void create(String bootstrap, String topic) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic wanted = new NewTopic(topic, Recipe.PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1"));
            admin.createTopics(List.of(wanted)).all().get();
        }
    }

    /** Produces all records of the topic's recipe, idempotently and with acks=all. */
    static void write(String bootstrap, String topic, int count) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", topic.split("\\.")[2]);
        settings.put("linger.ms", "20");
        settings.put("batch.size", "65536");
        AtomicReference<Exception> failure = new AtomicReference<>();
        AtomicInteger misplaced = new AtomicInteger();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            Recipe recipe = new Recipe(topic, count);
            for (int i = 0; i < count; i++) {
                Recipe.Message message = recipe.message(i);
                int partition = i % Recipe.PARTITIONS;
                long offset = i / Recipe.PARTITIONS;
                producer.send(
                        new ProducerRecord<>(topic, partition, message.timestamp(), message.key(), message.value(), Arrays.asList(message.headers())),
                        (metadata, exception) -> {
                            if (exception != null) {
                                failure.compareAndSet(null, exception);
                            } else if (metadata.offset() != offset) {
                                misplaced.incrementAndGet();
                            }
                        });
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        if (misplaced.get() > 0) {
            throw new IllegalStateException(misplaced.get() + " records were acknowledged at another offset than their place in the partition");
        }
    }

    /** Reads all partitions from offset 0 without a group and compares; throws at the first difference. */
    static void read(String bootstrap, String topic, int count) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        settings.put("max.poll.records", "5000");
        settings.put("fetch.max.wait.ms", "100"); // closing waits for the last fetch, which finds nothing
        Recipe recipe = new Recipe(topic, count);
        long startedMs = System.currentTimeMillis();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions =
                    IntStream.range(0, Recipe.PARTITIONS).mapToObj(index -> new TopicPartition(topic, index)).toList();
            checkEnds(consumer.beginningOffsets(partitions), 0);
            checkEnds(consumer.endOffsets(partitions), count / Recipe.PARTITIONS);
            consumer.assign(partitions);
            partitions.forEach(partition -> consumer.seek(partition, 0));
            long[] next = new long[Recipe.PARTITIONS];
            int seen = 0;
            long progressNs = System.nanoTime();
            while (seen < count) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    if (record.offset() != next[record.partition()]++) {
                        throw new IllegalStateException("partition " + record.partition() + ": offset expected " + (next[record.partition()] - 1)
                                + ", came " + record.offset());
                    }
                    compare(recipe, record, startedMs);
                    seen++;
                    progressNs = System.nanoTime();
                }
                if (System.nanoTime() - progressNs > READ_WITHOUT_PROGRESS_MAX.toNanos()) {
                    throw new IllegalStateException("nothing came for " + READ_WITHOUT_PROGRESS_MAX + " at offsets " + Arrays.toString(next));
                }
            }
        }
    }

    private static void checkEnds(Map<TopicPartition, Long> ends, long expected) {
        ends.forEach((partition, offset) -> {
            if (offset != expected) {
                throw new IllegalStateException(partition + ": begin or end offset expected " + expected + ", came " + offset);
            }
        });
    }

    private static void compare(Recipe recipe, ConsumerRecord<byte[], byte[]> record, long nowMs) {
        Recipe.Message expected = recipe.message((int) record.offset() * Recipe.PARTITIONS + record.partition());
        if (!Arrays.equals(expected.key(), record.key())) {
            throw difference(record, "key", expected.key(), record.key());
        }
        if (!Arrays.equals(expected.value(), record.value())) {
            throw difference(record, "value", expected.value(), record.value());
        }
        if (!Arrays.equals(expected.headers(), record.headers().toArray())) {
            throw difference(record, "headers", Arrays.toString(expected.headers()).getBytes(), record.headers().toString().getBytes());
        }
        boolean timestampIsRight = recipe.timestampsAreKnown()
                ? record.timestamp() == expected.timestamp()
                : Math.abs(nowMs - record.timestamp()) < Duration.ofHours(1).toMillis();
        if (!timestampIsRight) {
            throw new IllegalStateException(record.topic() + "-" + record.partition() + " offset " + record.offset() + ": timestamp expected "
                    + expected.timestamp() + ", came " + record.timestamp());
        }
    }

    private static IllegalStateException difference(ConsumerRecord<byte[], byte[]> record, String field, byte[] expected, byte[] came) {
        return new IllegalStateException(record.topic() + "-" + record.partition() + " offset " + record.offset() + ": " + field + " expected "
                + shown(expected) + ", came " + shown(came));
    }

    private static String shown(byte[] field) {
        if (field == null) {
            return "null";
        }
        String text = new String(field, 0, Math.min(field.length, 200), java.nio.charset.StandardCharsets.ISO_8859_1);
        return "'" + text + "' (" + field.length + " bytes)";
    }
}
