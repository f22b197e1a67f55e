"""Measures how long a produce takes while the cleaner works beside it, and while it does not: the same load in turns.

Usage: beside_cleaning.py [--cores 0 …] [--repetitions N] [--seconds N] [--rate N] [--directory DIR] [--junk FILE] [--keep FILE] [--set NAME=VALUE …]

A compacted topic of which all is dirty is made once. Each run begins with the same files (sealed segments are linked, they never change), a broker of its own
and the cleaner on or off; then `pagewire-load` sends at a steady rate from processor 1, and counts latency from the time at which a message was due. With the cleaner
on it begins when the cleaner begins to write, and the run is thrown out if the cleaner comes to its end before the load does.
`--junk` names a file larger than memory, which is read first: new pages of the page cache are reclaimed ones then, as on a machine that has been up for a while.
`--keep` gets every run as a line of JSON. Prints the medians over the repetitions, and the median and spread of the ratio of neighbours.
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

import broker
import tools

TOPIC = "dirty"
TOPIC_SETTINGS = {"cleanup.policy": "compact", "segment.bytes": str(64 << 20), "min.cleanable.dirty.ratio": "0.01", "file.delete.delay.ms": "600000"}
VALUE_BYTES = 1000
# Each key comes twice: half of the bytes are written again.
KEYS_SHARE = 0.5
WARMUP_SECONDS = 2
CLEANER_SECONDS_MAX = 60
FREE_BYTES_MAX = 500 << 20
LOAD_PROCESSOR = "1"
PERCENTILES = ("p50", "p99", "p99_9", "max")


def fill_memory(junk):
    """Reads the file until hardly any memory is free."""

    def free_bytes():
        line = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemFree:"))
        return int(line.split()[1]) * 1024

    with open(junk, "rb") as file:
        while free_bytes() > FREE_BYTES_MAX and file.read(8 << 20):
            pass


def make_dirty(directory, megabytes):
    """A stopped broker's directory with one compacted topic, nothing of it cleaned."""
    import confluent_kafka
    from confluent_kafka.admin import AdminClient, NewTopic

    running = broker.start_pagewire(directory, "0", settings={"log.cleaner.enable": "false"})
    try:
        admin = AdminClient({"bootstrap.servers": running.bootstrap})
        for future in admin.create_topics([NewTopic(TOPIC, 1, 1, config=TOPIC_SETTINGS)]).values():
            future.result(30)
        producer = confluent_kafka.Producer({"bootstrap.servers": running.bootstrap, "linger.ms": 20, "batch.size": 65536})
        count = (megabytes << 20) // VALUE_BYTES
        for number in range(count):
            value = os.urandom(8) * (VALUE_BYTES // 8)
            while True:
                try:
                    producer.produce(TOPIC, value, key=str(number % int(count * KEYS_SHARE)))
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.flush(60)
        running.stop()
    finally:
        running.kill()


def restore(kept, directory):
    """The kept directory once more; what is sealed is linked."""
    shutil.rmtree(directory, ignore_errors=True)
    newest = max((kept / f"{TOPIC}-0").glob("*.log"))

    def link_or_copy(source, target):
        is_sealed = source.endswith(".log") and f"/{TOPIC}-0/" in source and pathlib.Path(source) != newest
        (os.link if is_sealed else shutil.copy2)(source, target)

    shutil.copytree(kept, directory, copy_function=link_or_copy)


def cleaner_seconds(process):
    """User and system time of the cleaner's thread so far."""
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
        if name == "cleaner":
            fields = fields.split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def run_once(options, kept, directory, cores, is_cleaning):
    """One run: percentiles in microseconds, and how busy the cleaner was; None if it was not busy all the time."""
    restore(kept, directory)
    if options.junk:
        fill_memory(options.junk)
    settings = {"log.cleaner.enable": str(is_cleaning).lower(), "log.cleaner.backoff.ms": "50", **dict(one.split("=", 1) for one in options.set)}
    log_path = directory.with_suffix(".log")
    log_path.unlink(missing_ok=True)
    running = broker.start_pagewire(directory, cores, settings=settings, log_path=log_path)
    try:
        give_up = time.monotonic() + CLEANER_SECONDS_MAX
        while is_cleaning and not list((directory / f"{TOPIC}-0").glob("*.cleaned")) and time.monotonic() < give_up:
            time.sleep(0.01)
        before = cleaner_seconds(running.process)
        load = pathlib.Path(running.process.args[0]).with_name("pagewire-load")
        command = ["taskset", "-c", LOAD_PROCESSOR, str(load), "--quiet", "--json", "-", "--bootstrap", running.bootstrap, "--mode", "produce"]
        command += ["--topic", "measured", "--partitions", "4", "--producers", "4", "--rate", str(options.rate), "--message-bytes", "1000"]
        command += ["--warmup", f"{WARMUP_SECONDS}s", "--duration", f"{options.seconds + WARMUP_SECONDS}s"]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        is_done = f"{TOPIC}-0: cleaned" in log_path.read_text()
        busy = cleaner_seconds(running.process) - before
        running.stop()
    finally:
        running.kill()
    if is_cleaning and (is_done or not busy):
        print(f"  a run does not count: {'the cleaner was done before it ended' if is_done else 'nothing was cleaned'}", flush=True)
        return None
    found = {name: report["produced"]["all"]["latency_us"][name] for name in PERCENTILES}
    return {**found, "cores": cores, "cleaning": is_cleaning, "cleaner_percent": round(100 * busy / report["elapsed_s"], 1)}


def measure(options, kept, directory, cores):
    pairs = []
    for repetition in range(options.repetitions):
        # Who comes first changes, so that what drifts hits both.
        order = (False, True) if repetition % 2 == 0 else (True, False)
        runs = {is_cleaning: run_once(options, kept, directory, cores, is_cleaning) for is_cleaning in order}
        if not all(runs.values()):
            continue
        pairs.append(runs)
        for run in runs.values():
            print("  " + json.dumps(run), flush=True)
            if options.keep:
                with open(options.keep, "a") as file:
                    file.write(json.dumps(run) + "\n")
    return pairs


def tell(cores, pairs):
    print(f"cores {cores}: {len(pairs)} repetitions; microseconds without / beside a cleaning, and their ratio: median, lowest to highest")
    for name in PERCENTILES:
        without, beside = ([pair[is_cleaning][name] for pair in pairs] for is_cleaning in (False, True))
        ratios = [after / before for before, after in zip(without, beside)]
        print(
            f"  {name}: {statistics.median(without):.0f} / {statistics.median(beside):.0f}, "
            f"ratio {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        )
    print(f"  cleaner's processor: {statistics.median(pair[True]['cleaner_percent'] for pair in pairs)} %", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", action="append", help="may be given several times; default 0 and 0,1")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="that count, of each run")
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--megabytes", type=int, default=320, help="of the dirty topic: enough for the cleaner to be busy all the time")
    parser.add_argument("--directory", type=pathlib.Path, default=tools.ROOT / "target")
    parser.add_argument("--junk", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the broker")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="beside-cleaning-", dir=options.directory))
    try:
        make_dirty(scratch / "kept", options.megabytes)
        for cores in options.cores or ["0", "0,1"]:
            pairs = measure(options, scratch / "kept", scratch / "data", cores)
            if len(pairs) * 2 < options.repetitions:
                print(f"cores {cores}: only {len(pairs)} repetitions count")
                return 1
            tell(cores, pairs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
