"""Has Kafka's own dump tool read every segment of a data directory, and judges what it says.

Usage: dump_log_segments.py DIRECTORY [--after-crash] [--compacted TOPIC …] [--topic PATTERN …] [--partition N …]

One JVM runs `DumpLogSegments --deep-iteration` and, per index, `--index-sanity-check`, segment by segment: an exception ends
the tool, and a segment's neighbours shall be read all the same. The tool exits with 0 whatever it finds, so every line it
prints has to be one that is known to be harmless; any other is shown and counts as a failure:

| line | harmless |
|---|---|
| a batch with `isvalid: true`, records, index entries, `is empty`, `passed sanity check` | always |
| `-1 is followed by N` | always: the tool says so of every segment that does not begin at offset 0 |
| `N is followed by M` (a hole), a time index whose timestamp is no longer in the log | in compacted topics |
| `N invalid bytes at the end`, the zeros of an index that was not trimmed or of a preallocated log (an exception, or an entry for the base offset itself) | `--after-crash`, last segment only |

The tool does not look at the magic byte, which is outside the CRC, nor at what follows the last entry of an index; that is
done by `stored_batches`.
"""

import argparse
import fnmatch
import pathlib
import re
import sys
import tempfile

import stored_batches
from drivers import Driver

TOOL = "org.apache.kafka.tools.DumpLogSegments"
DIRECTORY_NAME = re.compile(r"^(?P<topic>[a-zA-Z0-9._-]{1,249})-(?P<partition>\d+)$")
SEGMENT_NAME = re.compile(r"^\d{20}\.log$")
ALWAYS_COMPACTED = ("__consumer_offsets", "__transaction_state")
NOT_DATA = ("__cluster_metadata",)

HARMLESS = re.compile(
    r"^Dumping "
    r"|^Log starting offset: \d+$"
    r"|^baseOffset: .* isvalid: true$"
    r"|^\| offset: \d+ "
    r"|^offset: \d+ position: \d+$"
    r"|^timestamp: -?\d+ offset: \d+$"
    r"|^producerId: \d+ producerEpoch: "
    r"|^version: 0 producerId: \d+ firstOffset: "
    r"| is empty\.$"
    r"| passed sanity check\.$"
    r"|^$"
)
HOLES_TITLE = re.compile(r"^Non-consecutive offsets in ")
HOLE = re.compile(r"^  (-?\d+) is followed by (\d+)$")
TIME_MISMATCH_TITLE = re.compile(r"^Found timestamp mismatch in :")
TIME_MISMATCH = re.compile(r"^  Index timestamp: (-?\d+), log timestamp: (-?\d+)$")
ZERO_ENTRY_TITLE = re.compile(r"^Mismatches in :|^The following indexed offsets are not found in :")
ZERO_ENTRY = re.compile(r"^(?:  Index offset: (\d+), log offset: \d+|Indexed offset: (\d+), found log offset: -1)$")
TORN_TAIL = re.compile(r"^Found \d+ invalid bytes at the end of ")


class Segment:
    """One segment's files, and what is known of its topic."""

    def __init__(self, log_file, topic, is_last, is_compacted):
        self.log_file = log_file
        self.topic = topic
        self.is_last = is_last
        self.is_compacted = is_compacted

    def companions(self, *suffixes):
        files = [self.log_file.with_suffix(suffix) for suffix in suffixes]
        return [file for file in files if file.exists()]


def segments_of(data_dir, options):
    """Every segment that a broker would serve; files that are about to go (`.deleted`, `-delete`) are not looked at."""
    found = []
    for directory in sorted(pathlib.Path(data_dir).iterdir()):
        name = DIRECTORY_NAME.match(directory.name)
        if not directory.is_dir() or not name or name["topic"] in NOT_DATA:
            continue
        if options.topic and not any(fnmatch.fnmatch(name["topic"], pattern) for pattern in options.topic):
            continue
        if options.partition and int(name["partition"]) not in options.partition:
            continue
        compacted = name["topic"] in ALWAYS_COMPACTED or any(fnmatch.fnmatch(name["topic"], one) for one in options.compacted)
        logs = sorted(file for file in directory.iterdir() if SEGMENT_NAME.match(file.name))
        found += [Segment(log, name["topic"], log == logs[-1], compacted) for log in logs]
    return found


def judge(lines, segment, after_crash):
    """The lines that are not harmless. `lines` is what the tool printed about this segment."""
    forgiving = after_crash and segment.is_last
    offending = []
    lines = iter(lines)
    for line in lines:
        if HARMLESS.search(line):
            continue
        hole = HOLE.match(line)
        if hole and (hole[1] == "-1" or segment.is_compacted):
            continue
        if HOLES_TITLE.match(line):
            continue
        if segment.is_compacted and (TIME_MISMATCH_TITLE.match(line) or TIME_MISMATCH.match(line)):
            continue
        if forgiving and (TORN_TAIL.match(line) or ZERO_ENTRY_TITLE.match(line)):
            continue
        zero_entry = ZERO_ENTRY.match(line)
        if forgiving and zero_entry and int(zero_entry[1] or zero_entry[2]) == int(segment.log_file.stem):
            continue
        if line.startswith('Exception in thread "main"'):
            stack = [rest for rest in lines if not rest.startswith("\tat ")]
            if not forgiving:
                offending += [line, *stack[:5]]
            continue
        offending.append(line)
    return offending


def check(data_dir, java, options, scratch):
    """Dumps and judges every segment; returns (number of segments, offending lines)."""
    segments = segments_of(data_dir, options)
    offending = []
    for segment in segments:
        complaints = stored_batches.magic_complaints(segment.log_file)
        if not (options.after_crash and segment.is_last):
            complaints += stored_batches.index_complaints(segment.log_file)
        files = [segment.log_file] + segment.companions(".index", ".timeindex", ".txnindex", ".snapshot")
        if segment.is_last:
            # A clean stop leaves a producer snapshot named after the end offset.
            files += [file for file in segment.log_file.parent.glob("*.snapshot") if file.stem > segment.log_file.stem]
        indexes = segment.companions(".index", ".timeindex")
        # One file per call where an exception would hide the others.
        calls = [["--deep-iteration", "--files", file] for file in files]
        calls += [["--index-sanity-check", "--files", file] for file in indexes]
        for arguments in calls:
            output = scratch / "dump.txt"
            code = java.tool(TOOL, arguments, output)
            with open(output, errors="replace") as lines:
                judged = judge((line.rstrip("\n") for line in lines), segment, options.after_crash)
            if code not in (0, 1) or (code == 1 and not judged and not (options.after_crash and segment.is_last)):
                judged.append(f"exit code {code}")
            complaints += [f"{arguments[-1]}: {line}" for line in judged]
        offending += complaints
    return len(segments), offending


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--after-crash", action="store_true", help="the broker was killed: the last segment may be torn, its indexes untrimmed")
    parser.add_argument("--compacted", action="append", default=[], help="a compacted topic (a pattern): holes are right there")
    parser.add_argument("--topic", action="append", help="only these topics (patterns)")
    parser.add_argument("--partition", action="append", type=int, help="only these partitions")
    return parser.parse_args(arguments)


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="pagewire-dump-") as scratch:
        scratch = pathlib.Path(scratch)
        with Driver("java", scratch / "java.log") as java:
            count, offending = check(options.directory, java, options, scratch)
    for line in offending[:100]:
        print(line)
    if len(offending) > 100:
        print(f"… and {len(offending) - 100} more lines")
    if not count:
        print(f"no segment under {options.directory}")
    complaining = len({line.split(": ")[0].rsplit(".", 1)[0] for line in offending})
    print(f"{count - complaining} passed, {complaining if count else 1} failed")
    return 1 if offending or not count else 0


if __name__ == "__main__":
    sys.exit(main())
