"""kcat in the matrix: a topic made by auto-creation, two processes per partition that write, one per partition that reads.

kcat takes its records as lines and prints them by a format, so what is written and what has to come back are two byte strings.
What it cannot express stands in `recipe.WRITER_LIMITS`.
"""

import re
import subprocess
import tempfile

import recipe

KEY_DELIMITER = b"\x02"
# offset, timestamp, key length, value length (null: -1), headers, key and value
PRINT_FORMAT = r"%o %T %K %S\n%h\n%k%s\n"


def version():
    text = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    return "kcat " + re.search(r"Version (\S+)", text)[1] + ", librdkafka " + re.search(r"librdkafka (\S+)", text)[1]


def create(bootstrap, topic):
    """kcat has no admin API: four processes ask for the topic's metadata at once, and the broker makes it, once."""
    _run_together([(["kcat", "-L", "-b", bootstrap, "-t", topic], None) for _ in range(recipe.PARTITIONS)])


def write(bootstrap, topic, partitions):
    """Both halves of a partition in order, all partitions at once."""
    for half in (0, 1):
        _run_together([_writer(bootstrap, topic, index, records, half) for index, records in enumerate(partitions)])


def _writer(bootstrap, topic, partition, records, half):
    middle = (len(records) + 1) // 2
    chosen = records[:middle] if half == 0 else records[middle:]
    header_arguments = []
    for name, value in recipe.KCAT_HEADERS[half]:
        header_arguments += ["-H", name if value is None else f"{name}={value.decode()}"]
    lines = tempfile.NamedTemporaryFile(prefix="kcat-", suffix=".lines")
    for key, value, headers, _ in chosen:
        if headers != recipe.KCAT_HEADERS[half]:
            raise AssertionError("the recipe's half and kcat's half of the partition differ")
        lines.write((b"" if key is None else key + KEY_DELIMITER) + (value or b"") + b"\n")
    lines.flush()
    command = ["kcat", "-P", "-b", bootstrap, "-t", topic, "-p", str(partition), "-z", recipe.codec_of(topic), "-K", KEY_DELIMITER.decode()]
    command += header_arguments + (["-Z"] if half == 0 else []) + ["-X", "linger.ms=20", "-l", lines.name]
    return command, lines


def _run_together(started):
    processes = [
        (subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT), lines)
        for command, lines in started
    ]
    failures = []
    for process, lines in processes:
        output = process.communicate(timeout=120)[0].decode(errors="replace")
        if lines is not None:
            lines.close()
        if process.returncode != 0 or "ERROR" in output:
            failures.append(f"exit code {process.returncode}: {output[-500:]}")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(processes)} kcat processes failed: {failures[0]}")


def read(bootstrap, topic, partitions):
    """One process per partition, all started before the first is read."""
    outputs = [tempfile.TemporaryFile(prefix="kcat-") for _ in partitions]
    processes = []
    for partition, output in enumerate(outputs):
        command = ["kcat", "-C", "-b", bootstrap, "-t", topic, "-p", str(partition), "-o", "beginning", "-e", "-q", "-f", PRINT_FORMAT]
        processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE))
    for partition, (process, output) in enumerate(zip(processes, outputs)):
        complaint = process.communicate(timeout=120)[1].decode(errors="replace")
        if process.returncode != 0:
            raise RuntimeError(f"kcat on partition {partition}: exit code {process.returncode}: {complaint[-500:]}")
        output.seek(0)
        _compare(output.read(), partitions[partition], partition, recipe.writer_of(topic) != "kcat")


def _compare(came, expected_records, partition, timestamps_are_known):
    position = 0
    for offset, (key, value, headers, timestamp) in enumerate(expected_records):
        line_end = came.find(b"\n", position)
        if line_end < 0:
            raise AssertionError(f"partition {partition}: {len(expected_records)} records expected, {offset} came")
        came_offset, came_timestamp, *lengths = map(int, came[position:line_end].split())
        if came_offset != offset:
            raise AssertionError(f"partition {partition}: offset expected {offset}, came {came_offset}")
        if not timestamps_are_known:
            came_timestamp = recipe.recent_as_zero(came_timestamp)
        expected_lengths = [-1 if part is None else len(part) for part in (key, value)]
        rest = _shown_headers(headers) + b"\n" + (key or b"") + (value or b"") + b"\n"
        next_position = line_end + 1 + len(rest)
        if came_timestamp != timestamp or lengths != expected_lengths or came[line_end + 1 : next_position] != rest:
            expected = f"{timestamp} {expected_lengths} {rest[:200]!r}"
            raise AssertionError(f"partition {partition} offset {offset}: expected {expected}, came {came[position:next_position][:250]!r}")
        position = next_position
    if position != len(came):
        raise AssertionError(f"partition {partition}: {len(expected_records)} records expected, then came {came[position:position + 200]!r}")


def _shown_headers(headers):
    """Headers as kcat's %h prints them: a null value reads NULL, a binary one ends at its first zero byte."""
    return b",".join(name.encode() + b"=" + (b"NULL" if value is None else value.split(b"\0")[0]) for name, value in headers)
