"""The process that stands for one Python client (or kcat) in the matrix.

Usage: python_driver.py CLIENT. One JSON request per line of standard input, one JSON answer per line of standard output; the
protocol is told in `drivers.py`. A client is a module with `version()`, `create(bootstrap, topic)`,
`write(bootstrap, topic, partitions)` and `read(bootstrap, topic, partitions)`; `partitions` are the record lists of `recipe.py`, and `read` raises at the first
difference between them and what comes.
"""

import importlib
import json
import sys
import time
import traceback

import recipe

MODULES = {
    "kcat": "client_kcat",
    "confluent-kafka": "client_confluent",
    "kafka-python": "client_kafka_python",
    "aiokafka": "client_aiokafka",
}


def perform(client, request):
    """One request; returns the fields of its answer."""
    step = request["step"]
    if step == "version":
        return {"version": client.version()}
    partitions, digests = recipe.topic_records(request["topic"], request["records"])
    if step == "write":
        client.create(request["bootstrap"], request["topic"])
        time.sleep(request.get("settle_seconds", 0))
        client.write(request["bootstrap"], request["topic"], partitions)
    elif step == "read":
        client.read(request["bootstrap"], request["topic"], partitions)
    else:
        raise ValueError(f"step expected version, write or read, came {step!r}")
    return {"digests": digests}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    client = importlib.import_module(MODULES[sys.argv[1]])
    for line in sys.stdin:
        started = time.monotonic()
        try:
            answer = {"ok": True, **perform(client, json.loads(line))}
        except Exception as failure:  # whatever a client throws is the test's result
            traceback.print_exc()
            answer = {"ok": False, "error": f"{type(failure).__name__}: {failure}"}
        answer["seconds"] = time.monotonic() - started
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
