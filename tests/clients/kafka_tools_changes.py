"""The steps of `kafka_tools.py` that change what is there: settings with ConfigCommand, partitions with TopicCommand --alter, and moves
between the cores with ReassignPartitionsCommand."""

import json
import re

from kafka_tool import expect

CONFIGS = "kafka.admin.ConfigCommand"
REASSIGN = "reassign.ReassignPartitionsCommand"
PARTITIONS = 4


def alter_topic_configs(tools):
    """ConfigCommand on a topic: add, describe with synonyms, refuse, delete."""
    tools.run("TopicCommand", "--create", "--topic", "changes", "--partitions", PARTITIONS - 2, "--replication-factor", "1")
    topic = ("--entity-type", "topics", "--entity-name", "changes")
    printed = tools.run(CONFIGS, "--alter", *topic, "--add-config", "retention.ms=60000,cleanup.policy=[compact,delete]")
    expect("Completed updating config for topic changes." in printed, "the settings to be taken", printed)
    printed = tools.run(CONFIGS, "--describe", *topic)
    expect(re.search(r"retention\.ms=60000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.ms=60000", printed), "the setting and its source", printed)
    expect("cleanup.policy=compact,delete" in printed, "the list", printed)
    printed = tools.run(CONFIGS, "--alter", *topic, "--add-config", "retention.ms=soon", expect_code=1)
    expect("InvalidConfigurationException" in printed and "whole number" in printed, "a value that is none to be refused", printed)
    tools.run(CONFIGS, "--alter", *topic, "--delete-config", "retention.ms,cleanup.policy")
    printed = tools.run(CONFIGS, "--describe", *topic)
    expect("retention.ms" not in printed and "cleanup.policy" not in printed, "nothing of its own to be left", printed)


def alter_broker_configs(tools):
    """ConfigCommand on all brokers and on one: precedence, what is read only, and what is no setting of a broker."""
    every, one = ("--entity-type", "brokers", "--entity-default"), ("--entity-type", "brokers", "--entity-name", "1001")
    printed = tools.run(CONFIGS, "--alter", *every, "--add-config", "log.retention.ms=70000")
    expect("Completed updating default config for brokers in the cluster." in printed, "the default to be taken", printed)
    tools.run(CONFIGS, "--alter", *one, "--add-config", "log.retention.ms=80000")
    printed = tools.run(CONFIGS, "--describe", *every)
    expect("log.retention.ms=70000" in printed, "the default", printed)
    printed = tools.run(CONFIGS, "--describe", *one)
    expect("DYNAMIC_BROKER_CONFIG:log.retention.ms=80000, DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=70000" in printed, "both sources", printed)
    printed = tools.run(CONFIGS, "--describe", "--all", "--entity-type", "topics", "--entity-name", "changes")
    expect(re.search(r"retention\.ms=(70000|80000) sensitive=false synonyms=\{DYNAMIC_", printed), "topics to follow", printed)
    printed = tools.run(CONFIGS, "--alter", *one, "--add-config", "num.partitions=3", expect_code=1)
    expect("InvalidRequestException" in printed and "--set num.partitions=3" in printed, "a read-only setting to be refused", printed)
    tools.run(CONFIGS, "--alter", *every, "--delete-config", "log.retention.ms")
    tools.run(CONFIGS, "--alter", *one, "--delete-config", "log.retention.ms")
    printed = tools.run(CONFIGS, "--describe", *every)
    expect("log.retention.ms" not in printed, "no default to be left", printed)


def describe_users(tools):
    """ConfigCommand on users: it asks for their quotas and then for SCRAM credentials, of everybody and of one."""
    everybody, one = ("--entity-type", "users"), ("--entity-type", "users", "--entity-name", "ANONYMOUS")
    tools.run(CONFIGS, "--alter", *one, "--add-config", "producer_byte_rate=1000000")
    for users in (everybody, one):
        printed = tools.run(CONFIGS, "--describe", *users)
        expect("Quota configs for user-principal 'ANONYMOUS' are producer_byte_rate=1000000" in printed, "the user's quota", printed)
        expect("Exception" not in printed and "SCRAM credential configs" not in printed, "no credentials and no failure", printed)
    tools.run(CONFIGS, "--alter", *one, "--delete-config", "producer_byte_rate")
    printed = tools.run(CONFIGS, "--describe", *everybody)
    expect("Quota configs" not in printed and "Exception" not in printed, "nothing to be left", printed)
    printed = tools.run(CONFIGS, "--alter", *one, "--add-config", "SCRAM-SHA-256=[password=secret]", expect_code=1)
    expect("UnsupportedVersionException" in printed, "credentials to be refused", printed)


def add_partitions(tools):
    """TopicCommand --alter, which may only add."""
    tools.run("TopicCommand", "--alter", "--topic", "changes", "--partitions", PARTITIONS)
    printed = tools.run("TopicCommand", "--describe", "--topic", "changes")
    expect(f"PartitionCount: {PARTITIONS}" in printed, f"{PARTITIONS} partitions", printed)
    printed = tools.run("TopicCommand", "--alter", "--topic", "changes", "--partitions", "2", expect_code=1)
    expect("partitions can only be added" in printed, "fewer to be refused", printed)
    lines = "".join(f"{number}\n" for number in range(1000))
    tools.run("ConsoleProducer", "--topic", "changes", standard_input=lines)


def leaders(tools):
    printed = tools.run("TopicCommand", "--describe", "--topic", "changes")
    found = re.findall(r"Topic: changes\s+Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)", printed)
    expect(len(found) == PARTITIONS and all(line[1] == line[2] == line[3] for line in found), "one broker per partition", printed)
    return {int(line[0]): int(line[1]) for line in found}


def move_partitions(tools):
    """ReassignPartitionsCommand: every partition to the other broker of the node, verified; then what cannot be."""

    def plan(replicas_of):
        file = tools.scratch / "reassignment.json"
        partitions = [{"topic": "changes", "partition": one, "replicas": replicas, "log_dirs": ["any"] * len(replicas)} for one, replicas in replicas_of.items()]
        file.write_text(json.dumps({"version": 1, "partitions": partitions}))
        return ("--reassignment-json-file", file)

    brokers = sorted(set(leaders(tools).values()))
    expect(len(brokers) == 2, "partitions on both cores", str(brokers))
    for _ in range(2):
        wanted = {one: brokers[1 - brokers.index(broker)] for one, broker in leaders(tools).items()}
        file = plan({one: [broker] for one, broker in wanted.items()})
        printed = tools.run(REASSIGN, *file, "--execute")
        expect("Successfully started partition reassignments for changes-0" in printed, "the moves to start", printed)
        printed = tools.run(REASSIGN, *file, "--verify")
        expect(printed.count(" is completed.") == PARTITIONS, "every move to be done", printed)
        expect(leaders(tools) == wanted, f"leaders {wanted}", str(leaders(tools)))
    printed = tools.run(REASSIGN, "--list")
    expect("No partition reassignments found." in printed, "no move under way", printed)
    printed = tools.run(REASSIGN, *plan({0: brokers}), "--execute", expect_code=1)
    expect("replicas never share one" in printed, "two replicas on one host to be refused", printed)
    seen = []
    for partition in range(PARTITIONS):
        seen += re.findall(r"^\d+$", tools.consume("changes", partition), re.M)
    expect(sorted(map(int, seen)) == list(range(1000)), "each record once", f"{len(seen)} records")
    tools.run("TopicCommand", "--delete", "--topic", "changes")


CHECKS = (alter_topic_configs, alter_broker_configs, describe_users, add_partitions, move_partitions)
