"""Serves the data directories of tests/fixtures, all written by Apache Kafka, and compares them with their manifests.

Usage: fixtures.py [--broker pagewire|kafka] [--cores 0,1] [--advertise HOW] [NAME …]
       fixtures.py --bootstrap HOST:PORT NAME          checks only: the directory is served already

Per directory: unpack a copy, serve it, compare, stop; then once more on what the broker left, since a directory that was
recovered and closed has to be the same as before; at last Kafka's dump tool reads it. Groups and transactions are not looked at.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import broker
import dump_log_segments
import manifest
import tools
from drivers import Driver

FIXTURES = tools.ROOT / "tests" / "fixtures"
NAMES = ("clean", "killed")
# Nothing in there may age out; the topics' own settings live in Kafka's metadata log only.
SETTINGS = {"log.retention.ms": "-1"}
COMPACTED = ("compacted.*", "under.load-compacted")


def check(name, bootstrap, when):
    """Compares a served directory with its manifest; returns (passed, failed)."""
    started = time.monotonic()
    passed, complaints = manifest.Checker(bootstrap, manifest.load(FIXTURES / f"{name}.manifest.jsonl.gz")).run()
    for complaint in complaints:
        print(f"FAILED {name}, {when}: {complaint}", flush=True)
    print(f"  {name}, {when}: {passed} partitions right, {len(complaints)} complaints, {time.monotonic() - started:.1f} s", flush=True)
    return passed, len(complaints)


def check_dump(name, data_dir, scratch):
    """Kafka's dump tool on what the broker left behind."""
    chosen = [str(data_dir)] + [part for topic in COMPACTED for part in ("--compacted", topic)]
    with Driver("java", scratch / "java.log") as java:
        count, offending = dump_log_segments.check(data_dir, java, dump_log_segments.parse_arguments(chosen), scratch)
    for line in offending[:20]:
        print(f"FAILED {name}, dump: {line}", flush=True)
    return (0, 1) if offending or not count else (1, 0)


def run(name, options, scratch):
    data_dir = scratch / name
    data_dir.mkdir()
    subprocess.run(["tar", "-xzf", FIXTURES / f"{name}.tar.gz", "-C", data_dir], check=True)
    passed = failed = 0
    for when in ("first start", "after a clean stop"):
        running = broker.start(options.broker, data_dir, options.cores, options.advertise, SETTINGS)
        try:
            counts = check(name, running.bootstrap, when)
            running.stop()
        finally:
            running.kill()
        passed, failed = passed + counts[0], failed + counts[1]
    counts = check_dump(name, data_dir, scratch)
    return passed + counts[0], failed + counts[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--bootstrap")
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--advertise", default="per-core")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-fixtures-"))
    passed = failed = 0
    for name in options.names:
        try:
            counts = check(name, options.bootstrap, "as it is served") if options.bootstrap else run(name, options, scratch)
        except Exception as failure:  # one directory that cannot be served does not hide the other
            print(f"FAILED {name}: {type(failure).__name__}: {failure}", flush=True)
            counts = (0, 1)
        passed, failed = passed + counts[0], failed + counts[1]
    if failed:
        print(f"directories and logs are in {scratch}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
