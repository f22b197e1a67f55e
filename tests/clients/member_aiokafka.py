"""aiokafka as a member of a group. Its rebalances run beside its reader; a lock lets one of them commit at a time."""

import asyncio

import aiokafka
from aiokafka.errors import KafkaError

from group_member import Reading


def run(setup, reports, stop):
    asyncio.run(_run(setup, reports, stop))


async def _run(setup, reports, stop):
    topic = setup["topic"]
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=setup["bootstrap"],
        group_id=setup["group"],
        group_instance_id=setup["instance"],
        enable_auto_commit=False,
        auto_offset_reset=setup["reset"],
        session_timeout_ms=setup["session_ms"],
        heartbeat_interval_ms=setup["heartbeat_ms"],
        retry_backoff_ms=100,
        max_poll_records=500,
    )
    reading = Reading(reports)
    is_committing = asyncio.Lock()

    async def commit():
        offsets = reading.due()
        if not offsets:
            return
        try:
            await consumer.commit({aiokafka.TopicPartition(topic, partition): offset for partition, offset in offsets.items()})
            reading.committed(offsets)
        except KafkaError as failure:
            reading.not_committed(failure)

    class Listener(aiokafka.ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            async with is_committing:
                await commit()
                reading.forget([one.partition for one in revoked])
                reports.tell("revoked", partitions=sorted(one.partition for one in revoked))

        async def on_partitions_assigned(self, assigned):
            coordinator = consumer._coordinator
            partitions = sorted(one.partition for one in assigned)
            reports.tell("assigned", partitions=partitions, member=coordinator.member_id, generation=coordinator.generation)

    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    try:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=50)).values():
                for record in records:
                    reading.take(record.partition, record.offset, record.value)
            # No other task has run since the client let the records go.
            reading.report()
            if reading.is_commit_due():
                async with is_committing:
                    await commit()
        async with is_committing:
            await commit()
    finally:
        await consumer.stop()
