"""Records as kafka-python's and aiokafka's consumers hand them over, compared with those of `recipe.py`."""

import time

import recipe

SILENCE_SECONDS_MAX = 30


def check_ends(assigned, begins, ends, partitions):
    """Every partition begins at 0 and ends behind its last record."""
    for one, expected in zip(assigned, partitions):
        if (begins[one], ends[one]) != (0, len(expected)):
            raise AssertionError(f"{one}: begin and end expected {(0, len(expected))}, came {(begins[one], ends[one])}")


class Comparison:
    """What has come of each partition so far; `left` records have not."""

    def __init__(self, partitions, timestamps_are_known):
        self.partitions = partitions
        self.timestamps_are_known = timestamps_are_known
        self.positions = [0] * len(partitions)
        self.left = sum(len(expected) for expected in partitions)
        self.progress = time.monotonic()

    def take(self, polled):
        """Records by partition. Raises AssertionError at the first that is not the expected one, and when nothing has come for too long."""
        if not polled and time.monotonic() - self.progress > SILENCE_SECONDS_MAX:
            raise AssertionError(f"nothing came for {SILENCE_SECONDS_MAX} s at offsets {self.positions}")
        for assigned, came_records in polled.items():
            partition = assigned.partition
            expected_records, offset = self.partitions[partition], self.positions[partition]
            for record in came_records:
                if record.offset != offset:
                    raise AssertionError(f"partition {partition}: offset expected {offset}, came {record.offset}")
                timestamp = record.timestamp if self.timestamps_are_known else recipe.recent_as_zero(record.timestamp)
                came = (record.key, record.value, tuple(record.headers), timestamp)
                if came != expected_records[offset] or record.timestamp_type != 0:
                    raise AssertionError(recipe.first_difference(expected_records[offset], came, partition, offset))
                offset += 1
            self.positions[partition] = offset
            self.left -= len(came_records)
            self.progress = time.monotonic()
