"""Starts processes that are members of a group, each with one client library, and hears what they say.

A member is told everything by one JSON argument:

| name | meaning |
|---|---|
| `bootstrap`, `topic`, `group` | where and what to read |
| `protocol` | `eager` (range), `cooperative` (cooperative-sticky), or `consumer` (KIP-848) |
| `instance` | its `group.instance.id`, or null |
| `reset` | `auto.offset.reset`: `earliest` or `latest` |
| `session_ms`, `heartbeat_ms` | for the classic protocols |
| `keeps_metadata` | a client that would forget all topics when no broker answers (KIP-899) must not; heard by the Java client |

A line on its standard input, or the end of it, is the order to commit and leave. It prints a JSON line per event, with `at`,
microseconds since 1970, and writes each line whole before it goes on, so that a kill takes nothing back:

| event | fields |
|---|---|
| `assigned` | `partitions` that it now has besides those it had; `member`, `generation` where the client tells |
| `revoked`, `lost` | `partitions` that it gave up after committing, or that were taken |
| `seen` | `records`: lists of partition, offset and number; said before they are committed |
| `committed` | `offsets`: lists of partition and offset, said after the broker took them |
| `not_committed` | `error` |
| `left` | it has left; the process ends |
| `failed` | `error`: it gave up |

kcat is the one that is not ours: what it prints is translated, and it does not tell of its commits.
"""

import json
import os
import re
import subprocess
import threading
import time

import tools

LEAVE_SECONDS_MAX = 40
NEVER_LEFT = f"did not leave within {LEAVE_SECONDS_MAX} s"
KCAT_ASSIGNORS = {"eager": "range", "cooperative": "cooperative-sticky"}


class Event:
    """One report of one member; `killed` is said by us."""

    __slots__ = ("at", "member", "kind", "fields")

    def __init__(self, at, member, kind, fields):
        self.at = at
        self.member = member
        self.kind = kind
        self.fields = fields

    def __repr__(self):
        fields = {name: value for name, value in self.fields.items() if name not in ("at", "event", "records")}
        return f"{self.at / 1e6:.3f} {self.member} {self.kind} {fields}"


def now_us():
    return time.time_ns() // 1000


def command_of(client, setup):
    """The command that starts a member, and what it needs in its environment."""
    argument = json.dumps(setup)
    if client == "kcat":
        return kcat_command(setup), {}
    if client == "java":
        return tools.java_member_command() + ["pagewire.tests.Member", argument], {}
    if client == "kafkajs":
        modules = {"NODE_PATH": str(tools.FOLDER / "node" / "node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING": "1"}
        return ["node", str(tools.CLIENTS / "node" / "member.js"), argument], modules
    if client == "franz-go":
        return [str(tools.FOLDER / "go" / "member"), argument], {}
    return [tools.python(), str(tools.CLIENTS / "group_member.py"), client, argument], {}


def kcat_command(setup):
    # -E: it would end when it has no connection left.
    command = ["kcat", "-E", "-b", setup["bootstrap"], "-G", setup["group"], "-u", "-f", "%p %o %s\\n"]
    settings = {
        "partition.assignment.strategy": KCAT_ASSIGNORS[setup["protocol"]],
        "auto.offset.reset": setup["reset"],
        "auto.commit.interval.ms": 200,
        "session.timeout.ms": setup["session_ms"],
        "heartbeat.interval.ms": setup["heartbeat_ms"],
        "reconnect.backoff.max.ms": 500,
        "log_level": 2,
    }
    if setup["instance"]:
        settings["group.instance.id"] = setup["instance"]
    for name, value in settings.items():
        command += ["-X", f"{name}={value}"]
    return command + [setup["topic"]]


class Member:
    """One process. `owned` and `events` grow while it speaks; read them, do not change them."""

    def __init__(self, name, client, setup, log_path):
        self.name = name
        self.client = client
        self.events = []
        self.owned = set()
        self.has_joined = False
        self.is_gone = False
        command, environment = command_of(client, setup)
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if client == "kcat" else log,
                env={**os.environ, **environment},
            )
        self.listener = threading.Thread(target=self._listen_to_kcat if client == "kcat" else self._listen, daemon=True)
        self.listener.start()

    def leave(self):
        """Has it leave, and waits for its end."""
        if self.client == "kcat":
            self.process.terminate()
        else:
            self._hang_up()
        try:
            code = self.process.wait(LEAVE_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            self._note("failed", {"error": NEVER_LEFT})
            return
        self.listener.join()
        if code != 0:
            self._note("failed", {"error": f"exit code {code}"})
        elif self.client == "kcat":
            self._note("left", {})

    def kill(self):
        """kill -9. What it said before that is heard to the end."""
        self.process.kill()
        self.process.wait()
        self.listener.join()
        self._hang_up()
        self._note("killed", {})

    def _hang_up(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def _listen(self):
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            try:
                fields = json.loads(line)
                event = Event(fields["at"], self.name, fields["event"], fields)
            except (ValueError, LookupError, TypeError):
                self.process.kill()
                self._note("failed", {"error": f"said what is no report: {line!r}"})
                break
            self._take(event)

    def _listen_to_kcat(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace")
            if record := re.fullmatch(r"(\d+) (\d+) (\d+)\n", text):
                self._note("seen", {"records": [[int(part) for part in record.groups()]]})
            elif rebalance := re.search(r"rebalanced \(memberid (.*?)\): (assigned|revoked): (.*)\n", text):
                partitions = [int(partition) for partition in re.findall(r"\[(\d+)\]", rebalance[3])]
                self._note(rebalance[2], {"partitions": partitions, "member": rebalance[1]})

    def _note(self, kind, fields):
        self._take(Event(now_us(), self.name, kind, fields))

    def _take(self, event):
        if event.kind == "assigned":
            # kafkajs says nothing of what it gave up: each assignment is the whole one.
            kept = set() if self.client == "kafkajs" else self.owned
            self.owned = kept | set(event.fields["partitions"])
            self.has_joined = True
        elif event.kind in ("revoked", "lost"):
            self.owned = self.owned - set(event.fields["partitions"])
        elif event.kind in ("left", "killed", "failed"):
            self.owned = set()
            self.is_gone = True
        self.events.append(event)
