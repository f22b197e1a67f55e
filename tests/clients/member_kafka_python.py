"""kafka-python as a member of a group. It commits after every poll: a rebalance begins within a poll only."""

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from group_member import Reading


def run(setup, reports, stop):
    topic = setup["topic"]
    consumer = KafkaConsumer(
        bootstrap_servers=setup["bootstrap"],
        group_id=setup["group"],
        group_instance_id=setup["instance"],
        enable_auto_commit=False,
        auto_offset_reset=setup["reset"],
        session_timeout_ms=setup["session_ms"],
        heartbeat_interval_ms=setup["heartbeat_ms"],
        request_timeout_ms=30_000,
        reconnect_backoff_max_ms=500,
        max_poll_records=500,
    )
    reading = Reading(reports)

    def commit():
        offsets = reading.due()
        if not offsets:
            return
        try:
            consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()})
            reading.committed(offsets)
        except KafkaError as failure:
            reading.not_committed(failure)

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            # It runs within `poll`, on the client's own thread, where nothing may wait: what was read is committed by then.
            reading.forget([one.partition for one in revoked])
            reports.tell("revoked", partitions=sorted(one.partition for one in revoked))

        def on_partitions_assigned(self, assigned):
            generation = consumer._coordinator.generation()
            partitions = sorted(one.partition for one in assigned)
            reports.tell("assigned", partitions=partitions, member=generation.member_id, generation=generation.generation_id)

        def on_partitions_lost(self, lost):
            reading.forget([one.partition for one in lost])
            reports.tell("lost", partitions=sorted(one.partition for one in lost))

    consumer.subscribe([topic], listener=Listener())
    try:
        while not stop.is_set():
            for records in consumer.poll(timeout_ms=50).values():
                for record in records:
                    reading.take(record.partition, record.offset, record.value)
            commit()
    finally:
        consumer.close()
