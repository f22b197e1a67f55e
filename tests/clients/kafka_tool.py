"""How the steps of `kafka_tools.py` run one of Kafka's command-line tools and say what they expected of it."""

import re
import subprocess

import tools

TOOLS = "org.apache.kafka.tools."
CONSUMER_SILENCE_MS_MAX = 30_000
ALONE_SECONDS_MAX = 120


class ToolFailed(Exception):
    """A tool's exit code or output is not what was expected."""


class Tools:
    """Kafka's tools, bound to one broker and one JVM. `scratch` is a folder for files that tools write or read; in `notes` a step
    leaves what a later one has to find."""

    def __init__(self, java, bootstrap, scratch):
        self.java = java
        self.bootstrap = bootstrap
        self.scratch = scratch
        self.notes = {}
        self.data_dir = None  # known when the broker is stopped

    def run(self, tool, *arguments, expect_code=0, standard_input=""):
        """Runs org.apache.kafka.tools.<tool> against the broker and returns what it printed."""
        return self.run_offline(tool, "--bootstrap-server", self.bootstrap, *arguments, expect_code=expect_code, standard_input=standard_input)

    def run_offline(self, tool, *arguments, expect_code=0, standard_input=""):
        """The same for a tool that needs no broker."""
        output = self.scratch / "tool.txt"
        class_name = tool if tool.startswith("kafka.") else TOOLS + tool  # ConfigCommand still lives in the server's jar
        code = self.java.tool(class_name, arguments, output, standard_input)
        printed = output.read_text(errors="replace")
        if code != expect_code:
            raise ToolFailed(f"{tool}: exit code expected {expect_code}, came {code}: {printed[-800:]}")
        return printed

    def offsets(self, topic, time):
        """Partition → offset, as GetOffsetShell tells them."""
        printed = self.run("GetOffsetShell", "--topic-partitions", topic, "--time", time)
        return {int(partition): int(offset) for partition, offset in re.findall(rf"^{re.escape(topic)}:(\d+):(\d+)$", printed, re.M)}

    def consume(self, topic, partition, *arguments):
        """What ConsoleConsumer prints of all records of a partition. It ends with the last one, without waiting for more."""
        first, end = (self.offsets(topic, time)[partition] for time in ("earliest", "latest"))
        if first == end:
            return "Processed a total of 0 messages"
        bounds = ("--offset", "earliest", "--max-messages", end - first, "--timeout-ms", CONSUMER_SILENCE_MS_MAX)
        return self.run("consumer.ConsoleConsumer", "--topic", topic, "--partition", partition, *bounds, *arguments)

    def run_alone(self, tool, *arguments):
        """The same in a JVM of its own, for a tool whose last word is said when its JVM ends. Only standard output is returned."""
        command = tools.java_member_command() + [TOOLS + tool, "--bootstrap-server", self.bootstrap, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=ALONE_SECONDS_MAX)
        if done.returncode != 0:
            raise ToolFailed(f"{tool}: exit code {done.returncode}: {done.stderr[-800:].decode(errors='replace')}")
        return done.stdout.decode()


def expect(condition, what, printed):
    if not condition:
        raise ToolFailed(f"expected {what}, came: {printed[-800:]}")
