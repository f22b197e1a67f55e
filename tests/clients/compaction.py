"""Has a broker compact a topic, and compares what Kafka's dump tool reads in the files with what was written.

Usage: compaction.py [--broker pagewire|kafka] [--updates N] [--keys N]
       compaction.py --directory DIR --topic NAME --values FILE    only judges what a stopped broker has left

The updates come from Kafka's console producer in all codecs, a part of them tombstones. When the cleaner has come past all
of them (its checkpoint says so) the broker stops, and DumpLogSegments prints every record: the last value of each key has
to be there and nothing else of it below the cleaner's checkpoint, no tombstone, and no line of the tool may complain. FILE
holds what has to be there, a key, a tab and its value to a line.
"""

import argparse
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

import broker
import dump_log_segments
from drivers import Driver, StepFailed
from kafka_tools import ToolFailed, Tools, expect

TOPIC = "compacted.by-tools"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SETTINGS = {"log.cleaner.backoff.ms": "100"}
TOPIC_SETTINGS = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "65536",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "300",
    "file.delete.delay.ms": "100",
}
NULL = "NULL-MARKER"
FILLER = "filler"
CLEANED_SECONDS_MAX = 90
RECORD = re.compile(r"^\| offset: (\d+) .*? keySize: (-?\d+) valueSize: (-?\d+) .*? key: (\S+)(?: payload: (.*))?$")


def write(tools, lines, codec):
    """Keys and values, one line each, through the console producer."""
    properties = []
    for one in ("parse.key=true", f"null.marker={NULL}"):
        properties += ["--reader-property", one]
    text = "".join(f"{key}\t{value}\n" for key, value in lines)
    tools.run("ConsoleProducer", "--topic", TOPIC, "--compression-codec", codec, *properties, standard_input=text)


def write_in_all_codecs(tools, lines):
    per_codec = -(-len(lines) // len(CODECS))
    for number, codec in enumerate(CODECS):
        write(tools, lines[number * per_codec : (number + 1) * per_codec], codec)


def fill(tools):
    """Rolls the segment that takes the appends, so that everything before lies in sealed ones.

    Two batches of which no segment holds both: the second one begins a segment, wherever the first one went.
    """
    for _ in range(2):
        write(tools, [(FILLER, "." * 60_000)], "none")


def cleaned_up_to(data_dir, topic=TOPIC, partition=0):
    file = data_dir / "cleaner-offset-checkpoint"
    lines = file.read_text().splitlines()[2:] if file.exists() else []  # before its first cleaning a broker has none
    return next((int(line.split()[2]) for line in lines if line.startswith(f"{topic} {partition} ")), 0)


def end_offset(tools):
    printed = tools.run("GetOffsetShell", "--topic-partitions", f"{TOPIC}:0", "--time", "latest")
    return int(re.search(rf"^{re.escape(TOPIC)}:0:(\d+)$", printed, re.M)[1])


def wait_until_cleaned(data_dir, offset):
    give_up = time.monotonic() + CLEANED_SECONDS_MAX
    while cleaned_up_to(data_dir) < offset:
        expect(time.monotonic() < give_up, f"the log to be cleaned up to offset {offset}", str(cleaned_up_to(data_dir)))
        time.sleep(0.1)


def dumped(java, folder, scratch):
    """(offset, key, value or None) of every record, in order, as Kafka's dump tool prints them."""
    records = []
    for log in sorted(folder.glob("*.log")):
        output = scratch / "records.txt"
        code = java.tool(dump_log_segments.TOOL, ["--print-data-log", "--files", log], output)
        expect(code == 0, "exit code 0", output.read_text(errors="replace"))
        for line in output.read_text(errors="replace").splitlines():
            found = RECORD.match(line)
            if found:
                records.append((int(found[1]), found[4], None if found[3] == "-1" else found[5] or ""))
            else:
                expect(not line.startswith("| offset"), "a record with a key", line)
    return records


def repeated(records, cleaned):
    """Complaints about the keys of a partition that was cleaned up to an offset."""
    complaints, seen = [], set()
    for offset, key, _ in records:
        if offset < cleaned and key in seen:
            complaints.append(f"key {key} stands twice below offset {cleaned}, the second time at {offset}")
        seen.add(key)
    return complaints


def compare(records, values):
    """Complaints about a topic that is to hold these values, each key in one partition, and no tombstone."""
    last = {key: value for _, key, value in records if key != FILLER}
    left = {key: value for key, value in last.items() if value is not None}
    complaints = []
    if left != values:
        wrong = [key for key in left.keys() | values.keys() if left.get(key) != values.get(key)]
        complaints.append(f"{len(wrong)} of {len(values)} keys have another value than their last, {wrong[0]} for one")
    tombstones = [offset for offset, _, value in records if value is None]
    return complaints + ([f"{len(tombstones)} tombstones are left, at {tombstones[0]} for one"] if tombstones else [])


def judge(java, data_dir, topic, values, ends, scratch):
    """Complaints about the directory of a stopped broker, which has cleaned each partition up to its end at least; and how many records are left."""
    complaints, records = [], []
    for partition, end in enumerate(ends):
        part = dumped(java, data_dir / f"{topic}-{partition}", scratch)
        complaints += repeated(part, end)
        records += part
    complaints += compare(records, values)
    arguments = dump_log_segments.parse_arguments([str(data_dir), "--compacted", topic])
    count, offending = dump_log_segments.check(data_dir, java, arguments, scratch)
    return complaints + offending[:20] + ([] if count else ["no segment to dump"]), len(records)


def run(options, scratch):
    """Returns complaints."""
    values, lines = {}, []
    chosen = random.Random(4711)
    for number in range(options.updates):
        key = f"key-{chosen.randrange(options.keys)}"
        if chosen.random() < 0.1:
            lines.append((key, NULL))
            values.pop(key, None)
        else:
            lines.append((key, f"value-{number}-" + "x" * chosen.randrange(60)))
            values[key] = lines[-1][1]
    with Driver("java", scratch / "java.log") as java:
        running = broker.start(options.broker, scratch / "data", cores="0,1", settings=SETTINGS)
        try:
            tools = Tools(java, running.bootstrap, scratch)
            settings = [part for name, value in TOPIC_SETTINGS.items() for part in ("--config", f"{name}={value}")]
            tools.run("TopicCommand", "--create", "--topic", TOPIC, "--partitions", "1", *settings)
            write_in_all_codecs(tools, lines)
            # The first rounds set the horizon of the tombstones, later ones remove them.
            for _ in range(3):
                end = end_offset(tools)
                fill(tools)
                wait_until_cleaned(running.data_dir, end)
                time.sleep(0.4)
            running.stop()
        finally:
            running.kill()
        complaints, left = judge(java, running.data_dir, TOPIC, values, [end], scratch)
        print(f"  {options.updates} updates of {options.keys} keys: {left} records are left, cleaned up to {cleaned_up_to(running.data_dir)}", flush=True)
        return complaints


def run_directory(options, scratch):
    """Judges what some other test has left."""
    values = dict(line.split("\t", 1) for line in options.values.read_text().splitlines())
    partitions = len(list(options.directory.glob(f"{options.topic}-[0-9]*")))
    ends = [cleaned_up_to(options.directory, options.topic, partition) for partition in range(partitions)]
    with Driver("java", scratch / "java.log") as java:
        complaints, left = judge(java, options.directory, options.topic, values, ends, scratch)
    print(f"  {len(values)} keys in {partitions} partitions, cleaned up to {ends}: {left} records are left", flush=True)
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--directory", type=pathlib.Path)
    parser.add_argument("--topic")
    parser.add_argument("--values", type=pathlib.Path)
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-compaction-"))
    try:
        complaints = run_directory(options, scratch) if options.directory else run(options, scratch)
    except (broker.BrokerFailed, StepFailed, ToolFailed) as failure:
        complaints = [str(failure)]
    for complaint in complaints:
        print(f"FAILED {complaint}", flush=True)
    if complaints:
        print(f"the directory and logs are in {scratch}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{0 if complaints else 1} passed, {len(complaints)} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
