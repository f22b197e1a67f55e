"""Proves that each driver of the matrix can fail: topics with one fault each, which every client has to find.

Usage: drivers_notice.py [--broker pagewire|kafka] [--clients kcat,java,…]

The topics carry names of the matrix, so the drivers expect its recipe; they are filled by librdkafka with that recipe, except
for one record. A driver that reads such a topic and reports no difference is broken, and so is one that complains about the
topic without a fault.
"""

import argparse
import concurrent.futures
import pathlib
import shutil
import sys
import tempfile
import time

import broker
import client_confluent
import recipe
from drivers import KAFKA_SETTLE_SECONDS, Driver, StepFailed

RECORDS = 4_000
PARTITION = 2


def place_of(records):
    """The first record in the second half that has a key, a value and headers."""
    return next(at for at in range(len(records) // 2, len(records)) if all(records[at][:3]))


def changing(field, change):
    """A fault: one field of one record becomes what `change` makes of it."""

    def fault(records):
        at = place_of(records)
        record = dict(zip(("key", "value", "headers", "timestamp"), records[at]))
        record[field] = change(record[field])
        return [*records[:at], tuple(record.values()), *records[at + 1 :]]

    return fault


def swapping(records):
    at = place_of(records)
    return [*records[:at], records[at + 1], records[at], *records[at + 2 :]]


def dropping(records):
    at = place_of(records)
    return records[:at] + records[at + 1 :]


FAULTS = {
    "nothing": lambda records: records,
    "another key": changing("key", lambda key: b"another"),
    "a null key": changing("key", lambda key: None),
    "another byte in a value": changing("value", lambda value: value[:-1] + b"!"),
    "a null value": changing("value", lambda value: None),
    "another header value": changing("headers", lambda headers: (*headers[:-1], (headers[-1][0], b"?"))),
    "a header fewer": changing("headers", lambda headers: headers[:-1]),
    "another timestamp": changing("timestamp", lambda timestamp: timestamp + 1),
    "two records swapped": swapping,
    "a record fewer": dropping,
    "a record more": lambda records: [*records, records[0]],
}


def topic_of(number):
    """Topics of the matrix with a number behind: the recipe is another for each."""
    return recipe.topic_name("confluent-kafka", "none") + f".{number}"


def write_faulty_topics(bootstrap, settle_seconds):
    for number in range(len(FAULTS)):
        client_confluent.create(bootstrap, topic_of(number))
    time.sleep(settle_seconds)
    for number, fault in enumerate(FAULTS.values()):
        partitions = list(recipe.topic_records(topic_of(number), RECORDS)[0])
        partitions[PARTITION] = fault(partitions[PARTITION])
        client_confluent.write(bootstrap, topic_of(number), partitions)


def failures_of(client, bootstrap, scratch):
    """What this client did not notice, or complained about without a reason."""
    failures = []
    with Driver(client, scratch / f"{client}.log") as driver:
        for number, name in enumerate(FAULTS):
            try:
                driver.ask(step="read", bootstrap=bootstrap, topic=topic_of(number), records=RECORDS)
                noticed = None
            except StepFailed as failure:
                noticed = str(failure)
            if (noticed is None) != (name == "nothing"):
                failures.append(f"{client}: {name} was changed, and it said: {noticed or 'nothing'}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", choices=("pagewire", "kafka"), default="pagewire")
    parser.add_argument("--clients", default=",".join(recipe.CLIENTS))
    options = parser.parse_args()
    clients = options.clients.split(",")
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="pagewire-notice-"))
    running = broker.start(options.broker, scratch / "data", "0")
    try:
        write_faulty_topics(running.bootstrap, KAFKA_SETTLE_SECONDS if options.broker == "kafka" else 0)
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as threads:
            failures = [one for some in threads.map(lambda client: failures_of(client, running.bootstrap, scratch), clients) for one in some]
        running.stop()
    finally:
        running.kill()
    for failure in failures:
        print(f"FAILED {failure}")
    if failures:
        print(f"logs are in {scratch}")
    else:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(FAULTS) * len(clients) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
