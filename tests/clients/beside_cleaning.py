"""Measures how long a produce takes while the cleaner works beside it, and while it does not: the same load in turns, on one broker.

Usage: beside_cleaning.py [--cores 0 …] [--pairs N] [--seconds N] [--rate N] [--directory DIR] [--junk FILE] [--keep FILE] [--set NAME=VALUE …]

The broker has a compacted topic for each pair of runs, all of it dirty and too young to be cleaned (`min.compaction.lag.ms`). A pair is a run of
`pagewire-load` with the cleaner at rest, and one that begins when the cleaner, let loose on the next topic, begins to write; which of them comes first changes from
pair to pair. The load comes at a steady rate from processor 1, and latency counts from the actual send to the answer. A pair is thrown out
if the cleaner comes to its end before its run does.
`--junk` names a file larger than memory, which is read first: new pages of the page cache are reclaimed ones then, as on a machine that has been up for a while.
`--keep` gets every run as a line of JSON. Prints the medians over the pairs, and the median and spread of the ratio within a pair.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

import broker
import tools

LAG = "min.compaction.lag.ms"
TOPIC_SETTINGS = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "0.01", "file.delete.delay.ms": "600000", LAG: str(10**15)}
MEASURED = "measured"
VALUE_BYTES = 1000
# Of each key, one after the other: the cleaner keeps half of every batch.
UPDATES = 2
WARMUP_SECONDS = 1
SETTLE_SECONDS = 1
CLEANER_SECONDS_MAX = 60
FREE_BYTES_MAX = 500 << 20
LOAD_PROCESSOR = "1"
PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")


def fill_memory(junk):
    """Reads the file until hardly any memory is free."""

    def free_bytes():
        line = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemFree:"))
        return int(line.split()[1]) * 1024

    with open(junk, "rb") as file:
        while free_bytes() > FREE_BYTES_MAX and file.read(8 << 20):
            pass


class Bench:
    """A broker with dirty topics, and the load."""

    def __init__(self, options, scratch, cores):
        self.options = options
        settings = {"log.cleaner.backoff.ms": "50", **dict(one.split("=", 1) for one in options.set)}
        self.broker = broker.start_pagewire(scratch / f"data-{cores}", cores, settings=settings)
        self.admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 2})
        self.topics = [f"dirty.{number}" for number in range(options.pairs)]
        self.create(self.topics, 1, TOPIC_SETTINGS)
        self.create([MEASURED], 4, {})
        for topic in self.topics:
            self.make_dirty(topic)

    def create(self, topics, partitions, settings):
        for future in self.admin.create_topics([NewTopic(topic, partitions, 1, config=settings) for topic in topics]).values():
            future.result(30)

    def make_dirty(self, topic):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 20, "batch.size": 65536, "log_level": 2})
        count = (self.options.megabytes << 20) // VALUE_BYTES
        for number in range(count):
            value, key = os.urandom(8) * (VALUE_BYTES // 8), str(number // UPDATES)
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.flush(60)

    def run(self):
        """One run of the load; the percentiles of its round trips in microseconds: what the broker took, not how late the load was on a machine of two."""
        program = pathlib.Path(self.broker.process.args[0]).with_name("pagewire-load")
        command = ["taskset", "-c", LOAD_PROCESSOR, str(program), "--quiet", "--self-check", "warn", "--bootstrap", self.broker.bootstrap, "--mode", "produce"]
        command += ["--topic", MEASURED, "--no-create", "--producers", "4", "--rate", str(self.options.rate), "--message-bytes", str(VALUE_BYTES)]
        command += ["--warmup", f"{WARMUP_SECONDS}s", "--duration", f"{self.options.seconds + WARMUP_SECONDS}s"]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*command, "--output", folder], check=True, stdout=subprocess.DEVNULL)
            summary = json.loads((pathlib.Path(folder) / "summary.json").read_text())
        found = summary["repetitions"][0]["steps"][0]["roles"][0]["all"]["round_trips_us"]
        return {name: found[name] for name in PERCENTILES}

    def run_at_rest(self):
        time.sleep(SETTLE_SECONDS)
        return self.run()

    def run_beside_cleaning(self, topic):
        """The same while the cleaner works on a topic; None if it was done too early."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        resource.add_incremental_config(ConfigEntry(LAG, "0", incremental_operation=AlterConfigOpType.SET))
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(30)
        self.wait(lambda: list((self.broker.data_dir / f"{topic}-0").glob("*.cleaned")), f"{topic} to be cleaned")
        before = self.cleaner_seconds()
        begun = time.monotonic()
        found = self.run()
        found["cleaner_percent"] = round(100 * (self.cleaner_seconds() - before) / (time.monotonic() - begun), 1)
        if self.is_cleaned(topic):
            return None
        self.wait(lambda: self.is_cleaned(topic), f"{topic} to be clean")
        return found

    def is_cleaned(self, topic):
        return f"{topic}-0: cleaned" in self.broker.log_path.read_text()

    def wait(self, condition, what):
        give_up = time.monotonic() + CLEANER_SECONDS_MAX
        while not condition():
            if time.monotonic() > give_up:
                raise broker.BrokerFailed(f"waited {CLEANER_SECONDS_MAX} s for {what}\n{self.broker.log_tail()}")
            time.sleep(0.01)

    def cleaner_seconds(self):
        """User and system time of the cleaner's thread so far."""
        for task in pathlib.Path(f"/proc/{self.broker.process.pid}/task").iterdir():
            name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            if name == "cleaner":
                fields = fields.split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0


def measure(options, scratch, cores):
    """Pairs of runs: at rest, beside a cleaning."""
    bench = Bench(options, scratch, cores)
    pairs = []
    try:
        if options.junk:
            fill_memory(options.junk)
        for number, topic in enumerate(bench.topics):
            first = bench.run_at_rest() if number % 2 == 0 else None
            beside = bench.run_beside_cleaning(topic)
            rest = first or bench.run_at_rest()
            if beside is None:
                print("  a pair does not count: the cleaner was done before the load", flush=True)
                continue
            pairs.append((rest, beside))
            line = json.dumps({"cores": cores, "rest": rest, "beside": beside})
            print("  " + line, flush=True)
            if options.keep:
                with open(options.keep, "a") as file:
                    file.write(line + "\n")
        bench.broker.stop()
    finally:
        bench.broker.kill()
        shutil.rmtree(bench.broker.data_dir, ignore_errors=True)
    return pairs


def tell(cores, pairs):
    print(f"cores {cores}: {len(pairs)} pairs; microseconds at rest / beside a cleaning, and their ratio: median, lowest to highest")
    for name in PERCENTILES:
        rest, beside = ([run[name] for run in runs] for runs in zip(*pairs))
        ratios = [after / before for before, after in zip(rest, beside)]
        told = f"{statistics.median(rest):.0f} / {statistics.median(beside):.0f}, ratio {statistics.median(ratios):.2f}"
        print(f"  {name}: {told}, {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"  cleaner: {statistics.median(beside['cleaner_percent'] for _, beside in pairs)} % of a processor", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", action="append", help="may be given several times; default 0 and 0,1")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="that count, of each run")
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--megabytes", type=int, default=160, help="of each dirty topic: enough for the cleaner to write all the time")
    parser.add_argument("--directory", type=pathlib.Path, default=tools.ROOT / "target")
    parser.add_argument("--junk", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the broker")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="beside-cleaning-", dir=options.directory))
    try:
        for cores in options.cores or ["0", "0,1"]:
            pairs = measure(options, scratch, cores)
            if len(pairs) * 2 < options.pairs:
                print(f"cores {cores}: only {len(pairs)} pairs count")
                return 1
            tell(cores, pairs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
