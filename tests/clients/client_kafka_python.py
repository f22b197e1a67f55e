"""kafka-python in the matrix: admin API, producer with its defaults (idempotent), assigned consumer without a group."""

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

import polled_records
import recipe


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
        polled_records.check_ends(assigned, begins, ends, partitions)
        consumer.assign(assigned)
        for one in assigned:
            consumer.seek(one, 0)
        comparison = polled_records.Comparison(partitions, recipe.writer_of(topic) != "kcat")
        while comparison.left:
            comparison.take(consumer.poll(timeout_ms=1_000))
    finally:
        consumer.close()
