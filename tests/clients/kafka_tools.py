"""Runs Kafka's own command-line tools against a broker, then Kafka's dump tool over what that broker stored.

Usage: kafka_tools.py [--broker pagewire|kafka] [--bootstrap HOST:PORT] [--groups]

One JVM runs them all, one after the other. Each tool is judged by what it prints, not only by its exit code: several exit
with 0 whatever happens. `--groups` adds what works with consumer groups: `kafka_tools_groups.py`.
"""

import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile
import time

import broker
import dump_log_segments
import kafka_tools_changes
import kafka_tools_groups
import kafka_tools_producers
from drivers import Driver, StepFailed
from kafka_tool import ToolFailed, Tools, expect

PARTITIONS = 3
PERFORMANCE_RECORDS = 50_000
SETTINGS = {"group.initial.rebalance.delay.ms": "0"}


def api_versions(tools):
    """BrokerApiVersionsCommand: asks every broker that Metadata names."""
    printed = tools.run("BrokerApiVersionsCommand")
    brokers = re.findall(r"^(\S+):(\d+) \(id: (\d+) rack: .*-> \($", printed, re.M)
    expect(brokers, "at least one broker with its API versions", printed)
    for api in ("Produce(0): ", "Fetch(1): ", "ListOffsets(2): ", "Metadata(3): ", "ApiVersions(18): ", "CreateTopics(19): "):
        expect(printed.count(api) == len(brokers), f"{api!r} from each of {len(brokers)} brokers", printed)
        expect(api + "UNSUPPORTED" not in printed, f"{api!r} to be supported", printed)


def create_topics(tools):
    """TopicCommand --create, with settings; a second time it has to be refused."""
    arguments = ("TopicCommand", "--create", "--topic", "tools", "--partitions", PARTITIONS, "--replication-factor", "1")
    arguments += ("--config", "retention.ms=-1", "--config", "segment.bytes=1048576")
    printed = tools.run(*arguments)
    expect("Created topic tools." in printed, "'Created topic tools.'", printed)
    printed = tools.run(*arguments, expect_code=1)
    expect("already exists" in printed, "the second creation to be refused as existing", printed)
    printed = tools.run("TopicCommand", "--create", "--if-not-exists", "--topic", "tools-short-lived")
    expect("Created topic tools-short-lived." in printed, "a topic with the broker's defaults", printed)


def list_and_describe(tools):
    printed = tools.run("TopicCommand", "--list")
    expect({"tools", "tools-short-lived"} <= set(printed.split()), "both topics in the list", printed)
    printed = tools.run("TopicCommand", "--describe", "--topic", "tools")
    expect(f"PartitionCount: {PARTITIONS}" in printed and "ReplicationFactor: 1" in printed, f"{PARTITIONS} partitions, 1 replica", printed)
    lines = re.findall(r"Topic: tools\s+Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)", printed)
    expect([int(line[0]) for line in lines] == list(range(PARTITIONS)), "one line per partition", printed)
    expect(all(leader == replica == in_sync for _, leader, replica, in_sync in lines), "leader, replica and ISR to be one broker", printed)


def console_producer_and_consumer(tools):
    """Keys, headers and all codecs in through the console, out by partition and offset."""
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        lines = "".join(f"h{number}:{codec},other:x\tkey-{number}\tvalue {codec} {number}\n" for number in range(100))
        reader = ("--reader-property", "parse.key=true", "--reader-property", "parse.headers=true")
        tools.run("ConsoleProducer", "--topic", "tools", "--compression-codec", codec, *reader, standard_input=lines)
    seen = []
    for partition in range(PARTITIONS):
        properties = [f"print.{what}=true" for what in ("key", "headers", "offset", "partition", "timestamp")]
        printed = tools.consume("tools", partition, *(part for one in properties for part in ("--formatter-property", one)))
        pattern = r"^CreateTime:(\d+)\tPartition:(\d+)\tOffset:(\d+)\th(\d+):(\w+),other:x\tkey-(\d+)\tvalue (\w+) (\d+)$"
        records = re.findall(pattern, printed, re.M)
        expect([int(record[2]) for record in records] == list(range(len(records))), "offsets without a gap", printed)
        expect(all(int(record[1]) == partition for record in records), f"only partition {partition}", printed)
        expect(all(record[3] == record[5] == record[7] and record[4] == record[6] for record in records), "whole records", printed)
        expect(f"Processed a total of {len(records)} messages" in printed, f"{len(records)} records and no other", printed)
        seen += [(record[4], int(record[3])) for record in records]
    expected = [(codec, number) for codec in codecs for number in range(100)]
    expect(sorted(seen) == sorted(expected), "each of 500 records once", f"{len(seen)} records")
    printed = tools.run("consumer.ConsoleConsumer", "--topic", "tools", "--partition", "0", "--offset", "3", "--max-messages", "2")
    expect("Processed a total of 2 messages" in printed, "two records from offset 3 on", printed)


def get_offsets(tools):
    def offsets(*arguments):
        printed = tools.run("GetOffsetShell", "--topic-partitions", "tools", *arguments)
        found = {int(partition): int(offset) for partition, offset in re.findall(r"^tools:(\d+):(\d+)$", printed, re.M)}
        expect(sorted(found) == list(range(PARTITIONS)), "an offset per partition", printed)
        return found

    ends = offsets("--time", "latest")
    expect(sum(ends.values()) == 500, "500 records in all", str(ends))
    earliest = offsets("--time", "earliest")
    expect(set(earliest.values()) == {0}, "every partition to begin at 0", str(earliest))
    newest = offsets("--time", "max-timestamp")
    expect(all(0 <= newest[partition] < ends[partition] for partition in ends), "an offset of a record", str(newest))
    by_time = offsets("--time", "1000000000000")  # before the first record
    expect(by_time == earliest, "the first offset at or after 2001", str(by_time))


def producer_performance(tools):
    for codec in ("none", "zstd"):
        arguments = ("--topic", "tools", "--num-records", PERFORMANCE_RECORDS, "--throughput", "-1", "--record-size", "200")
        printed = tools.run("ProducerPerformance", *arguments, "--command-property", f"compression.type={codec}", "acks=all")
        expect(f"{PERFORMANCE_RECORDS} records sent" in printed and "99.9th" in printed, "a closing line with all records", printed)
    total = tools.run("GetOffsetShell", "--topic-partitions", "tools", "--time", "latest")
    count = sum(int(offset) for offset in re.findall(r"^tools:\d+:(\d+)$", total, re.M))
    expect(count == 500 + 2 * PERFORMANCE_RECORDS, f"{500 + 2 * PERFORMANCE_RECORDS} records in all", total)


def log_dirs(tools):
    """LogDirsCommand: asks every broker for its own partitions."""
    printed = tools.run("LogDirsCommand", "--describe", "--topic-list", "tools")
    told = json.loads(printed[printed.index("{"):])
    dirs = [log_dir for one in told["brokers"] for log_dir in one["logDirs"]]
    expect(dirs and all(log_dir["error"] is None and log_dir["logDir"].startswith("/") for log_dir in dirs), "directories without an error", printed)
    partitions = [partition for log_dir in dirs for partition in log_dir["partitions"]]
    expect(sorted(one["partition"] for one in partitions) == [f"tools-{index}" for index in range(PARTITIONS)], "each partition once", printed)
    expect(all(one["size"] > 0 and one["offsetLag"] == 0 and not one["isFuture"] for one in partitions), "sizes and no lag", printed)


def delete_records(tools):
    """DeleteRecordsCommand, up to an offset, up to the end, and beyond it."""
    tools.run("ConsoleProducer", "--topic", "tools-short-lived", standard_input="".join(f"{number}\n" for number in range(10)))

    def delete(offset, expected):
        wanted = {"partitions": [{"topic": "tools-short-lived", "partition": 0, "offset": offset}], "version": 1}
        file = tools.scratch / "offsets.json"
        file.write_text(json.dumps(wanted))
        printed = tools.run("DeleteRecordsCommand", "--offset-json-file", file)
        expect(re.search(expected, printed), expected, printed)
        printed = tools.run("GetOffsetShell", "--topic-partitions", "tools-short-lived:0", "--time", "earliest")
        return int(re.search(r"^tools-short-lived:0:(\d+)$", printed, re.M).group(1))

    start = delete(4, r"partition: tools-short-lived-0\s+low_watermark: 4\b")
    expect(start == 4, "the log to begin at 4", str(start))
    start = delete(11, r"partition: tools-short-lived-0\s+error: .*OffsetOutOfRange")
    expect(start == 4, "the log to begin at 4 still", str(start))
    printed = tools.consume("tools-short-lived", 0)
    expect(re.findall(r"^\d$", printed, re.M) == list("456789"), "the records from 4 on", printed)
    start = delete(-1, r"partition: tools-short-lived-0\s+low_watermark: 10\b")
    expect(start == 10, "nothing to be left", str(start))


def delete_topic(tools):
    tools.run("TopicCommand", "--delete", "--topic", "tools-short-lived")
    give_up = time.monotonic() + 10
    while "tools-short-lived" in (printed := tools.run("TopicCommand", "--list")).split():
        expect(time.monotonic() < give_up, "the deleted topic to leave the list", printed)
        time.sleep(0.2)
    printed = tools.run("TopicCommand", "--describe", "--topic", "tools-short-lived", expect_code=1)
    expect("does not exist" in printed, "the deleted topic not to exist", printed)


CHECKS = (api_versions, create_topics, list_and_describe, console_producer_and_consumer, get_offsets, producer_performance)
CHECKS += (log_dirs, delete_records, delete_topic) + kafka_tools_changes.CHECKS + kafka_tools_producers.CHECKS


def dump_log(tools):
    """Kafka's dump tool finds nothing wrong in any segment or index."""
    dump_options = dump_log_segments.parse_arguments([str(tools.data_dir)])
    count, offending = dump_log_segments.check(tools.data_dir, tools.java, dump_options, tools.scratch)
    expect(count and not offending, "segments without a complaint", "\n".join(offending[:50]) or f"{count} segments")


# What is looked at when the broker is stopped.
STORED_CHECKS = (dump_log,) + kafka_tools_producers.STORED_CHECKS


def run_checks(tools, checks):
    """Runs all, whatever fails before; returns (passed, failed)."""
    passed = failed = 0
    for check in checks:
        started = time.monotonic()
        try:
            check(tools)
            passed += 1
            print(f"  {check.__name__}: {time.monotonic() - started:.1f} s", flush=True)
        except (ToolFailed, StepFailed) as failure:
            failed += 1
            print(f"FAILED {check.__name__}: {failure}", flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--bootstrap", help="a broker that runs already; its files are not looked at")
    parser.add_argument("--groups", action="store_true", help="also the tools that join a consumer group")
    options = parser.parse_args()
    checks = CHECKS + (kafka_tools_groups.CHECKS if options.groups else ())
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-tools-"))
    failed = 1
    try:
        with Driver("java", scratch / "java.log") as java:
            if options.bootstrap:
                passed, failed = run_checks(Tools(java, options.bootstrap, scratch), checks)
            else:
                running = broker.start(options.broker, scratch / "data", cores="0,1", advertise="per-core", settings=SETTINGS)
                tools = Tools(java, running.bootstrap, scratch)
                try:
                    passed, failed = run_checks(tools, checks)
                    running.stop()
                finally:
                    running.kill()
                tools.data_dir = running.data_dir
                stored_passed, stored_failed = run_checks(tools, STORED_CHECKS + (kafka_tools_groups.STORED_CHECKS if options.groups else ()))
                passed, failed = passed + stored_passed, failed + stored_failed
    finally:
        if failed:
            print(f"logs are in {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
