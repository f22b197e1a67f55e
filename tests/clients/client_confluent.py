"""confluent-kafka (librdkafka) in the matrix: admin API, idempotent producer, assigned consumer."""

import itertools
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

import recipe

SILENCE_SECONDS_MAX = 30


def version():
    return f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"


def create(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = NewTopic(topic, num_partitions=recipe.PARTITIONS, replication_factor=1, config={"retention.ms": "-1"})
    for future in admin.create_topics([wanted]).values():
        future.result(30)


def write(bootstrap, topic, partitions):
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.codec": recipe.codec_of(topic),
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "reconnect.backoff.max.ms": 1_000,  # ten seconds otherwise
        }
    )
    failures = []

    def acknowledged(error, message):
        if error is not None:
            failures.append(f"partition {message.partition()}: {error}")

    for row in itertools.zip_longest(*partitions):
        for partition, record in enumerate(row):
            if record is not None:
                key, value, headers, timestamp = record
                producer.produce(topic, value, key, partition, timestamp=timestamp, headers=list(headers), on_delivery=acknowledged)
        producer.poll(0)
    left = producer.flush(120)
    if left or failures:
        raise RuntimeError(f"{left} records not acknowledged, {len(failures)} refused: {failures[:3]}")


def read(bootstrap, topic, partitions):
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",  # librdkafka insists; with assign and without commits no group request follows
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": False,
            "queued.min.messages": 100_000,
        }
    )
    try:
        for partition, expected in enumerate(partitions):
            ends = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), 30)
            if ends != (0, len(expected)):
                raise AssertionError(f"partition {partition}: begin and end expected {(0, len(expected))}, came {ends}")
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0) for partition in range(len(partitions))])
        _compare(consumer, partitions, recipe.writer_of(topic) != "kcat")
    finally:
        consumer.close()


def _compare(consumer, partitions, timestamps_are_known):
    positions = [0] * len(partitions)
    left = sum(len(expected) for expected in partitions)
    progress = time.monotonic()
    while left:
        messages = consumer.consume(5_000, 1.0)
        if not messages and time.monotonic() - progress > SILENCE_SECONDS_MAX:
            raise AssertionError(f"nothing came for {SILENCE_SECONDS_MAX} s at offsets {positions}")
        for message in messages:
            if message.error() is not None:
                raise AssertionError(f"the consumer reports {message.error()} at offsets {positions}")
            partition, offset = message.partition(), message.offset()
            if offset != positions[partition]:
                raise AssertionError(f"partition {partition}: offset expected {positions[partition]}, came {offset}")
            positions[partition] = offset + 1
            expected = partitions[partition][offset]
            kind, timestamp = message.timestamp()
            if not timestamps_are_known:
                timestamp = recipe.recent_as_zero(timestamp)
            came = (message.key(), message.value(), tuple(message.headers() or ()), timestamp)
            if came != expected or kind != confluent_kafka.TIMESTAMP_CREATE_TIME:
                raise AssertionError(recipe.first_difference(expected, came, partition, offset))
        if messages:
            left -= len(messages)
            progress = time.monotonic()
