"""One group at work: a broker, a producer in the background, and members that a scenario lets join, leave and crash."""

import json
import subprocess
import time

import broker
import group_members
from group_history import Judgement
from group_load import Cluster, Load
from group_members import Member

TOPIC = "numbers"
GROUP = "readers"
PARTITIONS = 8
RECORDS_PER_SECOND = 800
SESSION_MS = 4_000
HEARTBEAT_MS = 300
REST_SECONDS = 1.0
PATIENCE_SECONDS = 60
BROKER_CORES = "0,1"
BROKER_SETTINGS = {
    "group.initial.rebalance.delay.ms": "200",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
}
# With the consumer protocol (KIP-848) the broker sets the times, not the client.
CONSUMER_PROTOCOL_SETTINGS = {
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.heartbeat.interval.ms": "300",
}


class NotReached(Exception):
    """Something that had to happen did not, in a generous time."""


class GroupRun:
    def __init__(self, broker_kind, folder, client, protocol):
        self.folder = folder
        self.client = client
        self.protocol = protocol
        self.broker_kind = broker_kind
        self.reset = "earliest"
        self.keeps_metadata = False
        self.members = []
        self.found = []
        self.restarts = 0
        self.broker = self._start_broker()
        try:
            self.cluster = Cluster(self.broker.bootstrap)
            self.cluster.create_topic(TOPIC, PARTITIONS)
            if broker_kind == "kafka":
                time.sleep(2)  # its Metadata names leaders before they take records
            self.load = Load(self.broker.bootstrap, TOPIC, PARTITIONS, RECORDS_PER_SECOND)
        except BaseException:
            self.broker.kill()
            raise

    def _start_broker(self, port=None):
        settings = {**BROKER_SETTINGS, **(CONSUMER_PROTOCOL_SETTINGS if self.protocol == "consumer" else {})}
        return broker.start(self.broker_kind, self.folder / "data", BROKER_CORES, "per-core", settings, port)

    # What a scenario does.

    def setup(self, instance=None, session_ms=SESSION_MS, protocol=None):
        return {
            "bootstrap": self.broker.bootstrap,
            "topic": TOPIC,
            "group": GROUP,
            "protocol": protocol or self.protocol,
            "instance": instance,
            "reset": self.reset,
            "session_ms": session_ms,
            "heartbeat_ms": HEARTBEAT_MS,
            "keeps_metadata": self.keeps_metadata,
        }

    def join(self, instance=None, session_ms=SESSION_MS, protocol=None):
        number = len(self.members) + 1
        member = Member(f"m{number}" + (f"({instance})" if instance else ""), self.client, self.setup(instance, session_ms, protocol), self.folder / f"m{number}.log")
        member.instance = instance
        self.members.append(member)
        return member

    def leave(self, member):
        member.leave()

    def crash(self, member):
        member.kill()

    def restart_broker(self, cleanly):
        """The same data directory on the same port. What was committed before has to be there after."""
        if self.broker_kind == "kafka":
            return
        acknowledged = self.judgement().committed
        if cleanly:
            self.broker.stop()
        else:
            self.broker.kill()
        self.restarts += 1
        self.broker = self._start_broker(self.broker.ports[0])
        survived = self.cluster.committed(GROUP)
        for partition, offset in acknowledged.items():
            if survived.get(partition, -1) < offset:
                self.complain(f"partition {partition}: {offset} was committed, after a restart of the broker it is {survived.get(partition)}")

    def do(self, action, chance, members_max):
        """One of the words of `storm`; what is not possible with the members there are is left out."""
        alive = self.alive()
        if action == "join":
            if len(alive) < members_max:
                self.join()
        elif action == "leave":
            if len(alive) > 1:
                self.leave(chance.choice(alive))
        elif action == "crash":
            if len(alive) > 1:
                self.crash(chance.choice(alive))
        elif action == "crash and join":
            self.crash(chance.choice(alive))
            self.join()
        elif action == "stop the broker":
            self.restart_broker(cleanly=True)
        elif action == "kill the broker":
            self.restart_broker(cleanly=False)
        else:
            raise ValueError(f"no action is called {action!r}")

    def pause(self, seconds):
        time.sleep(seconds)

    def complain(self, complaint):
        self.found.append(complaint)

    # What a scenario asks.

    def alive(self):
        return [member for member in self.members if not member.is_gone]

    def member_of(self, instance):
        return next(member for member in self.alive() if member.instance == instance)

    def rebalances_of(self, member):
        return [event for event in list(member.events) if event.kind in ("assigned", "revoked", "lost")]

    def ends(self):
        return self.cluster.ends(TOPIC, PARTITIONS)

    def events(self):
        return [event for member in self.members for event in list(member.events)]

    def judgement(self):
        """Of all that was said so far."""
        judgement = Judgement(
            self.load.written,
            whole_assignments=self.client == "kafkajs",
            is_ordered=self.client != "kcat",
            drops_one=self.client == "kcat",
            keeps_positions=self.client == "kafka-python",
            repeats_one=self.client == "confluent-kafka" and self.protocol != "eager",
        )
        judgement.take_all(self.events())
        return judgement

    def first_read(self):
        first = {}
        for event in self.events():
            if event.kind == "seen":
                for partition, offset, _ in event.fields["records"]:
                    first[partition] = min(offset, first.get(partition, offset))
        return first

    # What a scenario waits for.

    def wait_until(self, condition, what):
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            for member in self.alive():
                if member.process.poll() is not None:
                    raise NotReached(f"{member.name} ended by itself with {member.process.returncode}; waited for {what}")
            if time.monotonic() > give_up:
                owned = {member.name: sorted(member.owned) for member in self.alive()}
                raise NotReached(f"{what} within {PATIENCE_SECONDS} s; the members have {owned}")
            time.sleep(0.05)

    def wait_until_balanced(self):
        """Every member has joined and has a share, and every partition has one owner."""

        def is_balanced():
            shares = [member.owned for member in self.alive()]
            owned = sorted(partition for share in shares for partition in share)
            return all(shares) and owned == list(range(PARTITIONS))

        self.wait_until(is_balanced, "every partition to have one owner and every member a partition")

    def wait_until_at_rest(self):
        """Balanced, and nobody has had news for a while. A client may join once more when everybody seems to be there."""

        def count():
            return sum(event.kind in ("assigned", "revoked", "lost") for event in self.events())

        give_up = time.monotonic() + PATIENCE_SECONDS
        before = None
        while before != count():
            self.wait_until_balanced()
            if time.monotonic() > give_up:
                raise NotReached(f"no rebalance for {REST_SECONDS} s within {PATIENCE_SECONDS} s")
            before = count()
            time.sleep(REST_SECONDS)

    def wait_until_all_partitions_are_read(self):
        self.wait_until(lambda: len(self.first_read()) == PARTITIONS, "a record of every partition")

    def finish(self, begins=None, leaves_nobody=True):
        """The members read to the end, commit and leave; then the last rules are judged."""
        self.wait_until_balanced()
        self.load.stop()
        ends = self.ends()
        self.wait_until(lambda: not self.judgement().unread(ends, begins), "everything to be read")
        self.wait_until(lambda: self.cluster.committed(GROUP) == ends, "everything to be committed")
        for member in self.alive():
            self.leave(member)
        self.found += self.judgement().close(ends, self.cluster.committed(GROUP), begins)
        if self.client == "franz-go":
            self.compare_with_kadm(ends, leaves_nobody)
        elif leaves_nobody:
            state = self.cluster.describe(GROUP)
            if state != ("EMPTY", []):
                self.complain(f"all members left, and the group is {state}")

    def compare_with_kadm(self, ends, leaves_nobody):
        """franz-go's admin client sees the group as it is, and deletes it when it is empty."""
        command = [*group_members.command_of("franz-go", self.setup())[0], "describe"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS)
        if done.returncode != 0:
            self.complain(f"kadm: {done.stderr.decode(errors='replace')}")
            return
        came = json.loads(done.stdout)
        expected = {"listed": True, "committed": {str(partition): end for partition, end in ends.items()}, "lag": 0}
        if leaves_nobody:
            expected.update(state="Empty", members=0)
        if not expected.items() <= came.items():
            self.complain(f"kadm says {came}, expected {expected}")

    # The end.

    def complaints(self):
        judged = self.judgement().complaints
        return self.found + [complaint for complaint in judged if complaint not in self.found]

    def summary(self):
        judgement = self.judgement()
        kinds = [event.kind for event in self.events()]
        said = f"{len(self.members)} members, {kinds.count('killed')} killed, {self.restarts} restarts of the broker, "
        said += f"{kinds.count('assigned')} assignments, {len(self.load.written)} records, {judgement.read_again} read again"
        if judgement.times_lost or judgement.not_committed:
            said += f", {judgement.times_lost} times lost, {judgement.not_committed} commits refused"
        return said

    def end(self):
        for member in self.alive():
            member.kill()
        try:
            self.load.stop()
        except RuntimeError as failure:
            self.complain(str(failure))
        self.broker.kill()

    def write_history(self, path):
        lines = []
        for event in sorted(self.events(), key=lambda event: event.at):
            text = repr(event)
            if event.kind == "seen":
                text += " " + " ".join(f"{partition}:{offset}" for partition, offset, _ in event.fields["records"])
            lines.append(text + "\n")
        path.write_text("".join(lines))
