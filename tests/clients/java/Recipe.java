package pagewire.tests;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * The messages of the client matrix, by the rules told in {@code recipe.py}; the digests prove that both say the same.
 * Pure: no I/O, no clock.
 */
final class Recipe {
    static final int PARTITIONS = 4;
    private static final long BASE_TIMESTAMP_MS = 1_700_000_000_000L;
    private static final byte[] TEXT;
    private static final byte[] BINARY;
    private static final byte[] BIG_VALUE;
    private static final Header[] NO_HEADERS = {};

    static {
        StringBuilder text = new StringBuilder();
        ByteBuffer binary = ByteBuffer.allocate(256 * 32);
        for (int block = 0; block < 256; block++) {
            byte[] hash = sha256(bytes("pagewire-pool-" + block));
            text.append(HexFormat.of().formatHex(hash));
            binary.put(hash);
        }
        TEXT = bytes(text.toString());
        BINARY = binary.array();
        BIG_VALUE = bytes(text.toString().repeat(18));
    }

    /** One record as it is written and as it has to come back; timestamp 0: the writer could not choose it. */
    record Message(byte[] key, byte[] value, Header[] headers, long timestamp) {}

    private final String topic;
    private final String writer;
    private final int count;
    private final int salt;

    Recipe(String topic, int count) {
        this.topic = topic;
        this.writer = topic.split("\\.")[1];
        this.count = count;
        this.salt = ByteBuffer.wrap(sha256(bytes(topic))).getInt();
    }

    boolean timestampsAreKnown() {
        return !writer.equals("kcat");
    }

    /** Record {@code i} of the topic: it belongs to partition {@code i % 4}, offset {@code i / 4}. */
    Message message(int i) {
        int h = i * 0x9E3779B1 + salt;
        h ^= h >>> 15;
        h *= 0x85EBCA77;
        h ^= h >>> 13;
        return writer.equals("kcat") ? kcatMessage(i, h) : plainMessage(i, h);
    }

    private Message plainMessage(int i, int h) {
        int keyKind = h & 15;
        byte[] key = keyKind == 0 ? null : keyKind == 1 ? new byte[0] : bytes(topic + "/" + i);
        int valueKind = (h >>> 4) & 31;
        byte[] value;
        if (i == count - count / 10 + 1) {
            value = BIG_VALUE;
        } else if (valueKind > 3) {
            value = text(h);
        } else if (valueKind > 1) {
            int start = (h >>> 9) % 7936;
            value = Arrays.copyOfRange(BINARY, start, start + 1 + (h >>> 16) % 255);
        } else {
            value = valueKind == 0 && key != null ? null : new byte[0];
        }
        return new Message(key, value, headers((h >>> 24) & 7, (h >>> 12) & 63), BASE_TIMESTAMP_MS + 7L * i + Integer.remainderUnsigned(h, 5000));
    }

    private Message kcatMessage(int i, int h) {
        boolean firstHalf = i < count / 2;
        byte[] key = bytes(topic + "/" + i);
        byte[] value = text(h);
        int keyKind = h & 15;
        int valueKind = (h >>> 4) & 31;
        if (i == count - count / 10 + 1) {
            value = BIG_VALUE;
        } else if (keyKind == 0) {
            key = null;
        } else if (keyKind == 1 && !firstHalf) {
            key = new byte[0];
        } else if (valueKind < 2) {
            value = firstHalf ? null : new byte[0];
        }
        Header[] headers = firstHalf
                ? new Header[] {header("kcat", "first"), header("r", "1"), header("r", "2"), header("n", null)}
                : new Header[] {header("kcat", "second"), header("e", "")};
        return new Message(key, value, headers, 0);
    }

    private static byte[] text(int h) {
        int start = (h >>> 17) % 16208;
        return Arrays.copyOfRange(TEXT, start, start + 16 + (h >>> 9) % 160);
    }

    private Header[] headers(int kind, int entry) {
        String nullValue = writer.equals("kafka-python") || writer.equals("kafkajs") ? "" : null;
        return switch (kind) {
            case 3 -> new Header[] {new RecordHeader("trace", Arrays.copyOfRange(TEXT, entry * 16, entry * 16 + 16))};
            case 4 -> new Header[] {header("n", nullValue), header("e", ""), header("", "empty name")};
            case 5 -> new Header[] {header("r", "1"), header("r", "2"), header("r", nullValue)};
            case 6 -> new Header[] {
                header("first", "x"), new RecordHeader("binary", Arrays.copyOfRange(BINARY, entry * 8, entry * 8 + 8)), header("\u00e9", "\u00fc")
            };
            case 7 -> writer.equals("kafkajs")
                    ? new Header[] {header("a", "1"), header("a", "3"), header("b", "2")}
                    : new Header[] {header("a", "1"), header("b", "2"), header("a", "3")};
            default -> NO_HEADERS;
        };
    }

    /** Digests of all partitions, laid out as {@code recipe.digest} says. */
    List<String> digests() {
        List<String> digests = new ArrayList<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            MessageDigest digest = sha256();
            ByteBuffer fixed = ByteBuffer.allocate(20);
            for (int i = partition; i < count; i += PARTITIONS) {
                Message message = message(i);
                fixed.clear();
                fixed.putLong(message.timestamp).putInt(length(message.key)).putInt(length(message.value)).putInt(message.headers.length);
                digest.update(fixed.array());
                update(digest, message.key);
                update(digest, message.value);
                for (Header header : message.headers) {
                    byte[] name = bytes(header.key());
                    digest.update(ByteBuffer.allocate(8).putInt(name.length).putInt(length(header.value())).array());
                    digest.update(name);
                    update(digest, header.value());
                }
            }
            digests.add(HexFormat.of().formatHex(digest.digest()));
        }
        return digests;
    }

    private static int length(byte[] field) {
        return field == null ? -1 : field.length;
    }

    private static void update(MessageDigest digest, byte[] field) {
        if (field != null) {
            digest.update(field);
        }
    }

    private static Header header(String name, String value) {
        return new RecordHeader(name, value == null ? null : bytes(value));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] sha256(byte[] input) {
        return sha256().digest(input);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (java.security.NoSuchAlgorithmException impossible) {
            throw new AssertionError("every Java platform has SHA-256", impossible);
        }
    }
}
