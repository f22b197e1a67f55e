"""Runs kafka-python's own integration tests, from its source package, against a broker.

Usage: kafka_python_own.py [--broker pagewire|kafka] [--keep]

`scripts/test setup` has fetched the package, by version and checksum, in the version that is installed too. Every test of it runs
but those that LEFT_OUT names, each with a reason: some as long as the broker does not serve the request they are about, and
from the day it does they have to pass. A name in the lists that no test has is a failure, as is a test that skips itself
without standing in SKIPS.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree

import broker
import tools

KAFKA_VERSION = "4.2.0"
TESTS = "test/integration"
TEST_SECONDS_MAX = 60
RUN_SECONDS_MAX = 600
# What its own brokers are started with, as far as the tests depend on it.
BROKER_SETTINGS = {
    "num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
}

# Test → the request that it is about, and the version that it needs.
NEEDS = {
    "test_admin_integration.py::test_create_describe_delete_acls": (29, 1),
    "test_admin_integration.py::test_delete_records": (21, 0),
    "test_admin_integration.py::test_delete_records_with_errors": (21, 0),
    "test_admin_integration.py::test_create_partitions": (37, 0),
    "test_admin_integration.py::test_elect_leaders": (43, 0),
    "test_admin_integration.py::test_describe_log_dirs": (35, 1),
    "test_admin_integration.py::test_alter_replica_log_dirs": (34, 1),
    "test_admin_integration.py::test_describe_metadata_quorum": (55, 0),
    "test_admin_integration.py::test_alter_partition_reassignments": (45, 0),
    "test_admin_integration.py::test_list_partition_reassignments": (46, 0),
    "test_admin_integration.py::test_describe_topic_partitions": (75, 0),
    "test_admin_integration.py::test_describe_topic_partitions_pagination": (75, 0),
    "test_admin_integration.py::test_list_config_resources": (74, 1),
    # Kafka 4.2 is recognised by this.
    "test_consumer_integration.py::test_kafka_version_infer": (2, 11),
    "test_producer_integration.py::test_transactional_producer_messages": (26, 0),
    "test_producer_integration.py::test_transactional_producer_offsets": (26, 0),
}
# Left out whatever the broker serves.
LEFT_OUT = {
    "test_ssl_integration.py::TestSSLConnection::test_ssl_handshake": "starts a Kafka of its own, with TLS",
    "test_ssl_integration.py::TestSSLConnection::test_legacy_kafka_client_ssl": "starts a Kafka of its own, with TLS",
}
LEFT_OUT_FOR_PAGEWIRE = {
    "test_admin_integration.py::test_describe_configs_broker_resource_returns_configs": (
        "asks for advertised.listeners; here that is --advertised-host, which DescribeConfigs does not tell"
    ),
}
LEFT_OUT_FOR_KAFKA = {
    "test_admin_integration.py::test_create_partitions": "wants a broker with the id 0, and ours has 1",
    "test_admin_integration.py::test_create_describe_delete_acls": "wants an authorizer, and ours has none",
    "test_consumer_integration.py::test_kafka_version_infer": "is told 4.2, and ours is 4.3",
}
# Tests that skip themselves, by the beginning of their name.
SKIPS = {
    "test_sasl_integration.py::": "they want to start a Kafka of their own, with SASL",
    "test_consumer_integration.py::test_kafka_consumer_offsets_for_time_old": "for brokers older than 0.10.1",
}
# What failed runs again, alone, up to so many times; a broker that is wrong fails each time. Some tests hold a stopwatch to the client,
# and the client loses a subscription that is made in the moment in which its bootstrap ends: it asks for no metadata then for five minutes,
# so its tests find nothing to read. The quicker the broker answers, the likelier that is.
MORE_TRIES = 4

# The package leaves this file out; with a broker that runs already its tests use no more of it.
SERVICE = '''
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def stop(self):
        pass


class SpawnedService:
    pass
'''


def unpack(folder):
    """The package's folder, ready for its tests."""
    (archive,) = (tools.FOLDER / "kafka-python-source").glob("kafka_python-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (package,) = folder.iterdir()
    (package / "servers" / KAFKA_VERSION / "kafka-bin").mkdir(parents=True)
    (package / "test" / "__init__.py").touch()
    (package / "test" / "service.py").write_text(SERVICE)
    return package


def pytest(package, bootstrap, *arguments, chosen=(TESTS,)):
    command = [tools.python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS_MAX}", *arguments, *chosen]
    environment = {**os.environ, "KAFKA_URI": f"kafka://{bootstrap}", "KAFKA_VERSION": KAFKA_VERSION}
    done = subprocess.run(command, cwd=package, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_SECONDS_MAX)
    return done.returncode, done.stdout.decode(errors="replace")


def all_tests(package, bootstrap):
    code, printed = pytest(package, bootstrap, "--collect-only")
    names = [line.removeprefix(TESTS + "/") for line in printed.splitlines() if line.startswith(TESTS + "/")]
    if code != 0 or not names:
        raise RuntimeError(f"its tests cannot be collected: {printed[-2000:]}")
    return names


def left_out(options, served):
    """Test → why it does not run."""
    chosen = dict(LEFT_OUT)
    chosen.update(LEFT_OUT_FOR_PAGEWIRE if options.broker == "pagewire" else LEFT_OUT_FOR_KAFKA)
    for test, (key, version) in NEEDS.items():
        if not served.get(key, (0, -1))[0] <= version <= served.get(key, (0, -1))[1]:
            chosen[test] = f"needs request {key} in version {version}, which is not served"
    return chosen


def outcomes(report):
    """Test → "passed", or what it said otherwise: ("skipped" | "failure" | "error", message)."""
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        place = case.get("classname").removeprefix(TESTS.replace("/", ".") + ".").split(".")
        name = "::".join([place[0] + ".py", *place[1:], case.get("name")])
        complaints = [(part.tag, part.get("message") or "") for part in case if part.tag in ("skipped", "failure", "error")]
        found[name] = complaints[0] if complaints else "passed"
    return found


def judge(found, names, excluded):
    """What is not as the lists say."""
    complaints = [f"{name}: no test has this name" for name in [*NEEDS, *LEFT_OUT, *LEFT_OUT_FOR_PAGEWIRE] if name not in names]
    complaints += [f"{name}: did not run" for name in names if name not in found and name not in excluded]
    for name, outcome in found.items():
        if outcome == "passed":
            continue
        kind, message = outcome
        if kind != "skipped":
            complaints.append(f"{name}: {kind}: {message[:300]}")
        elif not any(name.startswith(start) for start in SKIPS):
            complaints.append(f"{name}: skipped itself: {message[:300]}")
    return complaints


def run(options, scratch):
    """Returns how many passed, and the complaints."""
    package = unpack(scratch / "source")
    # Some tests take a cluster of one broker with the id 0 for granted.
    running = broker.start(options.broker, scratch / "data", "0,1", "per-node", BROKER_SETTINGS, node_id=0)
    try:
        names = all_tests(package, running.bootstrap)
        excluded = left_out(options, broker.served_versions(running.ports[0]))
        for name, reason in sorted(excluded.items()):
            print(f"  left out: {name}: {reason}")
        deselected = [f"--deselect={TESTS}/{name}" for name in excluded]
        report = scratch / "report.xml"
        _, printed = pytest(package, running.bootstrap, f"--junitxml={report}", "--tb=short", *deselected)
        (scratch / "pytest.log").write_text(printed)
        found = outcomes(report)
        for _ in range(MORE_TRIES):
            again = [name for name, outcome in found.items() if outcome[0] in ("failure", "error")]
            if not again:
                break
            print(f"  once more, alone: {', '.join(again)}")
            pytest(package, running.bootstrap, f"--junitxml={report}", "--tb=short", chosen=[f"{TESTS}/{name}" for name in again])
            found.update(outcomes(report))
        running.stop()
    finally:
        running.kill()
    return list(found.values()).count("passed"), judge(found, names, excluded)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--keep", action="store_true", help="leave the package, data and logs where they are, and say where")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-kafka-python-"))
    (scratch / "source").mkdir()
    passed, complaints = run(options, scratch)
    for complaint in complaints:
        print(f"FAILED {complaint}")
    if complaints or options.keep:
        print(f"logs are in {scratch}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {len(complaints)} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
