"""Runs every client against every variant of the broker, and says what each could do.

Usage: matrix.py [--broker pagewire|kafka] [--cores 0 --cores 0,1 …] [--advertise per-core --advertise per-node]
                 [--clients kcat,java,…] [--codecs none,zstd,…] [--records N] [--bootstrap HOST:PORT] [--keep]

A variant is a number of cores and a way of advertising them. Every client writes every codec once for each number of cores: half of its
codecs with the one way, half with the other, and for the next number of cores the halves change places. A codec that it does not
write in a variant it reads there from another client. `share` holds that rule.
Per variant: a fresh data directory, the broker, all clients at once (each creates its topics, fills them, reads them back),
then reading across: Java reads everything, every other client reads one foreign topic per codec of the other half. Then the broker is stopped
by SIGTERM, has to exit with 0, the log files are searched for the codec each producer asked for, and Kafka's dump tool reads
every segment and index.
Exits with 1 if anything failed; the last line is `N passed, N failed`, one count per client and codec and direction.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile
import time

import broker
import dump_log_segments
import recipe
import stored_batches
from drivers import KAFKA_SETTLE_SECONDS, Driver, StepFailed

VARIANT_CORES = ("0", "0,1", "0,1,0,1")
VARIANT_ADVERTISE = ("per-core", "per-node")


class Results:
    """What passed and what failed, over all variants."""

    def __init__(self):
        self.passed = 0
        self.failures = []
        self.seconds = {}

    def add(self, variant, client, what, codec, outcome):
        """`outcome` is the seconds it took, or the failure as a sentence."""
        if isinstance(outcome, str):
            self.failures.append(f"[{variant}] {outcome}")
            print(f"FAILED [{variant}] {outcome}", flush=True)
            return
        self.passed += 1
        self.seconds.setdefault((client, what, codec), []).append(outcome)

    def print_table(self, clients, codecs):
        """Mean seconds per client and codec: write / read of its own / read of a foreign topic."""
        print("\nseconds to write / read its own / read a foreign topic, mean over the variants")
        print("  " + "client".ljust(17) + "".join(codec.rjust(18) for codec in codecs))
        for client in clients:
            cells = []
            for codec in codecs:
                parts = [self.seconds.get((client, what, codec)) for what in ("write", "read", "cross")]
                cells.append(" / ".join(f"{sum(part) / len(part):.1f}" if part else "-" for part in parts))
            print("  " + client.ljust(17) + "".join(cell.rjust(18) for cell in cells))
        for client, limit in recipe.WRITER_LIMITS.items():
            if client in clients:
                print(f"  {client}: {limit}")


def share(options, cores_at, advertise_at, ways):
    """Client → the codecs that it writes in a variant: the variant's number of cores and way of advertising, each by its place; so many ways share them."""

    def is_written(client_at, codec_at):
        return (client_at + codec_at + cores_at) % ways == advertise_at

    return {
        client: [codec for codec_at, codec in enumerate(options.codecs) if is_written(client_at, codec_at)]
        for client_at, client in enumerate(options.clients)
    }


def run_variant(name, bootstrap, drivers, options, results, written):
    """All clients against one running broker; `written` is their share of it."""
    digests = {}

    def own_topics(client):
        for codec in written[client]:
            topic = recipe.topic_name(client, codec)
            for step in ("write", "read"):
                settle = KAFKA_SETTLE_SECONDS if options.broker == "kafka" else 0
                # kafkajs has no public consumer without a group.
                how = "read-group" if (client, step) == ("kafkajs", "read") else step
                try:
                    answer = drivers[client].ask(step=how, bootstrap=bootstrap, topic=topic, records=options.records, settle_seconds=settle)
                    digests[topic, client] = answer["digests"]
                    results.add(name, client, step, codec, answer["seconds"])
                except StepFailed as failure:
                    results.add(name, client, step, codec, str(failure))

    def foreign_topics(client):
        for topic in foreign_topics_of(client, options, written):
            codec = recipe.codec_of(topic)
            try:
                answer = drivers[client].ask(step="read", bootstrap=bootstrap, topic=topic, records=options.records)
                if answer["digests"] != digests.get((topic, recipe.writer_of(topic))):
                    raise StepFailed(f"{client}: its recipe for {topic} differs from its writer's: {answer['digests']}")
                results.add(name, client, "cross", codec, answer["seconds"])
            except StepFailed as failure:
                results.add(name, client, "cross", codec, str(failure))

    with concurrent.futures.ThreadPoolExecutor(len(options.clients)) as threads:
        list(threads.map(own_topics, options.clients))
        list(threads.map(foreign_topics, options.clients))


def foreign_topics_of(client, options, written):
    """Java reads all; another client, for each codec that is not its own here, the topic of one other client, for the codec at place k from the k-th on."""
    if client == "java":
        return [recipe.topic_name(writer, codec) for writer, codecs in written.items() for codec in codecs if writer != client]
    is_shared = any(codecs != options.codecs for codecs in written.values())
    place = options.clients.index(client)
    topics = []
    for codec_at, codec in enumerate(options.codecs):
        if is_shared and codec in written[client]:
            continue
        others = options.clients[place + 1 :] + options.clients[:place]
        turned = [others[(codec_at + step) % len(others)] for step in range(len(others))]
        topics += [recipe.topic_name(writer, codec) for writer in turned if codec in written[writer]][:1]
    return topics


def check_stored_codecs(name, data_dir, options, results, written):
    for client, codecs in written.items():
        for codec in codecs:
            complaint = stored_batches.codec_complaint(data_dir, recipe.topic_name(client, codec), codec, options.records)
            results.add(name, client, "stored", codec, complaint or 0.0)


def check_dump(name, data_dir, drivers, results):
    """Kafka's dump tool over every segment and index that was written."""
    if "java" not in drivers:
        return
    chosen = dump_log_segments.parse_arguments([str(data_dir)])
    _, offending = dump_log_segments.check(data_dir, drivers["java"], chosen, data_dir.parent)
    results.add(name, "broker", "dump", "-", f"Kafka's dump tool complains: {offending[:5]}" if offending else 0.0)


def run_all(options, scratch, drivers, results):
    everything = share(options, 0, 0, 1)
    if options.bootstrap:
        run_variant(options.bootstrap, options.bootstrap, drivers, options, results, everything)
        return
    ways = len(options.advertise)
    variants = [
        (cores, advertise, share(options, cores_at, advertise_at, ways))
        for cores_at, cores in enumerate(options.cores)
        for advertise_at, advertise in enumerate(options.advertise)
    ]
    for cores, advertise, written in [("-", "-", everything)] if options.broker == "kafka" else variants:
        name = "kafka" if options.broker == "kafka" else f"cores {cores} {advertise}"
        started = time.monotonic()
        data_dir = scratch / f"data-{cores.replace(',', '-')}-{advertise}"
        try:
            running = broker.start(options.broker, data_dir, cores, advertise, {"num.partitions": str(recipe.PARTITIONS), "group.initial.rebalance.delay.ms": "0"})
        except broker.BrokerFailed as failure:
            results.add(name, "broker", "start", "-", str(failure))
            continue
        try:
            run_variant(name, running.bootstrap, drivers, options, results, written)
            cpu_seconds = running.cpu_seconds()
            stop_seconds = running.stop()
            results.add(name, "broker", "stop", "-", stop_seconds)
            check_stored_codecs(name, data_dir, options, results, written)
            check_dump(name, data_dir, drivers, results)
            print(f"{name}: {time.monotonic() - started:.1f} s, broker {cpu_seconds:.1f} CPU s, stop {stop_seconds:.1f} s", flush=True)
        except (broker.BrokerFailed, OSError) as failure:
            results.add(name, "broker", "stop", "-", str(failure))
        finally:
            running.kill()
        if not options.keep:
            shutil.rmtree(data_dir, ignore_errors=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire", help="kafka: proves the drivers, not the broker")
    parser.add_argument("--bootstrap", help="a broker that runs already; nothing is started, stopped or looked up in files")
    parser.add_argument("--cores", action="append", help=f"may be given several times; default {VARIANT_CORES}")
    parser.add_argument("--advertise", action="append", choices=VARIANT_ADVERTISE)
    parser.add_argument("--clients", default=",".join(recipe.CLIENTS))
    parser.add_argument("--codecs", default=",".join(recipe.CODECS))
    parser.add_argument("--records", type=int, default=100_000, help="per client and codec; a multiple of 40")
    parser.add_argument("--keep", action="store_true", help="leave the data directories and logs where they are, and say where")
    options = parser.parse_args()
    options.clients = options.clients.split(",")
    options.codecs = options.codecs.split(",")
    options.cores = options.cores or list(VARIANT_CORES)
    options.advertise = options.advertise or list(VARIANT_ADVERTISE)
    return options


def main():
    options = parse_arguments()
    results = Results()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-matrix-"))
    drivers = {client: Driver(client, scratch / f"{client}.log") for client in options.clients}
    try:
        for client, driver in drivers.items():
            print(f"{client}: {driver.ask(step='version')['version']}", flush=True)
        run_all(options, scratch, drivers, results)
    finally:
        for driver in drivers.values():
            driver.stop()
    results.print_table(options.clients, options.codecs)
    if results.failures:
        print(f"\nwhat failed (logs of the drivers and brokers are in {scratch}):")
        print("\n".join(f"  {failure}" for failure in results.failures))
    elif not options.keep:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{results.passed} passed, {len(results.failures)} failed")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
