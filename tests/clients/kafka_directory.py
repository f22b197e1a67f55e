"""Makes a data directory with a real Apache Kafka, and compares what another broker serves from it.

Usage: kafka_directory.py [--broker pagewire|kafka] [--cores 0,1] [--advertise HOW] [--back-to-kafka]
       kafka_directory.py --make DIRECTORY                       only makes one, and DIRECTORY.manifest.jsonl.gz beside it
       kafka_directory.py --bootstrap HOST:PORT --manifest FILE  only compares

The directory holds a topic per codec from the Java client and one each from the others, in segments of 1 MiB, with producer
snapshots. The records are compared twice: with the manifest, which is Kafka's own view before it stopped, and by the Java
client with the recipe they were made from. `--back-to-kafka` lets Kafka open the directory again afterwards.
"""

import argparse
import concurrent.futures
import gzip
import pathlib
import shutil
import sys
import tempfile
import time

import broker
import dump_log_segments
import manifest
import recipe
from drivers import KAFKA_SETTLE_SECONDS, Driver, StepFailed

RECORDS = 12_000
RECORDS_UNCOMPRESSED = 60_000  # enough for several segments per partition
TOPICS = [("java", codec) for codec in recipe.CODECS]
TOPICS += [("confluent-kafka", "snappy"), ("kafka-python", "lz4"), ("aiokafka", "zstd"), ("kafkajs", "gzip")]
KAFKA_SETTINGS = {"log.segment.bytes": "1048576", "log.index.interval.bytes": "1024", "log.retention.ms": "-1"}
SETTINGS = {"log.retention.ms": "-1"}


def make(directory):
    """Fills `directory` with a fresh Kafka, stops it cleanly; returns the path of the manifest beside it."""
    directory = pathlib.Path(directory)
    manifest_path = directory.with_name(directory.name + ".manifest.jsonl.gz")
    running = broker.start_kafka(directory, KAFKA_SETTINGS)
    try:
        clients = sorted({client for client, _ in TOPICS})
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(lambda client: write(client, running.bootstrap, directory.with_name(f"{client}.log")), clients))
        lines = manifest.read_back(running.bootstrap, topics_of())
        with gzip.open(manifest_path, "wt") as file:
            file.write("".join(line + "\n" for line in lines))
        running.stop()
    finally:
        running.kill()
    return manifest_path


def write(client, bootstrap, log_path):
    """One client fills its topics."""
    with Driver(client, log_path) as driver:
        for topic in topics_of(client):
            driver.ask(step="write", bootstrap=bootstrap, topic=topic, records=records_of(topic), settle_seconds=KAFKA_SETTLE_SECONDS)


def topics_of(client=None):
    return [recipe.topic_name(writer, codec) for writer, codec in TOPICS if client in (None, writer)]


def records_of(topic):
    return RECORDS_UNCOMPRESSED if recipe.codec_of(topic) == "none" else RECORDS


def check(bootstrap, manifest_path):
    """Compares a broker that serves the directory with its manifest; returns (partitions that are right, complaints)."""
    return manifest.Checker(bootstrap, manifest.load(manifest_path)).run()


class Counts:
    """What passed and what failed; says each failure as it comes."""

    def __init__(self):
        self.passed = self.failed = 0

    def add(self, passed, complaints):
        self.passed += passed
        self.failed += len(complaints)
        for complaint in complaints:
            print(f"FAILED {complaint}", flush=True)


def check_recipes(bootstrap, java, counts):
    """The Java client reads every topic and compares it with the recipe."""
    for topic in topics_of():
        try:
            java.ask(step="read", bootstrap=bootstrap, topic=topic, records=records_of(topic))
            counts.add(1, [])
        except StepFailed as failure:
            counts.add(0, [str(failure)])


def serve_and_check(kind, directory, manifest_path, java, options, counts):
    """Serves the directory once, compares, stops it cleanly and has Kafka's tool dump it."""
    started = time.monotonic()
    running = broker.start(kind, directory, options.cores, options.advertise, SETTINGS)
    try:
        counts.add(*check(running.bootstrap, manifest_path))
        check_recipes(running.bootstrap, java, counts)
        running.stop()
    finally:
        running.kill()
    count, offending = dump_log_segments.check(directory, java, dump_log_segments.parse_arguments([str(directory)]), directory.parent)
    counts.add(1 if count and not offending else 0, offending[:20] or ([] if count else ["no segment to dump"]))
    print(f"  served by {kind}: {count} segments, {time.monotonic() - started:.1f} s", flush=True)


def run(options, scratch, counts):
    directory = scratch / "kafka"
    started = time.monotonic()
    manifest_path = make(directory)
    print(f"  made by Apache Kafka in {time.monotonic() - started:.1f} s", flush=True)
    with Driver("java", scratch / "java.log") as java:
        for kind in [options.broker, options.broker] + (["kafka"] if options.back_to_kafka else []):
            serve_and_check(kind, directory, manifest_path, java, options, counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--advertise", default="per-core")
    parser.add_argument("--back-to-kafka", action="store_true")
    parser.add_argument("--make", type=pathlib.Path, metavar="DIRECTORY")
    parser.add_argument("--bootstrap")
    parser.add_argument("--manifest", type=pathlib.Path)
    options = parser.parse_args()
    if options.make:
        print(make(options.make))
        return 0
    counts = Counts()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-kafka-directory-"))
    try:
        if options.bootstrap:
            counts.add(*check(options.bootstrap, options.manifest))
        else:
            run(options, scratch, counts)
    except (broker.BrokerFailed, StepFailed) as failure:
        counts.add(0, [str(failure)])
    if counts.failed:
        print(f"the directory and logs are in {scratch}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{counts.passed} passed, {counts.failed} failed")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
