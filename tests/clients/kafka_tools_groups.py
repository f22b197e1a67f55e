"""Kafka's tools that work with consumer groups; steps of `kafka_tools.py`, in an order that matters.

`numbers` is a topic that VerifiableProducer fills; the group `readers` is the one that is looked at, reset and deleted.
"""

import datetime
import json
import re
import time

from group_members import Member
from kafka_tool import expect

GROUP_COMMAND = "consumer.group.ConsumerGroupCommand"
TOPIC = "numbers"
PARTITIONS = 3
RECORDS = 600
GROUP = "readers"
PERFORMANCE_RECORDS = 50_000
JOIN_SECONDS_MAX = 60


def json_lines(printed):
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def verifiable_producer(tools):
    """Every record acknowledged, and its place told."""
    tools.run("TopicCommand", "--create", "--topic", TOPIC, "--partitions", PARTITIONS)
    printed = tools.run_alone("VerifiableProducer", "--topic", TOPIC, "--max-messages", RECORDS, "--throughput", "-1", "--repeating-keys", "50")
    said = json_lines(printed)
    sent = [one for one in said if one["name"] == "producer_send_success"]
    expect(sorted(int(one["value"]) for one in sent) == list(range(RECORDS)), f"{RECORDS} acknowledged records", printed)
    expect(len({(one["partition"], one["offset"]) for one in sent}) == RECORDS, "an offset of its own for each record", printed)
    closing = next((one for one in said if one["name"] == "tool_data"), {})
    expect(closing.get("sent") == closing.get("acked") == RECORDS, "as many acknowledged as sent", printed)


def verifiable_consumer(tools):
    """Reads in a group, commits, and tells both."""
    arguments = ("--topic", TOPIC, "--group-id", "verifiable", "--max-messages", RECORDS, "--reset-policy", "earliest")
    said = json_lines(tools.run_alone("VerifiableConsumer", *arguments, "--session-timeout", "10000"))
    read = sum(one["count"] for one in said if one["name"] == "records_consumed")
    expect(read == RECORDS, f"{RECORDS} records", str(said[-3:]))
    commits = [one for one in said if one["name"] == "offsets_committed"]
    expect(commits and all(one["success"] for one in commits), "successful commits", str(commits))
    last = {one["partition"]: one["offset"] for commit in commits for one in commit["offsets"]}
    expect(sum(last.values()) == RECORDS, "the ends to be committed", str(last))


def consumers_in_groups(tools):
    """ConsumerPerformance, and a ConsoleConsumer that joins a group."""
    arguments = ("--topic", "tools", "--num-records", PERFORMANCE_RECORDS, "--group", "performance", "--timeout", "30000")
    printed = tools.run("ConsumerPerformance", *arguments)
    expect(re.search(r"^\d{4}-\d\d-\d\d .*, [5-9]\d{4,}, ", printed, re.M), f"at least {PERFORMANCE_RECORDS} records", printed)
    arguments = ("--topic", "tools", "--group", "console", "--from-beginning", "--max-messages", "10")
    printed = tools.run("consumer.ConsoleConsumer", *arguments)
    expect("Processed a total of 10 messages" in printed, "ten records through a group", printed)


def described(tools, group=GROUP):
    """What --describe --offsets says: partition → (current offset, log end offset, lag, member); - where there is nothing."""
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", group, "--offsets")
    pattern = rf"^{group}\s+(\S+)\s+(\d+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s"
    return {int(partition): found for topic, partition, *found in re.findall(pattern, printed, re.M) if topic == TOPIC}


def current_offsets(tools):
    return {partition: int(current) for partition, (current, *_) in described(tools).items()}


def live_group(tools):
    """A group with two members: lists, descriptions, and what must not be done to it."""
    setup = {"bootstrap": tools.bootstrap, "topic": TOPIC, "group": GROUP, "protocol": "eager", "reset": "earliest", "instance": None}
    setup.update(session_ms=10_000, heartbeat_ms=500)
    members = [Member(f"reader-{number}", "confluent-kafka", setup, tools.scratch / "reader.log") for number in (1, 2)]
    try:
        give_up = time.monotonic() + JOIN_SECONDS_MAX
        while sorted(len(member.owned) for member in members) != [1, 2] or not is_read_to_the_end(tools):
            expect(time.monotonic() < give_up, "two members that share three partitions and read them", str([member.owned for member in members]))
            time.sleep(0.1)
        look_at_live_group(tools)
        refuse_changes_of_live_group(tools)
        for member in members:
            member.leave()
    finally:
        for member in members:
            if not member.is_gone:
                member.kill()
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", GROUP, "--state")
    expect(re.search(rf"^{GROUP}\s+.*\s+Empty\s+0", printed, re.M), "an empty group after both left", printed)
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", GROUP, "--members")
    expect(f"Consumer group '{GROUP}' has no active members." in printed, "no members", printed)


def is_read_to_the_end(tools):
    rows = described(tools)
    return len(rows) == PARTITIONS and all(lag == "0" for _, _, lag, _ in rows.values())


def look_at_live_group(tools):
    printed = tools.run(GROUP_COMMAND, "--list")
    expect({"performance", "console", "verifiable", GROUP} <= set(printed.split()), "all groups in the list", printed)
    printed = tools.run(GROUP_COMMAND, "--list", "--state")
    expect(re.search(rf"^{GROUP}\s+Stable", printed, re.M) and re.search(r"^console\s+Empty", printed, re.M), "the groups' states", printed)
    printed = tools.run(GROUP_COMMAND, "--list", "--state", "Empty")
    expect(GROUP not in printed.split() and "console" in printed.split(), "only the empty groups", printed)
    printed = tools.run(GROUP_COMMAND, "--list", "--type")
    expect(re.search(rf"^{GROUP}\s+Classic", printed, re.M), "the groups' types", printed)
    printed = tools.run(GROUP_COMMAND, "--list", "--type", "consumer")
    expect(GROUP not in printed.split(), "no classic group among the consumer groups", printed)
    rows = described(tools)
    expect(sum(int(end) for _, end, _, _ in rows.values()) == RECORDS, "the ends of the partitions", str(rows))
    expect(len({member for *_, member in rows.values()} - {"-"}) == 2, "the two owners", str(rows))
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", GROUP, "--state")
    expect(re.search(rf"^{GROUP}\s+127\.0\.0\.1:\d+\s+\(\d+\)\s+range\s+Stable\s+2", printed, re.M), "coordinator, assignor, state and size", printed)
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", GROUP, "--members", "--verbose")
    shares = re.findall(rf"^{GROUP}\s+\S+\s+/127\.0\.0\.1\s+\S+\s+(\d)\s.*{TOPIC}[:(]([\d,]+)", printed, re.M)
    expect(sorted(one for _, share in shares for one in share.split(",")) == ["0", "1", "2"], "each partition at one member", printed)
    printed = tools.run(GROUP_COMMAND, "--describe", "--all-groups", "--state")
    expect(printed.count("Stable") == 1 and printed.count("Empty") >= 3, "one group with members", printed)


def refuse_changes_of_live_group(tools):
    arguments = ("--reset-offsets", "--group", GROUP, "--topic", TOPIC, "--to-earliest", "--execute")
    printed = tools.run(GROUP_COMMAND, *arguments)
    expect("can only be reset if the group" in printed and "inactive" in printed, "no reset while the group has members", printed)
    printed = tools.run(GROUP_COMMAND, "--delete-offsets", "--group", GROUP, "--topic", TOPIC)
    expect("subscribed" in printed, "no deletion of offsets that are in use", printed)
    printed = tools.run(GROUP_COMMAND, "--delete", "--group", GROUP)
    expect("could not be deleted" in printed and "not empty" in printed, "no deletion of a group with members", printed)
    expect(is_read_to_the_end(tools), "the offsets as before", str(described(tools)))


def reset_offsets(tools):
    """Every way to say where to; a dry run first, which changes nothing."""
    ends = current_offsets(tools)
    halves = {partition: end // 2 for partition, end in ends.items()}
    zeros = dict.fromkeys(ends, 0)
    everything = ("--group", GROUP, "--topic", TOPIC)

    def reset(expected, *scenario, chosen=everything):
        printed = tools.run(GROUP_COMMAND, "--reset-offsets", *chosen, *scenario, "--execute")
        rows = re.findall(rf"^{GROUP}\s+{TOPIC}\s+(\d+)\s+(\d+)", printed, re.M)
        told = {int(partition): int(offset) for partition, offset in rows}
        expect(all(expected[partition] == offset for partition, offset in told.items()) and told, f"{scenario} to lead to {expected}", printed)
        came = current_offsets(tools)
        expect(came == expected, f"{expected} after {scenario}", str(came))

    printed = tools.run(GROUP_COMMAND, "--reset-offsets", *everything, "--to-earliest", "--dry-run")
    expect(len(re.findall(rf"^{GROUP}\s+{TOPIC}\s+\d\s+0\s", printed, re.M)) == PARTITIONS, "a plan to begin again", printed)
    expect(current_offsets(tools) == ends, "the offsets as before a dry run", str(current_offsets(tools)))
    reset(zeros, "--to-earliest")
    reset(ends, "--to-latest", chosen=("--group", GROUP, "--all-topics"))
    reset({**ends, 1: 5}, "--to-offset", 5, chosen=("--group", GROUP, "--topic", f"{TOPIC}:1"))
    reset(ends, "--to-latest")
    reset({0: ends[0] - 7, 1: ends[1], 2: ends[2] - 7}, "--shift-by", -7, chosen=("--group", GROUP, "--topic", f"{TOPIC}:0,2"))
    reset({partition: 10 for partition in ends}, "--to-offset", 10)
    reset({partition: 13 for partition in ends}, "--shift-by", 3)
    reset({partition: 11 for partition in ends}, "--shift-by", -2)
    reset({partition: 11 for partition in ends}, "--to-current")
    reset(ends, "--shift-by", 1_000_000)  # not beyond the end
    reset(zeros, "--by-duration", "PT1H")
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    reset(ends, "--to-datetime", tomorrow.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    reset(zeros, "--to-datetime", "2001-09-09T01:46:40.000Z")
    exported = tools.run(GROUP_COMMAND, "--reset-offsets", *everything, "--to-latest", "--dry-run", "--export")
    lines = re.findall(rf'^"?{TOPIC}"?,\d+,\d+$', exported, re.M)
    expect(len(lines) == PARTITIONS, "an exported line per partition", exported)
    file = tools.scratch / "offsets.csv"
    file.write_text("".join(f"{TOPIC},{partition},{offset}\n" for partition, offset in halves.items()))
    reset(halves, "--from-file", file, chosen=("--group", GROUP))
    printed = tools.run(GROUP_COMMAND, "--reset-offsets", "--all-groups", "--topic", TOPIC, "--to-latest", "--execute")
    expect(current_offsets(tools) == ends, "the ends in all groups", printed)
    # A group that does not exist comes to be.
    tools.run(GROUP_COMMAND, "--reset-offsets", "--group", "new-readers", "--topic", TOPIC, "--to-offset", 1, "--execute")
    rows = described(tools, "new-readers")
    expect([row[0] for row in rows.values()] == ["1"] * PARTITIONS, "a new group with offsets", str(rows))


def delete_offsets(tools):
    printed = tools.run(GROUP_COMMAND, "--delete-offsets", "--group", GROUP, "--topic", f"{TOPIC}:1")
    expect(re.search(rf"^{TOPIC}\s+1\s+Successful", printed, re.M), "one partition's offset to be deleted", printed)
    expect(sorted(current_offsets(tools)) == [0, 2], "the other two offsets", str(described(tools)))
    printed = tools.run(GROUP_COMMAND, "--delete-offsets", "--group", "nobody", "--topic", TOPIC)
    expect("does not exist" in printed, "no offsets of a group that does not exist", printed)


def delete_groups(tools):
    printed = tools.run(GROUP_COMMAND, "--delete", "--group", "new-readers", "--group", "nobody")
    expect("* Group 'nobody' could not be deleted" in printed and "'new-readers'" in printed, "one group deleted, the other not there", printed)
    printed = tools.run(GROUP_COMMAND, "--delete", "--group", "verifiable")
    expect("was successful" in printed, "the group to be deleted", printed)
    printed = tools.run(GROUP_COMMAND, "--list")
    left = set(printed.split())
    expect(not {"new-readers", "verifiable"} & left and GROUP in left, "the deleted groups to be gone", printed)
    printed = tools.run(GROUP_COMMAND, "--describe", "--group", "verifiable")
    expect("GroupIdNotFoundException" in printed, "the deleted group not to exist", printed)
    tools.notes["committed"] = current_offsets(tools)


CHECKS = (verifiable_producer, verifiable_consumer, consumers_in_groups, live_group, reset_offsets, delete_offsets, delete_groups)


def stored_commits(tools):
    """Kafka's dump tool decodes __consumer_offsets: the commits, what was deleted as tombstones, the group with its members."""
    files = sorted(str(path) for path in tools.data_dir.glob("__consumer_offsets-*/*.log") if path.stat().st_size)
    expect(files, "segments of __consumer_offsets", str(tools.data_dir))
    printed = tools.run_offline("DumpLogSegments", "--offsets-decoder", "--files", ",".join(files))
    last, groups = {}, []
    for key_text, value_text in re.findall(r" key: (\{.*?\}\}) payload: ?(.*)$", printed, re.M):
        key = json.loads(key_text)
        value = json.loads(value_text)["data"] if value_text.startswith("{") else None
        if key["type"] == "1":
            last[key["data"]["group"], key["data"]["topic"], key["data"]["partition"]] = value and value["offset"]
        elif key["type"] == "2" and key["data"]["group"] == GROUP and value:
            groups.append(value)
    stored = {partition: offset for (group, topic, partition), offset in last.items() if (group, topic) == (GROUP, TOPIC)}
    expect(stored == {**tools.notes["committed"], 1: None}, f"{tools.notes['committed']} and a tombstone for partition 1", str(stored))
    for group in ("verifiable", "new-readers"):
        left = [offset for (name, _, _), offset in last.items() if name == group]
        expect(left == [None] * PARTITIONS, f"tombstones for the offsets of {group}", str(left))
    pairs = [value for value in groups if len(value["members"]) == 2]
    expect(pairs, "a generation with two members", str(groups)[-800:])
    shares = [one for member in pairs[-1]["members"] for topic in member["assignment"]["assignedPartitions"] for one in topic["partitions"]]
    expect(sorted(shares) == list(range(PARTITIONS)), "their shares", str(pairs[-1]))


STORED_CHECKS = (stored_commits,)
