"""What Kafka's tools say of idempotent producers: TransactionsCommand while the broker runs, DumpLogSegments of the producer snapshots
that it has left behind. Steps of `kafka_tools.py`."""

import re

from kafka_tool import expect

TOPIC = "producers"
RECORDS = (30, 12)  # of the first and the second producer
HEADINGS = ["ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence", "LastTimestamp", "CurrentTransactionStartOffset"]


def described(tools, partition):
    """Producer id → (epoch, coordinator epoch, last sequence, last timestamp, start of its transaction), all as they are printed."""
    printed = tools.run("TransactionsCommand", "describe-producers", "--topic", TOPIC, "--partition", partition)
    lines = [line.split() for line in printed.splitlines() if line.strip()]
    expect(lines and lines[0] == HEADINGS and all(len(line) == len(HEADINGS) for line in lines), "a table of producers", printed)
    return {int(line[0]): tuple(line[1:]) for line in lines[1:]}


def describe_producers(tools):
    """One more producer for each run of the console producer, with the sequence and the timestamp of its last record."""
    tools.run("TopicCommand", "--create", "--topic", TOPIC, "--partitions", 2)
    for partition in (0, 1):
        expect(described(tools, partition) == {}, "no producer before the first record", f"partition {partition}")
    known = {}
    for count in RECORDS:
        # All records have one key, and so one partition.
        lines = "".join(f"key\t{number}\n" for number in range(count))
        tools.run("ConsoleProducer", "--topic", TOPIC, "--reader-property", "parse.key=true", standard_input=lines)
        came = {partition: described(tools, partition) for partition in (0, 1)}
        written = [partition for partition in came if came[partition]]
        expect(len(written) == 1 and known.items() <= came[written[0]].items(), "the producers of one partition, the earlier ones as before", str(came))
        new = came[written[0]].keys() - known.keys()
        expect(len(new) == 1, "one new producer", str(came))
        epoch, coordinator_epoch, sequence, timestamp, transaction = came[written[0]][new.pop()]
        expect((epoch, coordinator_epoch, int(sequence), transaction) == ("0", "-1", count - 1, "None"), f"{count} records outside transactions", str(came))
        last = ("--partition", written[0], "--offset", sum(RECORDS[: len(known) + 1]) - 1, "--max-messages", 1)
        newest = tools.run("consumer.ConsoleConsumer", "--topic", TOPIC, *last, "--formatter-property", "print.timestamp=true")
        expect(f"CreateTime:{timestamp}\t{count - 1}" in newest, f"the last record to have the timestamp {timestamp}", newest)
        known = came[written[0]]
    tools.notes["producers"] = written[0], known


CHECKS = (describe_producers,)


def stored_producers(tools):
    """The snapshot that a clean stop leaves at the end of the log tells the same."""
    expect("producers" in tools.notes, "the broker to have told of producers", "nothing")
    partition, known = tools.notes["producers"]
    folder = tools.data_dir / f"{TOPIC}-{partition}"
    file = folder / f"{sum(RECORDS):020}.snapshot"
    expect(file.exists(), f"{file.name}", str(sorted(one.name for one in folder.iterdir())))
    printed = tools.run_offline("DumpLogSegments", "--files", file)
    pattern = r"^producerId: (\d+) producerEpoch: (\d+) coordinatorEpoch: (-?\d+) currentTxnFirstOffset: (\S+) lastTimestamp: (\d+) "
    pattern += r"firstSequence: (\d+) lastSequence: (\d+) lastOffset: (\d+) offsetDelta: (\d+) timestamp: (\d+)$"
    found = {int(line[0]): line[1:] for line in re.findall(pattern, printed, re.M)}
    expect(len(found) == printed.count("producerId:") == len(known), f"{len(known)} producers", printed)
    ends = sorted(int(line[6]) for line in found.values())
    expect(ends == [RECORDS[0] - 1, sum(RECORDS) - 1], "the offsets of their last records", printed)
    for producer, (epoch, coordinator_epoch, sequence, timestamp, _) in known.items():
        line = found.get(producer, ("",) * 9)
        expect((line[0], line[1], line[5], line[8]) == (epoch, coordinator_epoch, sequence, timestamp), f"producer {producer} as the broker told of it", printed)


STORED_CHECKS = (stored_producers,)
