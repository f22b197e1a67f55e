"""kafka-python in the matrix: admin API, producer with its defaults (idempotent), assigned consumer without a group."""

import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

import recipe

SILENCE_SECONDS_MAX = 30


def version():
    return f"kafka-python {kafka.__version__}"


def create(bootstrap, topic):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        wanted = {"num_partitions": recipe.PARTITIONS, "replication_factor": 1, "configs": {"retention.ms": "-1"}}
        admin.create_topics({topic: wanted}, wait_for_metadata=True)
    finally:
        admin.close()


def write(bootstrap, topic, partitions):
    codec = recipe.codec_of(topic)
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, linger_ms=50, batch_size=131_072
    )
    try:
        last = []
        for row in zip(*partitions):
            last = [
                producer.send(topic, value, key, list(headers), partition, timestamp)
                for partition, (key, value, headers, timestamp) in enumerate(row)
            ]
        producer.flush(120)
        for partition, future in enumerate(last):
            came, expected = future.get(30).offset, len(partitions[partition]) - 1
            if came != expected:
                raise AssertionError(f"partition {partition}: last record acknowledged at offset {came}, expected {expected}")
    finally:
        producer.close()


def read(bootstrap, topic, partitions):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_poll_records=5_000,
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        assigned = [TopicPartition(topic, partition) for partition in range(len(partitions))]
        begins, ends = consumer.beginning_offsets(assigned), consumer.end_offsets(assigned)
        for one, expected in zip(assigned, partitions):
            if (begins[one], ends[one]) != (0, len(expected)):
                raise AssertionError(f"{one}: begin and end expected {(0, len(expected))}, came {(begins[one], ends[one])}")
        consumer.assign(assigned)
        for one in assigned:
            consumer.seek(one, 0)
        _compare(consumer, partitions, recipe.writer_of(topic) != "kcat")
    finally:
        consumer.close()


def _compare(consumer, partitions, timestamps_are_known):
    positions = [0] * len(partitions)
    left = sum(len(expected) for expected in partitions)
    progress = time.monotonic()
    while left:
        polled = consumer.poll(timeout_ms=1_000)
        if not polled and time.monotonic() - progress > SILENCE_SECONDS_MAX:
            raise AssertionError(f"nothing came for {SILENCE_SECONDS_MAX} s at offsets {positions}")
        for assigned, came_records in polled.items():
            partition = assigned.partition
            expected_records, offset = partitions[partition], positions[partition]
            for record in came_records:
                if record.offset != offset:
                    raise AssertionError(f"partition {partition}: offset expected {offset}, came {record.offset}")
                timestamp = record.timestamp if timestamps_are_known else recipe.recent_as_zero(record.timestamp)
                came = (record.key, record.value, tuple(record.headers), timestamp)
                if came != expected_records[offset] or record.timestamp_type != 0:
                    raise AssertionError(recipe.first_difference(expected_records[offset], came, partition, offset))
                offset += 1
            positions[partition] = offset
            left -= len(came_records)
            progress = time.monotonic()
