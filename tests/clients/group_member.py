"""The process that is one member of a group, for the Python clients.

Usage: group_member.py CLIENT SETUP; SETUP and the reports it prints are told in `group_members.py`. A client is a module with
`run(setup, reports, stop)`, which joins, reads and commits until the event `stop` is set, and then leaves.
"""

import importlib
import json
import os
import sys
import threading
import time
import traceback

MODULES = {
    "confluent-kafka": "member_confluent",
    "kafka-python": "member_kafka_python",
    "aiokafka": "member_aiokafka",
}
REPORTED_AT_ONCE = 500
COMMIT_SECONDS = 0.15


class Reports:
    """What the member says, each line written whole before the next step: a kill takes nothing back that was said."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.lock = threading.Lock()

    def tell(self, event, **fields):
        line = json.dumps({"event": event, "at": time.time_ns() // 1000, **fields}).encode() + b"\n"
        with self.lock:
            while line:
                line = line[os.write(self.descriptor, line) :]


class Reading:
    """What one member has read and not committed yet. Records are reported before they are committed, never after."""

    def __init__(self, reports):
        self.reports = reports
        self.positions = {}
        self.unreported = []
        self.committed_at = time.monotonic()

    def take(self, partition, offset, value):
        self.unreported.append((partition, offset, int(value)))
        self.positions[partition] = offset + 1
        if len(self.unreported) >= REPORTED_AT_ONCE:
            self.report()

    def report(self):
        if self.unreported:
            self.reports.tell("seen", records=self.unreported)
            self.unreported = []

    def is_commit_due(self):
        return bool(self.positions) and time.monotonic() - self.committed_at >= COMMIT_SECONDS

    def due(self):
        """What is to be committed now; the next of `committed` and `not_committed` says how it went."""
        self.report()
        self.committed_at = time.monotonic()
        return dict(self.positions)

    def committed(self, offsets):
        self.reports.tell("committed", offsets=sorted(offsets.items()))
        for partition, offset in offsets.items():
            if self.positions.get(partition) == offset:
                del self.positions[partition]

    def not_committed(self, error):
        self.reports.tell("not_committed", error=f"{type(error).__name__}: {error}")

    def forget(self, partitions):
        """They are another member's now."""
        for partition in partitions:
            self.positions.pop(partition, None)


def main():
    reports = Reports(os.dup(sys.stdout.fileno()))
    sys.stdout = sys.stderr
    stop = threading.Event()

    def wait_for_the_end():
        sys.stdin.readline()  # a line, or the end of whoever started us
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        importlib.import_module(MODULES[sys.argv[1]]).run(json.loads(sys.argv[2]), reports, stop)
    except Exception as failure:  # whatever a client throws is the test's result
        traceback.print_exc()
        reports.tell("failed", error=f"{type(failure).__name__}: {failure}")
        return 1
    reports.tell("left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
