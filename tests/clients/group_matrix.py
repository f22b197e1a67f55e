"""Groups of real clients under load: members join, leave, crash and come back, brokers restart; nothing may be lost.

Usage: group_matrix.py [--broker pagewire|kafka] [--clients java,kcat,…] [--scenarios storm,static,…] [--seed N] [--members N]
                       [--at-once N] [--keep] [--list]

Each row of CASES is one client in one protocol in one scenario, with a broker of its own. What the members say is judged by
`group_history.py`. The seed chooses who does what when; it is printed, and `--seed` repeats a run as far as the clients do.
The last line is `N passed, N failed`, one count per row.
"""

import argparse
import concurrent.futures
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

import broker
from group_members import NEVER_LEFT
from group_run import SESSION_MS, GroupRun

ACTIONS = 6


def grow(run, chance, members_max, pause_seconds_max):
    """One member first, then the others before the group is at rest."""
    run.join()
    run.wait_until_balanced()
    for _ in range(members_max - 1):
        run.join()
        run.pause(chance.uniform(0, pause_seconds_max))
    run.wait_until_balanced()


def storm(run, chance, members_max):
    """All at once, then a random order of joins, leaves and crashes, and both kinds of restart among them."""
    grow(run, chance, members_max, 0.5)
    turmoil(run, chance, members_max)


def turmoil(run, chance, members_max):
    actions = [chance.choice(("join", "leave", "crash", "crash and join")) for _ in range(ACTIONS)]
    actions += ["crash and join", "stop the broker", "kill the broker"]
    chance.shuffle(actions)
    for action in actions:
        run.do(action, chance, members_max)
        run.pause(chance.uniform(0.1, 1.0))
    run.finish()


def gentle(run, chance, members_max):
    """No crash: each record comes exactly once."""
    grow(run, chance, members_max, 0.8)
    for _ in range(ACTIONS):
        run.do(chance.choice(("join", "leave")), chance, members_max)
        run.pause(chance.uniform(0.2, 1.0))
    run.finish()
    again = run.judgement().read_again
    if again and not run.judgement().not_committed:
        run.complain(f"{again} records came twice, though every member committed before it gave up its partitions")


def cooperative(run, chance, members_max):
    """A member that joins takes partitions from the others without stopping them: nobody gives up all it has."""
    run.join()
    run.wait_until_balanced()
    for _ in range(members_max - 1):
        before = {member: (set(member.owned), len(run.rebalances_of(member))) for member in run.alive()}
        run.join()
        run.wait_until_balanced()
        for member, (owned, count) in before.items():
            given_up = {one for event in run.rebalances_of(member)[count:] if event.kind != "assigned" for one in event.fields["partitions"]}
            if owned <= given_up:
                run.complain(f"{member.name} gave up all of {sorted(owned)} when another member joined")
    turmoil(run, chance, members_max)


def static(run, chance, members_max):
    """KIP-345: who comes back in time gets what it had, and nobody else notices; who does not is missed."""
    # A JVM on a busy machine may need a while to come back; the last one is not waited for.
    sessions = {"instance-1": 30_000, "instance-2": 30_000, "instance-3": SESSION_MS}
    for name, session_ms in sessions.items():
        run.join(name, session_ms)
    run.wait_until_at_rest()
    # With the consumer protocol a crashed instance's place is taken until its session ends (UNRELEASED_INSTANCE_ID).
    for how in ("leave", "leave") if run.protocol == "consumer" else ("crash", "leave"):
        name = chance.choice(("instance-1", "instance-2"))
        member = run.member_of(name)
        owned = set(member.owned)
        others = {other: len(run.rebalances_of(other)) for other in run.alive() if other is not member}
        (run.crash if how == "crash" else run.leave)(member)
        back = run.join(name, sessions[name])
        run.wait_until_balanced()
        if back.owned != owned:
            run.complain(f"{name} came back after a {how} and has {sorted(back.owned)}, before {sorted(owned)}")
        for other, count in others.items():
            news = run.rebalances_of(other)[count:]
            if news:
                run.complain(f"{other.name} noticed that {name} came back after a {how}: {news}")
    run.crash(run.member_of("instance-3"))
    run.wait_until_balanced()
    run.finish(leaves_nobody=False)


def unnoticed(run, chance, members_max):
    """The members of a group at rest survive a restart of the broker, clean or not: nobody has to join again."""
    # Java's leader, when it forgets the topics, may find the coordinator before it knows them again, and joins because they changed.
    run.keeps_metadata = True
    for _ in range(members_max):
        run.join(session_ms=30_000)
    for cleanly in chance.sample((True, False), 2):
        run.wait_until_at_rest()
        counts = {member: len(run.rebalances_of(member)) for member in run.alive()}
        read = run.judgement().number_read()
        run.restart_broker(cleanly)
        run.wait_until(lambda: run.judgement().number_read() > read + 200, "the members to read on")
        for member, count in counts.items():
            if news := run.rebalances_of(member)[count:]:
                run.complain(f"{member.name} noticed a restart of the broker: {news}")
    run.finish()


def upgrade(run, chance, members_max):
    """A classic group whose members come back one by one with the consumer protocol (KIP-848), and then with the classic one again."""
    for _ in range(members_max):
        run.join(protocol="eager")
    run.wait_until_balanced()
    for protocol in ("consumer", "eager"):
        for member in chance.sample(run.alive(), members_max):
            run.leave(member)
            run.join(protocol=protocol)
            run.wait_until_balanced()
            run.pause(chance.uniform(0.2, 0.6))
    run.finish()


def latest(run, chance, members_max):
    """auto.offset.reset=latest: what was there before is not read, what comes is."""
    run.wait_until(lambda: all(run.ends().values()), "records in every partition before the group begins")
    begins = run.ends()
    run.reset = "latest"
    for _ in range(min(2, members_max)):
        run.join()
    run.wait_until_balanced()
    run.wait_until_all_partitions_are_read()
    first = run.first_read()
    for partition, begin in begins.items():
        if first[partition] < begin:
            run.complain(f"partition {partition} ended at {begin} when the group began, and {first[partition]} was read")
    run.finish(begins=first)


SCENARIOS = {"storm": storm, "gentle": gentle, "cooperative": cooperative, "static": static, "unnoticed": unnoticed, "upgrade": upgrade, "latest": latest}

# client, protocol, scenario, members in scripts/test
CASES = (
    ("kcat", "eager", "storm", 4),
    ("confluent-kafka", "eager", "storm", 4),
    ("kafka-python", "eager", "storm", 3),
    ("aiokafka", "eager", "storm", 3),
    ("kafkajs", "eager", "storm", 3),
    ("java", "eager", "storm", 3),
    ("franz-go", "eager", "storm", 8),
    ("confluent-kafka", "cooperative", "cooperative", 4),
    ("java", "cooperative", "cooperative", 3),
    ("franz-go", "cooperative", "cooperative", 6),
    ("confluent-kafka", "eager", "gentle", 4),
    ("franz-go", "eager", "gentle", 6),
    ("confluent-kafka", "eager", "static", 3),
    ("java", "eager", "static", 3),
    ("aiokafka", "eager", "static", 3),
    ("franz-go", "cooperative", "static", 3),
    ("confluent-kafka", "eager", "unnoticed", 3),
    ("java", "eager", "unnoticed", 2),
    ("kafka-python", "eager", "unnoticed", 3),
    ("kcat", "eager", "latest", 2),
    ("kafkajs", "eager", "latest", 2),
    ("franz-go", "eager", "latest", 2),
    ("java", "consumer", "cooperative", 3),
    ("confluent-kafka", "consumer", "cooperative", 4),
    ("confluent-kafka", "consumer", "gentle", 4),
    ("java", "consumer", "static", 3),
    ("confluent-kafka", "consumer", "static", 3),
    ("confluent-kafka", "consumer", "unnoticed", 3),
    ("confluent-kafka", "consumer", "upgrade", 3),
    ("java", "consumer", "upgrade", 3),
)
CONSUMER_GROUP_HEARTBEAT = 68

starting = threading.Lock()


def run_case(case, options, scratch, seed):
    """Runs one row; returns its complaints."""
    client, protocol, scenario, members_max = case
    name = f"{client} {protocol} {scenario}"
    folder = scratch / name.replace(" ", "-")
    folder.mkdir()
    started = time.monotonic()
    run = None
    try:
        with starting:  # ports are looked for, and then taken
            run = GroupRun(options.broker, folder, client, protocol)
        chance = random.Random(f"{seed} {name}")
        SCENARIOS[scenario](run, chance, options.members or members_max)
        complaints = run.complaints()
    except Exception as failure:  # whatever it is, it is this row's result
        complaints = ([] if run is None else run.complaints()) + [f"{type(failure).__name__}: {failure}"]
        traceback.print_exc(file=open(folder / "failure.log", "w"))
    finally:
        if run is not None:
            run.end()
            run.write_history(folder / "history.log")
    verdict = "FAILED" if complaints else "ok"
    told = "" if run is None else run.summary()
    print(f"  {name}: {verdict}, {time.monotonic() - started:.1f} s, {told}", flush=True)
    for complaint in complaints[:8]:
        print(f"FAILED [{name}] {complaint}", flush=True)
    return complaints


def run_case_again_if_stuck(case, options, scratch, seed):
    """Runs one row, and once more if all that went wrong is that a member never came back from its own close.

    librdkafka's was seen to do that, when its member was unknown to a broker that had started anew in the moment of the close: it asked nothing any
    more. A broker that keeps members from leaving makes them stick each time.
    """
    complaints = run_case(case, options, scratch, seed)
    if complaints and all(NEVER_LEFT in complaint for complaint in complaints):
        print(f"  {' '.join(case[:3])}: once more", flush=True)
        again = scratch / "again"
        again.mkdir(exist_ok=True)
        complaints = run_case(case, options, again, f"{seed} again")
    return complaints


def serves_consumer_protocol(broker_kind):
    if broker_kind == "kafka":
        return True
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-groups-"))
    try:
        asked = broker.start(broker_kind, folder / "data")
        versions = broker.served_versions(asked.ports[0])
        asked.stop()
        return CONSUMER_GROUP_HEARTBEAT in versions
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire", help="kafka: proves the test; its broker is not restarted")
    parser.add_argument("--clients", help="only these; default all")
    parser.add_argument("--protocols", help="only these; default all")
    parser.add_argument("--scenarios", help=f"only these of {', '.join(SCENARIOS)}; default all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--members", type=int, help="at most so many at once, instead of the number in the row")
    parser.add_argument("--at-once", type=int, default=2, help="rows that run at the same time")
    parser.add_argument("--keep", action="store_true", help="leave data, logs and histories where they are, and say where")
    parser.add_argument("--list", action="store_true", help="print the rows")
    options = parser.parse_args()
    cases = [
        case
        for case in CASES
        if all(not chosen or value in chosen.split(",") for value, chosen in zip(case, (options.clients, options.protocols, options.scenarios)))
    ]
    if options.list:
        print("\n".join(" ".join(map(str, case)) for case in cases))
        return 0
    left_out = {} if serves_consumer_protocol(options.broker) else {"consumer": "the broker does not serve ConsumerGroupHeartbeat"}
    for case in cases:
        if reason := left_out.get(case[1]):
            print(f"  {' '.join(case[:3])}: left out, {reason}")
    cases = [case for case in cases if case[1] not in left_out]
    print(f"seed {options.seed}", flush=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-groups-"))
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as threads:
        failed = sum(bool(complaints) for complaints in threads.map(lambda case: run_case_again_if_stuck(case, options, scratch, options.seed), cases))
    if failed or options.keep:
        print(f"histories, logs and data are in {scratch}; the seed was {options.seed}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
