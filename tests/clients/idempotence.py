"""Idempotent producers of every client through a proxy that breaks connections, with restarts of the broker: each message once, in order.

Usage: idempotence.py [--clients confluent-kafka,java,…] [--records N] [--seed N]

Each client writes the topic `m.CLIENT.none` of `recipe.py` through `cutting_proxy.py`, which does everything in SCRIPT to it and then cuts
by chance; then the proxy leaves connections alone and the same client, and the Java client, compare every record of every partition with
the recipe. A record that is lost, repeated or out of its place is at another offset than the recipe says. Each life of the broker that
ended in good order must have met batches that it had already, after the kill as well as after the stop: otherwise the test proved nothing.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

import broker
import tools
from cutting_proxy import CuttingProxy
from drivers import Driver, StepFailed

CLIENTS = ("confluent-kafka", "kafka-python", "aiokafka", "kafkajs", "java")
CORES = "0,1"
WRITE_SECONDS_MAX = 90
# What follows a `kill` or a `stop` and lets the broker see the request shows whether it knows the batch again.
SCRIPT = ("after", "kill", "answer", "before", "inside", "stop", "after")
BY_CHANCE = ("before", "inside", "after", "answer")
# kafkajs takes what it has of an answer when the connection breaks for the beginning of what comes over the next one.
SPARED = {"kafkajs": "answer"}
LIVES_PER_CLIENT = 2  # that end in good order: by the script's stop, and at the end of the client's turn


class Restarting:
    """A broker that keeps its ports and its directory through its lives."""

    def __init__(self, ports, proxy_ports, data_dir):
        binary = os.environ.get("PAGEWIRE_BINARY") or tools.ROOT / "target" / "release" / "pagewire"
        self.command = [str(binary), "serve", "--cores", CORES, "--listen", f"127.0.0.1:{ports[0]}", "--data-dir", str(data_dir)]
        self.command += ["--advertised-host", "127.0.0.1", "--advertised-port", str(proxy_ports[0])]
        self.ports, self.data_dir = ports, data_dir
        self.log_path = data_dir.with_suffix(".broker.log")
        self.start()

    def start(self):
        self.running = broker.Broker("pagewire", self.command, self.ports, self.data_dir, self.log_path, (0,))

    def restart(self, how):
        (self.running.kill if how == "kill" else self.running.stop)()
        self.start()

    def repeated(self):
        """Batches that were sent once more, for each life that ended in good order and met any."""
        lines = re.findall(r"^batches_repeated((?:\s+\d+)+)\s*$", self.log_path.read_text(errors="replace"), re.M)
        return [sum(map(int, line.split())) for line in lines]


def write_and_compare(client, restarting, proxy, bootstrap, java, options, scratch):
    """One client's turn; returns a sentence. Raises StepFailed or BrokerFailed."""
    topic = f"m.{client}.none"
    lives = len(restarting.repeated())
    with Driver(client, scratch / f"{client}.log") as driver:
        begun = time.monotonic()
        proxy.begin(*([cut for cut in cuts if cut != SPARED.get(client)] for cuts in (SCRIPT, BY_CHANCE)))
        try:
            driver.ask(WRITE_SECONDS_MAX, step="write", bootstrap=bootstrap, topic=topic, records=options.records)
        finally:
            done, left = proxy.end()
        seconds = time.monotonic() - begun
        if proxy.failure is not None:
            raise proxy.failure
        if left:
            raise StepFailed(f"{client}: wrote everything before these cuts: {left}")
        for reader in (driver, java):
            reader.ask(step="read", bootstrap=bootstrap, topic=topic, records=options.records)
    restarting.restart("stop")
    repeated = restarting.repeated()[lives:]
    if len(repeated) != LIVES_PER_CLIENT:
        raise StepFailed(f"{client}: expected repeated batches in {LIVES_PER_CLIENT} lives of the broker, came {repeated}")
    told = ", ".join(f"{count} {cut}" for cut, count in sorted(done.items()))
    return f"{options.records} messages in {seconds:.1f} s, cuts: {told}; batches sent once more: {repeated}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--records", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--port", type=int, help="the first of four ports; else free ones are looked for")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-idempotence-"))
    first = options.port or broker.free_ports(4)
    ports, proxy_ports = [first, first + 1], [first + 2, first + 3]
    print(f"seed {options.seed}", flush=True)
    passed, failed = 0, 0
    restarting = Restarting(ports, proxy_ports, scratch / "data")
    proxy = CuttingProxy(proxy_ports, ports, options.seed, restarting.restart)
    try:
        with Driver("java", scratch / "reader.log") as java:
            for client in options.clients.split(","):
                try:
                    said = write_and_compare(client, restarting, proxy, f"127.0.0.1:{proxy_ports[0]}", java, options, scratch)
                    print(f"  {client}: {said}", flush=True)
                    passed += 1
                except (StepFailed, broker.BrokerFailed) as failure:
                    print(f"FAILED {client}: {failure}", flush=True)
                    failed += 1
                    if restarting.running.process.poll() is not None:
                        restarting.start()
        restarting.running.stop()
    finally:
        proxy.close()
        restarting.running.kill()
        if failed:
            print(f"logs are in {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
