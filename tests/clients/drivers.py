"""Starts the drivers of the client matrix and talks to them.

A driver is a process that stands for one client library. It reads one JSON request per line and answers each with one line:

| request | answer |
|---|---|
| `{"step": "version"}` | `{"ok": true, "version": "…"}` |
| `{"step": "write", "bootstrap": "HOST:PORT", "topic": "m.WRITER.CODEC", "records": N}` | creates the topic and fills it: `{"ok": true, "seconds": S, "digests": [one per partition]}` |
| `{"step": "read", …the same…}` | reads all partitions without a group and compares every field: the same answer |
| `{"step": "tool", "class": C, "arguments": […], "input": TEXT, "output": PATH}` | Java only: runs a Kafka tool in the same JVM: `{"ok": true, "code": N}` |

`"settle_seconds": S` in a write waits between creating and filling. Apache Kafka needs it: its Metadata names a leader before
the partition takes records, and a producer whose first batch is refused so and whose second is taken never recovers
(OUT_OF_ORDER_SEQUENCE_NUMBER for ever). The broker under test gets no such grace.

A step that fails answers `{"ok": false, "error": "…"}`; its stack trace is in the driver's log. The digests are computed from
what the client's own copy of the recipe says, after every record has been compared with it.
"""

import json
import os
import pathlib
import select
import subprocess
import time

import tools

STEP_SECONDS_MAX = 300
KAFKA_SETTLE_SECONDS = 2.0


class StepFailed(Exception):
    """A driver answered that a step failed, or did not answer."""


class Driver:
    """One driver process."""

    def __init__(self, client, log_path):
        self.client = client
        self.log_path = pathlib.Path(log_path)
        command, environment = tools.driver_command(client)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **environment}
            )
        self.unread = b""

    def ask(self, seconds_max=STEP_SECONDS_MAX, **request):
        """Performs one step and returns its answer; raises StepFailed."""
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self._line(seconds_max))
        except (BrokenPipeError, json.JSONDecodeError) as failure:
            raise StepFailed(f"{self.client}: the driver broke off ({failure}); its log: {self.log_tail()}") from None
        if not answer["ok"]:
            raise StepFailed(f"{self.client}: {request['step']} {request.get('topic', '')}: {answer['error']}")
        return answer

    def _line(self, seconds_max):
        give_up = time.monotonic() + seconds_max
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, give_up - time.monotonic()))
            if not ready:
                self.stop()
                raise StepFailed(f"{self.client}: no answer within {seconds_max} s; its log: {self.log_tail()}")
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            if not part:
                raise StepFailed(f"{self.client}: the driver ended with {self.process.wait()}; its log: {self.log_tail()}")
            self.unread += part
        line, self.unread = self.unread.split(b"\n", 1)
        return line

    def tool(self, class_name, arguments, output, standard_input="", seconds_max=STEP_SECONDS_MAX):
        """Runs one of Kafka's tools; what it prints on either stream goes to the file `output`. Returns its exit code."""
        request = {"step": "tool", "class": class_name, "arguments": [str(one) for one in arguments]}
        return self.ask(seconds_max, **request, input=standard_input, output=str(output))["code"]

    def log_tail(self, lines=15):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def stop(self):
        """Closes its input; a driver ends by itself then."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
