"""Reads the batch headers of log files: with which codec a topic's records are really stored, and whether indexes point at batches.

A client that finds no codec in common with the broker sends uncompressed data and says nothing (KAFKA-18659), so reading the
records back proves nothing about compression; the stored attributes do. Only the 61-byte batch headers are read.
"""

import pathlib
import struct

CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
HEADER = struct.Struct(">qiibIhiqqqhii")


def batches(log_file):
    """Yields (base offset, last offset delta, codec number, records count, bytes) of each batch of one .log file."""
    with open(log_file, "rb") as file:
        while True:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return
            base_offset, length, _, magic, _, attributes, last_delta, *_, count = HEADER.unpack(header)
            if magic != 2 or length < HEADER.size - 12:
                return  # the zeros behind the last batch of a preallocated segment
            yield base_offset, last_delta, attributes & 7, count, length + 12
            file.seek(length + 12 - HEADER.size, 1)


def magic_complaints(log_file):
    """Batches whose magic byte is not 2 (it lies outside the CRC), up to the first bytes that are no batch."""
    with open(log_file, "rb") as file:
        position, size = 0, log_file.stat().st_size
        while position + HEADER.size <= size:
            file.seek(position)
            _, length, _, magic, *_ = HEADER.unpack(file.read(HEADER.size))
            if length <= 0:
                break
            if magic != 2:
                return [f"{log_file}: magic of the batch at position {position} expected 2, came {magic}"]
            position += 12 + length
    return []


def index_complaints(log_file):
    """What is wrong with the two indexes of a segment that was closed: FORMAT-NOTES, "When index entries are written".

    Kafka's dump tool passes over bytes behind the last whole entry and over zeros behind the last entry.
    """
    complaints = []
    base = int(log_file.stem)
    ends, position = {}, 0
    for base_offset, last_delta, _, _, size in batches(log_file):
        ends[position] = base_offset + last_delta
        position += size
    for suffix, entry in ((".index", struct.Struct(">ii")), (".timeindex", struct.Struct(">qi"))):
        file = log_file.with_suffix(suffix)
        data = file.read_bytes() if file.exists() else b""
        if len(data) % entry.size:
            complaints.append(f"{file}: size expected a multiple of {entry.size}, came {len(data)}")
            data = data[: -(len(data) % entry.size)]
        before = (-1, -1)
        for number, fields in enumerate(entry.iter_unpack(data)):
            if not all(now > then for now, then in zip(fields, before)):
                complaints.append(f"{file}: entry {number} expected above {before}, came {fields}")
                break
            before = fields
            if suffix == ".index" and ends.get(fields[1]) != base + fields[0]:
                complaints.append(f"{file}: entry {number} says offset {base + fields[0]} ends the batch at {fields[1]}, the log says {ends.get(fields[1])}")
                break
    return complaints


def records_by_codec(data_dir, topic):
    """How many records of a topic are stored with each codec: {"zstd": 100000}."""
    found = {}
    for log_file in sorted(pathlib.Path(data_dir).glob(f"{topic}-*/*.log")):
        for _, _, codec, count, _ in batches(log_file):
            name = CODEC_NAMES[codec] if codec < len(CODEC_NAMES) else f"unknown codec {codec}"
            found[name] = found.get(name, 0) + count
    return found


def codec_complaint(data_dir, topic, codec, records):
    """None, or a sentence. A producer may leave a batch alone that would grow; so nine tenths are asked for, and no third codec."""
    found = records_by_codec(data_dir, topic)
    if sum(found.values()) != records:
        return f"{topic}: {records} records expected in the log files, came {found}"
    if set(found) - {codec, "none"} or found.get(codec, 0) < 0.9 * records:
        return f"{topic}: expected to be stored with {codec}, came {found}"
    return None
