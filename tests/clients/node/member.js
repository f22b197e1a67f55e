// kafkajs as a member of a group: one process, joins, reads, commits, until a line comes. Usage: member.js SETUP; SETUP and the
// reports are told in group_members.py.
//
// kafkajs has no callback for what it gives up. It drops everything when it joins again, so the next `assigned` is a new beginning.
'use strict'

const fs = require('fs')
const { Kafka, logLevel } = require('kafkajs')

const setup = JSON.parse(process.argv[2])

// Written at once: a kill takes nothing back that was said.
function tell(event, fields) {
  let line = Buffer.from(JSON.stringify({ event, at: Math.round((performance.timeOrigin + performance.now()) * 1000), ...fields }) + '\n')
  while (line.length > 0) {
    try {
      line = line.subarray(fs.writeSync(1, line))
    } catch (failure) {
      if (failure.code !== 'EAGAIN') throw failure
    }
  }
}

async function main() {
  const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 1_000 }
  const kafka = new Kafka({ clientId: 'member', brokers: [setup.bootstrap], logLevel: logLevel.WARN, retry })
  const consumer = kafka.consumer({
    groupId: setup.group,
    sessionTimeout: setup.session_ms,
    rebalanceTimeout: 20_000,
    heartbeatInterval: setup.heartbeat_ms,
    maxWaitTimeInMs: 100,
    retry
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    tell('assigned', { partitions: payload.memberAssignment[setup.topic] ?? [], member: payload.memberId })
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => tell('crashed', { error: String(payload.error), restarts: payload.restart }))
  await consumer.connect()
  await consumer.subscribe({ topic: setup.topic, fromBeginning: setup.reset === 'earliest' })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isStale, isRunning }) => {
      if (isStale() || !isRunning()) return
      tell('seen', { records: batch.messages.map((message) => [batch.partition, Number(message.offset), Number(message.value)]) })
      const end = Number(batch.messages[batch.messages.length - 1].offset) + 1
      resolveOffset(String(end - 1))
      try {
        await consumer.commitOffsets([{ topic: setup.topic, partition: batch.partition, offset: String(end) }])
        tell('committed', { offsets: [[batch.partition, end]] })
      } catch (failure) {
        tell('not_committed', { error: String(failure) })
        throw failure
      }
      await heartbeat()
    }
  })
  let isStopping = false
  const stop = async () => {
    if (isStopping) return
    isStopping = true
    await consumer.disconnect()
    tell('left', {})
    process.exit(0)
  }
  process.stdin.on('data', stop)
  process.stdin.on('end', stop)
}

main().catch((failure) => {
  console.error(failure)
  tell('failed', { error: String(failure) })
  process.exit(1)
})
