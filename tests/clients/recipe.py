"""The messages that every client of the matrix writes: the same in every language, from the topic's name alone.

A topic of the matrix is called `m.<writer>.<codec>`; its name is the seed, so any client can read what any other wrote and
knows what has to be there. `node/recipe.js` and `java/Recipe.java` follow the same rules; the digests that each driver
reports are compared by `matrix.py`, so a drift between them is found before a broker is blamed.

Record `i` of a topic goes to partition `i % 4` and must come back at offset `i // 4`. All arithmetic is on unsigned 32-bit
integers:

    salt = first four bytes of sha256(topic), big-endian
    h = i * 0x9E3779B1 + salt;  h ^= h >> 15;  h *= 0x85EBCA77;  h ^= h >> 13

| part | rule |
|---|---|
| timestamp | 1700000000000 + 7 i + h % 5000: out of order inside a batch |
| key | h & 15: 0 null, 1 empty, else the text `topic/i` |
| value | (h >> 4) & 31: 0 null (empty under a null key), 1 empty, 2 and 3 binary, else text; the second record of a partition's last tenth on partition 1 is 294,912 bytes long |
| headers | (h >> 24) & 7, see `header_set`: none, one, null and empty values, an empty name, repeated names, binary, non-ASCII |

What a writer cannot express it leaves out, by rule and not silently: see `WRITER_LIMITS`.
"""

import functools
import hashlib
import struct
import time

PARTITIONS = 4
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CLIENTS = ("kcat", "confluent-kafka", "kafka-python", "aiokafka", "kafkajs", "java")
BASE_TIMESTAMP_MS = 1_700_000_000_000
MASK = 0xFFFFFFFF

# What a client's producer cannot send, and what stands in its place.
WRITER_LIMITS = {
    "kcat": "no timestamps of its own choice, one set of headers per process, null or empty but not both in one process, text only",
    "kafka-python": "no null header values (its producer refuses them): empty ones instead",
    "kafkajs": "no null header values either (it asks for their length); headers are an object, so a name that comes back later is "
    "moved beside its first one",
}
NO_NULL_HEADERS = ("kafka-python", "kafkajs")

BLOCKS = [hashlib.sha256(b"pagewire-pool-%d" % block) for block in range(256)]
TEXT = "".join(block.hexdigest() for block in BLOCKS).encode()
BINARY = b"".join(block.digest() for block in BLOCKS)
BIG_VALUE = TEXT * 18


def topic_name(writer, codec):
    """The topic that `writer` fills with `codec`."""
    return f"m.{writer}.{codec}"


def writer_of(topic):
    return topic.split(".")[1]


def codec_of(topic):
    return topic.split(".")[2]


@functools.cache
def header_set(writer, kind, entry):
    """Headers of a record as a tuple of (name, value or None); cached, so that equal sets are one object."""
    null = b"" if writer in NO_NULL_HEADERS else None
    if kind < 3:
        return ()
    if kind == 3:
        return (("trace", TEXT[entry * 16 : entry * 16 + 16]),)
    if kind == 4:
        return (("n", null), ("e", b""), ("", b"empty name"))
    if kind == 5:
        return (("r", b"1"), ("r", b"2"), ("r", null))
    if kind == 6:
        return (("first", b"x"), ("binary", BINARY[entry * 8 : entry * 8 + 8]), ("\u00e9", "\u00fc".encode()))
    if writer == "kafkajs":
        return (("a", b"1"), ("a", b"3"), ("b", b"2"))
    return (("a", b"1"), ("b", b"2"), ("a", b"3"))


# The header sets of kcat's two processes per partition, and its arguments for them.
KCAT_HEADERS = (
    (("kcat", b"first"), ("r", b"1"), ("r", b"2"), ("n", None)),
    (("kcat", b"second"), ("e", b"")),
)


def records(topic, count, partition):
    """The records of one partition in order: a list of (key, value, headers, timestamp in ms). kcat's timestamps are 0: unknown."""
    writer = writer_of(topic)
    if writer == "kcat":
        return _kcat_records(topic, count, partition)
    salt = int.from_bytes(hashlib.sha256(topic.encode()).digest()[:4], "big")
    prefix = topic.encode() + b"/%d"
    big_at = count - count // 10 + 1
    text, binary, headers_of = TEXT, BINARY, header_set
    result = []
    for i in range(partition, count, PARTITIONS):
        h = (i * 0x9E3779B1 + salt) & MASK
        h ^= h >> 15
        h = (h * 0x85EBCA77) & MASK
        h ^= h >> 13
        key_kind = h & 15
        key = None if key_kind == 0 else b"" if key_kind == 1 else prefix % i
        value_kind = (h >> 4) & 31
        if i == big_at:
            value = BIG_VALUE
        elif value_kind > 3:
            start = (h >> 17) % 16208
            value = text[start : start + 16 + (h >> 9) % 160]
        elif value_kind > 1:
            start = (h >> 9) % 7936
            value = binary[start : start + 1 + (h >> 16) % 255]
        else:
            value = None if value_kind == 0 and key is not None else b""
        kind = (h >> 24) & 7
        headers = () if kind < 3 else headers_of(writer, kind, (h >> 12) & 63)
        result.append((key, value, headers, BASE_TIMESTAMP_MS + 7 * i + h % 5000))
    return result


def _kcat_records(topic, count, partition):
    """kcat's: nulls in the first half of a partition, empty keys and values in the second, each half with its own headers."""
    salt = int.from_bytes(hashlib.sha256(topic.encode()).digest()[:4], "big")
    prefix = topic.encode() + b"/%d"
    big_at = count - count // 10 + 1
    result = []
    for i in range(partition, count, PARTITIONS):
        h = (i * 0x9E3779B1 + salt) & MASK
        h ^= h >> 15
        h = (h * 0x85EBCA77) & MASK
        h ^= h >> 13
        half = 0 if i < count // 2 else 1
        key_kind, value_kind = h & 15, (h >> 4) & 31
        start = (h >> 17) % 16208
        value = TEXT[start : start + 16 + (h >> 9) % 160]
        key = prefix % i
        if i == big_at:
            value = BIG_VALUE
        elif key_kind == 0:
            key = None
        elif key_kind == 1 and half == 1:
            key = b""
        elif value_kind < 2:
            value = None if half == 0 else b""
        result.append((key, value, KCAT_HEADERS[half], 0))
    return result


@functools.cache
def _headers_digest_part(headers):
    parts = []
    for name, value in headers:
        encoded = name.encode()
        parts.append(struct.pack(">ii", len(encoded), -1 if value is None else len(value)) + encoded + (value or b""))
    return b"".join(parts)


def digest(partition_records):
    """SHA-256 over a partition's records, each: timestamp i64, key length i32, value length i32 (null: -1), number of headers
    i32, key, value, and per header name length i32, value length i32, name, value; integers big-endian."""
    pack = struct.Struct(">qiii").pack
    parts = []
    for key, value, headers, timestamp in partition_records:
        parts.append(pack(timestamp, -1 if key is None else len(key), -1 if value is None else len(value), len(headers)))
        if key:
            parts.append(key)
        if value:
            parts.append(value)
        if headers:
            parts.append(_headers_digest_part(headers))
    return hashlib.sha256(b"".join(parts)).hexdigest()


@functools.lru_cache(maxsize=6)
def topic_records(topic, count):
    """All partitions of a topic and their digests: (list of record lists, list of digests)."""
    partitions = [records(topic, count, partition) for partition in range(PARTITIONS)]
    return partitions, [digest(one) for one in partitions]


def folded(headers):
    """Headers as kafkajs gives them: one entry per name, at the place of its first appearance, with all its values."""
    names = {}
    for name, value in headers:
        names.setdefault(name, []).append(value)
    return tuple((name, value) for name, values in names.items() for value in values)


def recent_as_zero(timestamp):
    """For writers that cannot choose timestamps: 0 if it lies within an hour of now, else itself, so that it is a difference."""
    return 0 if abs(time.time() * 1000 - timestamp) < 3_600_000 else timestamp


def first_difference(expected, came, partition, offset):
    """A sentence about the first field in which two records differ."""
    for field, want, got in zip(("key", "value", "headers", "timestamp"), expected, came):
        if want != got:
            return f"partition {partition} offset {offset}: {field} expected {_short(want)}, came {_short(got)}"
    return f"partition {partition} offset {offset}: expected {_short(expected)}, came {_short(came)}"


def _short(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
