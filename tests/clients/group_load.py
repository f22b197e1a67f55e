"""Writes numbers into a topic in the background, and asks a broker for ends and committed offsets; all with librdkafka."""

import threading
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

ASK_SECONDS = 30


class Load:
    """Writes 0, 1, 2 … to the partitions in turn until `stop`. `written`: partition and offset → number."""

    def __init__(self, bootstrap, topic, partitions, per_second):
        self.topic = topic
        self.partitions = partitions
        self.per_second = per_second
        self.written = {}
        self.failures = []
        self.is_over = threading.Event()
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "reconnect.backoff.max.ms": 500, "log_level": 2}
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        started = time.monotonic()
        number = 0
        while not self.is_over.is_set():
            while number < (time.monotonic() - started) * self.per_second:
                self.producer.produce(self.topic, str(number), partition=number % self.partitions, on_delivery=self._delivered)
                number += 1
            self.producer.poll(0.02)
        self.producer.flush(60)

    def _delivered(self, error, message):
        if error is not None:
            self.failures.append(str(error))
        else:
            self.written[message.partition(), message.offset()] = int(message.value())

    def stop(self):
        self.is_over.set()
        self.thread.join()
        if self.failures:
            raise RuntimeError(f"{len(self.failures)} records were not taken, the first: {self.failures[0]}")


class Cluster:
    """What is asked of a running broker."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 500, "log_level": 2})

    def create_topic(self, topic, partitions):
        for future in self.admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(ASK_SECONDS)

    def ends(self, topic, partitions):
        """Partition → the offset behind its last record."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "unused", "log_level": 2})
        try:
            asked = [confluent_kafka.TopicPartition(topic, partition) for partition in range(partitions)]
            return {one.partition: consumer.get_watermark_offsets(one, ASK_SECONDS)[1] for one in asked}
        finally:
            consumer.close()

    def committed(self, group):
        """Partition → committed offset, for all that have one."""
        asked = [confluent_kafka.ConsumerGroupTopicPartitions(group)]
        answer = self._ask(lambda: self.admin.list_consumer_group_offsets(asked, request_timeout=ASK_SECONDS)[group].result())
        return {one.partition: one.offset for one in answer.topic_partitions if one.offset >= 0}

    def describe(self, group):
        """The state's name, and the ids of the members."""
        answer = self._ask(lambda: self.admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)[group].result())
        return answer.state.name, sorted(member.member_id for member in answer.members)

    def _ask(self, question):
        """Asks again while the broker says that it is still reading its groups."""
        give_up = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return question()
            except confluent_kafka.KafkaException as failure:
                if not failure.args[0].retriable() or time.monotonic() > give_up:
                    raise RuntimeError(f"asked the broker about its groups: {failure}") from None
            time.sleep(0.1)
