"""Starts the broker under test (or Apache Kafka in its place), waits until it answers, stops it by its process id.

A started broker is an object with `bootstrap` ("127.0.0.1:PORT"), `data_dir`, `log_path` and `stop()`. Everything stays on
loopback. The caller owns the directory and removes it.
"""

import base64
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import tools

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
KAFKA_LEADERS_SECONDS = 3
CLIENT_ID = b"pagewire-tests"


class BrokerFailed(Exception):
    """The broker did not start, did not stop, or stopped with a code other than 0."""


def free_ports(count):
    """The first of `count` consecutive ports that nothing listens on, below the range from which the kernel hands out ports.

    PAGEWIRE_TEST_PORTS=FIRST-LAST says where to look; without it every process begins elsewhere."""
    start = 20_000 + (os.getpid() * 37) % 9_000
    end = start + 3_000
    if given := os.environ.get("PAGEWIRE_TEST_PORTS"):
        start, end = map(int, given.split("-"))
    for first in range(start, end - count + 1, count):
        try:
            held = [socket.create_server(("127.0.0.1", first + index)) for index in range(count)]
        except OSError:
            continue
        for one in held:
            one.close()
        return first
    raise BrokerFailed(f"no {count} free ports in a row from {start} on")


def _ask(port, key, body, timeout):
    """The answer to a request in version 0, from its correlation id on."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        request = struct.pack(">hhih", key, 0, 1, len(CLIENT_ID)) + CLIENT_ID + body
        connection.sendall(struct.pack(">i", len(request)) + request)
        length = struct.unpack(">i", _read_exactly(connection, 4))[0]
        return _read_exactly(connection, length)


def served_versions(port, timeout=2.0):
    """Request → its oldest and newest version, as ApiVersions says."""
    body = _ask(port, 18, b"", timeout)
    count = struct.unpack_from(">i", body, 6)[0]
    rows = (struct.unpack_from(">hhh", body, 10 + 6 * index) for index in range(count))
    return {key: (oldest, newest) for key, oldest, newest in rows}


def metadata_brokers(port, timeout=2.0):
    """The broker ids that Metadata (version 0, all topics) names at this port; raises OSError while nobody answers."""
    body = _ask(port, 3, struct.pack(">i", 0), timeout)
    count = struct.unpack_from(">i", body, 4)[0]
    position, ids = 8, []
    for _ in range(count):
        broker_id, host_length = struct.unpack_from(">ih", body, position)
        ids.append(broker_id)
        position += 6 + host_length + 4
    return ids


def _read_exactly(connection, length):
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise ConnectionError(f"expected {length} bytes, the connection closed after {len(parts)}")
        parts += part
    return parts


class Broker:
    """One started broker process."""

    def __init__(self, name, command, ports, data_dir, log_path, clean_exit_codes):
        self.name = name
        self.bootstrap = f"127.0.0.1:{ports[0]}"
        self.ports = ports
        self.data_dir = pathlib.Path(data_dir)
        self.log_path = pathlib.Path(log_path)
        self.clean_exit_codes = clean_exit_codes
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            except OSError as failure:
                raise BrokerFailed(f"{name}: cannot start {command[0]}: {failure}; `scripts/test build` makes it") from None
        self._wait_until_ready()

    def _wait_until_ready(self):
        """Ready is: every port answers Metadata with at least one broker."""
        give_up = time.monotonic() + READY_SECONDS_MAX
        waiting = list(self.ports)
        while waiting:
            if self.process.poll() is not None:
                raise BrokerFailed(f"{self.name} exited with {self.process.returncode} before it was ready\n{self.log_tail()}")
            try:
                if metadata_brokers(waiting[0]):
                    waiting.pop(0)
                    continue
            except (OSError, struct.error):
                pass
            if time.monotonic() > give_up:
                self.kill()
                raise BrokerFailed(f"{self.name}: no Metadata at port {waiting[0]} within {READY_SECONDS_MAX} s\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self):
        """SIGTERM, and an exit code that says the stop was clean; returns the seconds it took."""
        started = time.monotonic()
        if self.process.poll() is not None:
            raise BrokerFailed(f"{self.name} was gone before it was stopped: exit code {self.process.returncode}\n{self.log_tail()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerFailed(f"{self.name} did not stop within {STOP_SECONDS_MAX} s of SIGTERM\n{self.log_tail()}") from None
        if code not in self.clean_exit_codes:
            raise BrokerFailed(f"{self.name}: exit code expected {self.clean_exit_codes}, came {code}\n{self.log_tail()}")
        return time.monotonic() - started

    def kill(self):
        """kill -9; nothing is checked."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def log_tail(self, lines=30):
        """The last lines that the broker printed."""
        text = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in text[-lines:])

    def cpu_seconds(self):
        """User and system time of the running process."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(kind, data_dir, cores="0", advertise="per-core", settings=None, port=None):
    """The broker that a test was told to use: "pagewire", or "kafka", which knows neither cores nor advertising, nor takes a port."""
    if kind == "kafka":
        return start_kafka(data_dir, settings)
    return start_pagewire(data_dir, cores, advertise, settings, port=port)


def start_pagewire(data_dir, cores="0", advertise="per-core", settings=None, log_path=None, binary=None, port=None):
    """`cores` as `serve` takes it: one executor per entry, each on the CPU it names; they listen on consecutive ports from `port` on."""
    binary = binary or os.environ.get("PAGEWIRE_BINARY") or tools.ROOT / "target" / "release" / "pagewire"
    count = len(cores.split(","))
    first = port or free_ports(count)
    listening = count if advertise == "per-core" else 1
    command = [str(binary), "serve", "--cores", cores, "--listen", f"127.0.0.1:{first}", "--advertise", advertise]
    command += ["--data-dir", str(data_dir)]
    for name, value in (settings or {}).items():
        command += ["--set", f"{name}={value}"]
    log_path = log_path or pathlib.Path(data_dir).with_suffix(".broker.log")
    return Broker("pagewire", command, list(range(first, first + listening)), data_dir, log_path, (0,))


def start_kafka(data_dir, settings=None, log_path=None, heap="1g"):
    """Apache Kafka, one node with an embedded controller; formats the directory if it is not formatted yet."""
    data_dir = pathlib.Path(data_dir)
    first = free_ports(2)
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{first + 1}",
        "listeners": f"PLAINTEXT://127.0.0.1:{first},CONTROLLER://127.0.0.1:{first + 1}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{first}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data_dir),
        "group.initial.rebalance.delay.ms": "0",
    }
    for kind in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        properties[f"{kind}.replication.factor"] = "1"
        if kind != "offsets.topic":
            properties[f"{kind}.min.isr"] = "1"
    properties.update(settings or {})
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    file = data_dir.with_suffix(".properties")
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = tools.java_command(heap)
    is_new = not (data_dir / "meta.properties").exists()
    if is_new:
        cluster_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        cluster_id = "P" + cluster_id[1:]  # an id that begins with a dash would be read as an option
        format_command = java + ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(file)]
        subprocess.run(format_command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log_path = log_path or data_dir.with_suffix(".broker.log")
    # A JVM that obeys SIGTERM reports 143 after a clean stop.
    running = Broker("Apache Kafka", java + ["kafka.Kafka", str(file)], [first], data_dir, log_path, (0, 143, -15))
    if not is_new:
        # Its Metadata names leaders and leader epochs before its partitions know of them.
        time.sleep(KAFKA_LEADERS_SECONDS)
    return running
