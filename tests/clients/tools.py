"""Where the tools that `scripts/test setup` installs are found, and how each language's driver is started."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
FOLDER = pathlib.Path(os.environ.get("PAGEWIRE_TEST_TOOLS") or ROOT / "target" / "test-tools")


def java_command(heap="1g"):
    """A JVM with Kafka's jars, our own classes and a quiet log; the caller appends class and arguments."""
    class_path = os.pathsep.join([str(FOLDER / "java" / "classes"), str(FOLDER / "java" / "jars" / "*")])
    log_settings = f"-Dlog4j2.configurationFile={CLIENTS / 'java' / 'log4j2.properties'}"
    # The JVM's own warnings go to standard output by default, where a test reads reports.
    jvm_warnings = ["-Xlog:disable", "-Xlog:all=warning:stderr"]
    return ["java", f"-Xmx{heap}", "-XX:TieredStopAtLevel=4", "-XX:+UseParallelGC", *jvm_warnings, log_settings, "-cp", class_path]


def java_member_command():
    """A small JVM that starts quickly, for one member of a group; the caller appends class and arguments."""
    return [part for part in java_command("128m") if not part.startswith("-XX:")] + ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


def python():
    """The interpreter of the virtual environment that holds the Python clients."""
    return str(FOLDER / "python" / "bin" / "python")


def driver_command(client):
    """The command that starts the driver of one client, and what it needs in its environment; see `drivers.py` for the protocol."""
    if client == "java":
        return java_command() + ["pagewire.tests.Driver"], {}
    if client == "kafkajs":
        return ["node", str(CLIENTS / "node" / "driver.js")], {"NODE_PATH": str(FOLDER / "node" / "node_modules")}
    return [python(), str(CLIENTS / "python_driver.py"), client], {}
