"""aiokafka in the matrix: admin API, its batch interface and plain sends, assigned consumer without a group.

Most records go through `create_batch`, the rest through `send`: both are the client's public ways to write, and the first is
several times quicker.
"""

import asyncio

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

import polled_records
import recipe

SENT_SINGLY = 1_000


def version():
    return f"aiokafka {aiokafka.__version__}"


def create(bootstrap, topic):
    asyncio.run(_create(bootstrap, topic))


def write(bootstrap, topic, partitions):
    asyncio.run(_write(bootstrap, topic, partitions))


def read(bootstrap, topic, partitions):
    asyncio.run(_read(bootstrap, topic, partitions))


async def _create(bootstrap, topic):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = NewTopic(topic, num_partitions=recipe.PARTITIONS, replication_factor=1, topic_configs={"retention.ms": "-1"})
        answer = await admin.create_topics([wanted])
        errors = [error for error in answer.topic_errors if error[1] != 0]
        if errors:
            raise RuntimeError(f"create_topics answered {errors}")
    finally:
        await admin.close()


async def _write(bootstrap, topic, partitions):
    codec = recipe.codec_of(topic)
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        acks="all",
        # Not its default; one codec goes through the idempotent producer.
        enable_idempotence=codec == "none",
        max_batch_size=131_072,
        max_request_size=4 << 20,
        linger_ms=5,
    )
    await producer.start()
    try:
        await asyncio.gather(*(_write_partition(producer, topic, index, records) for index, records in enumerate(partitions)))
    finally:
        await producer.stop()


async def _write_partition(producer, topic, partition, records):
    pending = [
        await producer.send(topic, value, key, partition, timestamp, list(headers)) for key, value, headers, timestamp in records[:SENT_SINGLY]
    ]
    await asyncio.gather(*pending)
    batch = producer.create_batch()
    pending, first_offsets, filled_from = [], [], SENT_SINGLY
    for index in range(SENT_SINGLY, len(records)):
        key, value, headers, timestamp = records[index]
        if batch.append(key=key, value=value, timestamp=timestamp, headers=list(headers)) is None:
            pending.append(await producer.send_batch(batch, topic, partition=partition))
            first_offsets.append(filled_from)
            batch, filled_from = producer.create_batch(), index
            if batch.append(key=key, value=value, timestamp=timestamp, headers=list(headers)) is None:
                raise AssertionError(f"partition {partition} record {index}: refused by an empty batch")
    if batch.record_count():
        pending.append(await producer.send_batch(batch, topic, partition=partition))
        first_offsets.append(filled_from)
    for metadata, expected in zip(await asyncio.gather(*pending), first_offsets):
        if metadata.offset != expected:
            raise AssertionError(f"partition {partition}: batch acknowledged at offset {metadata.offset}, expected {expected}")


async def _read(bootstrap, topic, partitions):
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    try:
        assigned = [aiokafka.TopicPartition(topic, partition) for partition in range(len(partitions))]
        begins, ends = await consumer.beginning_offsets(assigned), await consumer.end_offsets(assigned)
        polled_records.check_ends(assigned, begins, ends, partitions)
        consumer.assign(assigned)
        for one in assigned:
            consumer.seek(one, 0)
        comparison = polled_records.Comparison(partitions, recipe.writer_of(topic) != "kcat")
        while comparison.left:
            comparison.take(await consumer.getmany(timeout_ms=1_000))
    finally:
        await consumer.stop()
