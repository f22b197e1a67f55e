"""confluent-kafka (librdkafka) as a member of a group."""

import confluent_kafka

from group_member import Reading

ASSIGNORS = {"eager": "range", "cooperative": "cooperative-sticky"}


def settings_of(setup):
    settings = {
        "bootstrap.servers": setup["bootstrap"],
        "group.id": setup["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": setup["reset"],
        "reconnect.backoff.max.ms": 500,
    }
    if setup["instance"]:
        settings["group.instance.id"] = setup["instance"]
    if setup["protocol"] == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings["session.timeout.ms"] = setup["session_ms"]
        settings["heartbeat.interval.ms"] = setup["heartbeat_ms"]
        settings["partition.assignment.strategy"] = ASSIGNORS[setup["protocol"]]
    return settings


def run(setup, reports, stop):
    topic = setup["topic"]
    consumer = confluent_kafka.Consumer(settings_of(setup))
    reading = Reading(reports)

    def commit():
        offsets = reading.due()
        if not offsets:
            return
        wanted = [confluent_kafka.TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        try:
            for one in consumer.commit(offsets=wanted, asynchronous=False):
                if one.error is not None:
                    raise confluent_kafka.KafkaException(one.error)
            reading.committed(offsets)
        except confluent_kafka.KafkaException as failure:
            reading.not_committed(failure)

    def ids(partitions):
        return sorted(one.partition for one in partitions)

    def assigned(_, partitions):
        reports.tell("assigned", partitions=ids(partitions), member=consumer.memberid())

    def revoked(_, partitions):
        commit()
        reading.forget(ids(partitions))
        reports.tell("revoked", partitions=ids(partitions))

    def lost(_, partitions):
        reading.report()
        reading.forget(ids(partitions))
        reports.tell("lost", partitions=ids(partitions))

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    try:
        while not stop.is_set():
            message = consumer.poll(0.05)
            if message is None:
                reading.report()
            elif message.error() is None:
                reading.take(message.partition(), message.offset(), message.value())
            elif message.error().fatal():
                raise confluent_kafka.KafkaException(message.error())
            if reading.is_commit_due():
                commit()
        commit()
    finally:
        consumer.close()
