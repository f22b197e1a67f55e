"""What has to be readable from a data directory: written by Apache Kafka's own view of it, compared with what a broker serves.

The format is that of `tests/fixtures/README.md`: one JSON object per line, `kind` = topic, partition or record (groups and
transactions are read over). `read_back` makes one from a running Kafka, `Checker` compares one with a running broker through
librdkafka: topic ids, begin and end offsets, ListOffsets answers, and every record that read_uncommitted sees.
"""

import base64
import gzip
import hashlib
import json
import time

import confluent_kafka
from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

SILENCE_SECONDS_MAX = 30
TIMESTAMP_TYPES = {confluent_kafka.TIMESTAMP_CREATE_TIME: "CreateTime", confluent_kafka.TIMESTAMP_LOG_APPEND_TIME: "LogAppendTime"}
# Timestamps asked for beside those of the records: the first, one between, the year 2032, the last that is no special value.
TIMES_ALWAYS_ASKED = (0, 1_000_000_000_500, 1_959_724_800_000, 2**63 - 2)
COMPLAINTS_PER_PARTITION_MAX = 3


class Manifest:
    """The lines of a manifest by what they are about; partitions are keyed by (topic, partition)."""

    def __init__(self, lines):
        self.topics, self.partitions, self.records = {}, {}, {}
        for line in lines:
            entry = json.loads(line)
            if entry["kind"] == "topic":
                self.topics[entry["topic"]] = entry
            elif entry["kind"] == "partition":
                self.partitions[entry["topic"], entry["partition"]] = entry
            elif entry["kind"] == "record":
                self.records.setdefault((entry["topic"], entry["partition"]), []).append(entry)

    def role(self, topic):
        return self.topics[topic].get("role", "")


def load(path):
    with gzip.open(path, "rt") as lines:
        return Manifest(lines)


def field(value):
    """A key, value or header value as a manifest writes it."""
    if value is None:
        return None
    if len(value) <= 48:
        return "base64:" + base64.b64encode(value).decode()
    return f"sha256:{hashlib.sha256(value).hexdigest()}:{len(value)}"


def record_entry(message):
    """A message as a manifest writes it."""
    kind, timestamp = message.timestamp()
    return {
        "kind": "record",
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp,
        "timestampType": TIMESTAMP_TYPES.get(kind, str(kind)),
        "leaderEpoch": message.leader_epoch(),
        "key": field(message.key()),
        "value": field(message.value()),
        "headers": [[name, field(value)] for name, value in message.headers() or ()],
    }


def read_partitions(bootstrap, begins, ends):
    """All records of the partitions ({(topic, partition): offset}) as entries, until librdkafka reports each one's end."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",  # librdkafka insists; with assign and without commits no group request follows
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
            "check.crcs": True,
        }
    )
    found = {one: [] for one in begins}
    open_partitions = {one for one in begins if begins[one] < ends[one]}
    complaints = []
    try:
        consumer.assign([TopicPartition(topic, partition, begins[topic, partition]) for topic, partition in open_partitions])
        progress = time.monotonic()
        while open_partitions and time.monotonic() - progress < SILENCE_SECONDS_MAX:
            for message in consumer.consume(5_000, 0.5):
                progress = time.monotonic()
                error = message.error()
                if error is None:
                    found[message.topic(), message.partition()].append(record_entry(message))
                elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    open_partitions.discard((message.topic(), message.partition()))
                else:
                    complaints.append(f"{message.topic()}-{message.partition()}: the consumer reports {error}")
                    open_partitions.discard((message.topic(), message.partition()))
        complaints += [f"{topic}-{partition}: its end did not come within {SILENCE_SECONDS_MAX} s" for topic, partition in open_partitions]
    finally:
        consumer.close()
    return found, complaints


class Offsets:
    """ListOffsets for many partitions at once."""

    def __init__(self, bootstrap):
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def ask(self, wanted):
        """{(topic, partition): OffsetSpec} to {(topic, partition): (offset, timestamp, leader epoch)}."""
        request = {TopicPartition(topic, partition): spec for (topic, partition), spec in wanted.items()}
        answers = {}
        for one, future in self.admin.list_offsets(request).items() if request else ():
            info = future.result(30)
            epoch = -1 if info.leader_epoch is None else info.leader_epoch
            answers[one.topic, one.partition] = (info.offset, info.timestamp, epoch)
        return answers

    def begins_and_ends(self, partitions):
        begins = self.ask({one: OffsetSpec.earliest() for one in partitions})
        ends = self.ask({one: OffsetSpec.latest() for one in partitions})
        return {one: begins[one][0] for one in partitions}, {one: ends[one][0] for one in partitions}


class Checker:
    """Compares a running broker with a manifest; `run` returns (partitions that are right, complaints)."""

    def __init__(self, bootstrap, manifest):
        self.bootstrap = bootstrap
        self.manifest = manifest
        self.offsets = Offsets(bootstrap)
        # A broker may append to its internal topics.
        self.chosen = [one for one in manifest.partitions if manifest.role(one[0]) != "internal" and not one[0].startswith("__")]
        self.complaints = {one: [] for one in self.chosen}

    def run(self):
        self._check_topics()
        begins, ends = self.offsets.begins_and_ends(self.chosen)
        for one in self.chosen:
            expected = self.manifest.partitions[one]
            if not self._is_compacted_later(one) and begins[one] != expected["begin"]:
                self._complain(one, f"begin offset expected {expected['begin']}, came {begins[one]}")
            if ends[one] != expected["end"]:
                self._complain(one, f"end offset expected {expected['end']}, came {ends[one]}")
        self._check_times()
        found, complaints = read_partitions(self.bootstrap, begins, ends)
        for one in self.chosen:
            self._check_records(one, found[one])
        complaints += [line for lines in self.complaints.values() for line in lines[:COMPLAINTS_PER_PARTITION_MAX]]
        return sum(not lines for lines in self.complaints.values()), complaints

    def _complain(self, one, text):
        self.complaints[one].append(f"{one[0]}-{one[1]}: {text}")

    def _is_compacted_later(self, one):
        """Killed while it was being compacted: the manifest is certain of the last record of each key only."""
        return self.manifest.role(one[0]) == "load-compact"

    def _check_topics(self):
        names = sorted({topic for topic, _ in self.chosen})
        for name, future in self.offsets.admin.describe_topics(TopicCollection(names)).items():
            description, expected = future.result(30), self.manifest.topics[name]
            came = str(description.topic_id).rstrip("=")
            if base64.urlsafe_b64decode(came + "==") != base64.urlsafe_b64decode(expected["topicId"] + "=="):
                self._complain((name, 0), f"topic id expected {expected['topicId']}, came {came}")
            if len(description.partitions) != expected["partitions"]:
                self._complain((name, 0), f"partitions expected {expected['partitions']}, came {len(description.partitions)}")

    def _check_times(self):
        asked = {one: self.manifest.partitions[one].get("times", []) for one in self.chosen if not self._is_compacted_later(one)}
        for turn in range(max(map(len, asked.values()), default=0)):
            wanted = {one: times[turn] for one, times in asked.items() if turn < len(times)}
            answers = self.offsets.ask({one: OffsetSpec.for_timestamp(time_["ask"]) for one, time_ in wanted.items()})
            for one, time_ in wanted.items():
                self._compare_time(one, f"first at or after {time_['ask']}", time_["answer"], answers[one])
        newest = {one: self.manifest.partitions[one]["maxTimestamp"] for one in asked if "maxTimestamp" in self.manifest.partitions[one]}
        answers = self.offsets.ask({one: OffsetSpec.max_timestamp() for one in newest})
        for one, expected in newest.items():
            self._compare_time(one, "largest timestamp", expected, answers[one])

    def _compare_time(self, one, what, expected, came):
        if expected is None or expected["offset"] < 0:
            if came[0] != -1:
                self._complain(one, f"{what}: no record expected, came offset {came[0]}")
        elif came != (expected["offset"], expected["timestamp"], expected["leaderEpoch"]):
            self._complain(one, f"{what}: expected {expected}, came offset, timestamp and leader epoch {came}")

    def _check_records(self, one, came):
        expected = self.manifest.records.get(one, [])
        if self._is_compacted_later(one):
            expected, came = list(last_per_key(expected).values()), last_per_key(came)
            came = [came.get(entry["key"]) for entry in expected]
        if len(expected) != len(came):
            self._complain(one, f"records expected {len(expected)}, came {len(came)}")
        for want, got in zip(expected, came):
            want = {name: want[name] for name in want if name != "committed"}
            if want != got:
                different = [name for name in want if got is None or want[name] != got[name]]
                shown = {name: (want[name], got and got[name]) for name in different}
                self._complain(one, f"offset {want['offset']}: (expected, came) of {str(shown)[:400]}")
                break


def last_per_key(entries):
    return {entry["key"]: entry for entry in entries}


def read_back(bootstrap, topics):
    """The lines of a manifest of these topics, as a running broker serves them."""
    offsets = Offsets(bootstrap)
    lines, partitions = [], []
    for name, future in offsets.admin.describe_topics(TopicCollection(sorted(topics))).items():
        description = future.result(30)
        topic_id = str(description.topic_id).rstrip("=")
        lines.append({"kind": "topic", "topic": name, "topicId": topic_id, "partitions": len(description.partitions), "configs": {}})
        partitions += [(name, index) for index in range(len(description.partitions))]
    begins, ends = offsets.begins_and_ends(partitions)
    found, complaints = read_partitions(bootstrap, begins, ends)
    if complaints:
        raise RuntimeError(f"could not read the directory that was just written: {complaints[:3]}")
    newest = offsets.ask({one: OffsetSpec.max_timestamp() for one in partitions})
    asked = {one: list(TIMES_ALWAYS_ASKED) + times_of(found[one]) for one in partitions}
    answers = {one: [] for one in partitions}
    for turn in range(max(map(len, asked.values()), default=0)):
        wanted = {one: times[turn] for one, times in asked.items() if turn < len(times)}
        for one, came in offsets.ask({one: OffsetSpec.for_timestamp(at) for one, at in wanted.items()}).items():
            answers[one].append({"ask": wanted[one], "answer": None if came[0] < 0 else as_answer(came)})
    for one in partitions:
        entry = {"kind": "partition", "topic": one[0], "partition": one[1], "begin": begins[one], "end": ends[one]}
        lines.append({**entry, "maxTimestamp": as_answer(newest[one]), "times": answers[one]})
        lines += found[one]
    return [json.dumps(line) for line in lines]


def as_answer(came):
    return dict(zip(("offset", "timestamp", "leaderEpoch"), came))


def times_of(entries):
    """About ten timestamps of a partition's records, spread over it, and each one's successor."""
    step = max(1, len(entries) // 10)
    return [entry["timestamp"] + more for entry in entries[::step] for more in (0, 1)]
