"""Idempotent producers of every client through a proxy that breaks connections, with restarts of the broker: each message once, in order.

Usage: idempotence.py [--clients confluent-kafka,java,…] [--records N] [--restarts N] [--seed N]

Each client writes the topic `m.CLIENT.none` of `recipe.py` through `cutting_proxy.py` while the broker is stopped and killed in turns; then the proxy leaves
connections alone and the same client, and the Java client, compare every record of every partition with the recipe. A record that is lost, repeated or out of its
place is at another offset than the recipe says. At the end the broker must have met repetitions: otherwise the test proved nothing.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import threading
import time

import broker
import tools
from cutting_proxy import CuttingProxy
from drivers import Driver, StepFailed

CLIENTS = ("confluent-kafka", "kafka-python", "aiokafka", "kafkajs", "java")
CORES = "0,1"
WRITE_SECONDS_MAX = 240


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

    def repeated(self):
        """Batches that were sent once more, over all lives that ended in good order."""
        lines = re.findall(r"^batches_repeated((?:\s+\d+)+)\s*$", self.log_path.read_text(errors="replace"), re.M)
        return sum(int(number) for line in lines for number in line.split())


def restart_while(writing, restarting, proxy, restarts, chance):
    """Breaks connections and restarts the broker while `writing` is set."""
    proxy.is_cutting = True
    done = {"stop": 0, "kill": 0}
    while writing.is_set() and sum(done.values()) < restarts:
        writing_until = time.monotonic() + 0.3 + chance.random()
        while writing.is_set() and time.monotonic() < writing_until:
            time.sleep(0.02)
        if not writing.is_set():
            break
        end = ("kill", "stop")[sum(done.values()) % 2]
        (restarting.running.kill if end == "kill" else restarting.running.stop)()
        done[end] += 1
        restarting.start()
    while writing.is_set():
        time.sleep(0.02)
    proxy.is_cutting = False
    return done


def write_and_compare(client, restarting, proxy, bootstrap, java, options, scratch):
    """One client's turn; returns a sentence. Raises StepFailed or BrokerFailed."""
    topic = f"m.{client}.none"
    chance = random.Random(options.seed)
    before = dict(proxy.cuts)
    proxy.produce_seen.clear()
    writing = threading.Event()
    failures = []

    def write(driver):
        try:
            driver.ask(WRITE_SECONDS_MAX, step="write", bootstrap=bootstrap, topic=topic, records=options.records)
        except StepFailed as failure:
            failures.append(failure)
        finally:
            writing.clear()
            proxy.produce_seen.set()

    with Driver(client, scratch / f"{client}.log") as driver:
        writing.set()
        begun = time.monotonic()
        thread = threading.Thread(target=write, args=(driver,))
        thread.start()
        proxy.produce_seen.wait()
        done = restart_while(writing, restarting, proxy, options.restarts, chance)
        thread.join()
        seconds = time.monotonic() - begun
        if failures:
            raise failures[0]
        for reader in (driver, java):
            reader.ask(step="read", bootstrap=bootstrap, topic=topic, records=options.records)
    cuts = {cut: proxy.cuts[cut] - before[cut] for cut in proxy.cuts}
    told = ", ".join(f"{count} {cut}" for cut, count in cuts.items())
    return f"{options.records} messages in {seconds:.1f} s, cut {told}; {done['stop']} stops, {done['kill']} kills"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--records", type=int, default=4_000)
    parser.add_argument("--restarts", type=int, default=2, help="per client, as long as it writes")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--port", type=int, help="the first of four ports; else free ones are looked for")
    options = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-idempotence-"))
    first = options.port or broker.free_ports(4)
    ports, proxy_ports = [first, first + 1], [first + 2, first + 3]
    print(f"seed {options.seed}", flush=True)
    passed, failed = 0, 0
    restarting = Restarting(ports, proxy_ports, scratch / "data")
    proxy = CuttingProxy(proxy_ports, ports, options.seed)
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
        repeated = restarting.repeated()
        print(f"  {repeated} batches were sent once more and not appended again")
        passed, failed = (passed + 1, failed) if repeated else (passed, failed + 1)
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
