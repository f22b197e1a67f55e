// The process that stands for kafkajs in the matrix: one JSON request per line of standard input, one JSON answer per line of
// standard output; the protocol is told in drivers.py.
//
// kafkajs has no consumer without a group. Reading therefore takes its cluster object, which finds leaders and sends its own
// Fetch requests, and its own decoders; the request "read-group" uses the public consumer, for brokers that have groups.
'use strict'

const readline = require('readline')
const kafkajs = require('kafkajs')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = kafkajs
const SnappyCodec = require('kafkajs-snappy')
const Lz4Codec = require('kafkajs-lz4')
const { Encoder, Decoder } = require('@toondepauw/node-zstd')
const recipe = require('./recipe')

const SILENCE_MS_MAX = 30_000
const RECORDS_PER_SEND_MAX = 8_000
// However few the records are: a connection that breaks is to break in the middle of the work.
const SENDS_MIN = 8
const FETCH_BYTES_MAX = 4 << 20
// librdkafka and Java size a batch before compression, kafkajs sends what it is given: stay below message.max.bytes.
const BYTES_PER_BATCH_MAX = 700_000

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = new Lz4Codec().codec
CompressionCodecs[CompressionTypes.ZSTD] = () => {
  const encoder = new Encoder(3)
  const decoder = new Decoder()
  return { compress: (batch) => encoder.encode(batch.buffer), decompress: (buffer) => decoder.decode(buffer) }
}

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

// It gives a broker up after five attempts, where other clients wait for two minutes.
const retry = { retries: 40, initialRetryTime: 100, maxRetryTime: 1_000 }
const connectTo = (bootstrap) => new Kafka({ clientId: 'pagewire-tests', brokers: [bootstrap], logLevel: logLevel.ERROR, retry })

let cached = { topic: null }
function expectedRecords(topic, count) {
  if (cached.topic !== topic || cached.count !== count) {
    const partitions = Array.from({ length: recipe.PARTITIONS }, (_, index) => recipe.records(topic, count, index))
    cached = { topic, count, partitions, digests: partitions.map(recipe.digest) }
  }
  return cached
}

async function write(bootstrap, topic, partitions, settleSeconds = 0) {
  const kafka = connectTo(bootstrap)
  const admin = kafka.admin()
  await admin.connect()
  const configEntries = [{ name: 'retention.ms', value: '-1' }]
  const topics = [{ topic, numPartitions: recipe.PARTITIONS, replicationFactor: 1, configEntries }]
  // Against a broker that gets a grace period the leaders are not asked for either: Kafka may not know the new topic yet.
  const created = await admin.createTopics({ topics, waitForLeaders: settleSeconds === 0 })
  await admin.disconnect()
  if (!created) throw new Error(`${topic} existed already`)
  await new Promise((resolve) => setTimeout(resolve, settleSeconds * 1000))

  const codec = topic.split('.')[2]
  // kafkajs's default producer is not idempotent; one codec goes through the idempotent one.
  const producer = kafka.producer(codec === 'none' ? { idempotent: true, maxInFlightRequests: 1 } : {})
  await producer.connect()
  const perSend = Math.min(RECORDS_PER_SEND_MAX / partitions.length, Math.ceil(partitions[0].length / SENDS_MIN))
  const positions = partitions.map(() => 0)
  for (;;) {
    const messages = []
    const expectedOffsets = positions.slice()
    partitions.forEach((records, partition) => {
      let size = 0
      const end = Math.min(records.length, positions[partition] + perSend)
      while (positions[partition] < end) {
        const { key, value, headers, timestamp } = records[positions[partition]]
        size += (key ? key.length : 0) + (value ? value.length : 0) + 60
        if (size > BYTES_PER_BATCH_MAX) break
        positions[partition]++
        messages.push({ key, value, partition, headers: recipe.asObject(headers), timestamp: String(timestamp) })
      }
    })
    if (messages.length === 0) break
    const acknowledged = await producer.send({ topic, acks: -1, compression: CODECS[codec], messages })
    for (const { partition, baseOffset } of acknowledged) {
      if (Number(baseOffset) !== expectedOffsets[partition]) {
        throw new Error(`partition ${partition}: acknowledged at offset ${baseOffset}, expected ${expectedOffsets[partition]}`)
      }
    }
  }
  await producer.disconnect()
}

async function checkEnds(kafka, topic, partitions) {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  for (const { partition, low, high } of ends) {
    if (Number(low) !== 0 || Number(high) !== partitions[partition].length) {
      throw new Error(`partition ${partition}: begin and end expected 0 and ${partitions[partition].length}, came ${low} and ${high}`)
    }
  }
  if (ends.length !== partitions.length) throw new Error(`partitions expected ${partitions.length}, came ${ends.length}`)
}

async function read(bootstrap, topic, partitions) {
  const kafka = connectTo(bootstrap)
  await checkEnds(kafka, topic, partitions)
  const createCluster = Object.getOwnPropertySymbols(kafka).find((symbol) => symbol.description === 'private:Kafka:createCluster')
  const cluster = kafka[createCluster]({ metadataMaxAge: 300_000, allowAutoTopicCreation: false, isolationLevel: 0 })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const comparison = new Comparison(topic, partitions)
  const leaders = new Map()
  for (const { partitionId, leader } of cluster.findTopicPartitionMetadata(topic)) {
    leaders.set(leader, [...(leaders.get(leader) || []), partitionId])
  }
  await Promise.all(
    [...leaders].map(async ([nodeId, ids]) => {
      const broker = await cluster.findBroker({ nodeId })
      for (let open = ids; open.length > 0; open = open.filter((id) => comparison.wants(id))) {
        const wanted = open.map((id) => ({ partition: id, fetchOffset: String(comparison.positions[id]), maxBytes: FETCH_BYTES_MAX }))
        const topics = [{ topic, partitions: wanted }]
        const answer = await broker.fetch({ replicaId: -1, isolationLevel: 0, maxWaitTime: 500, maxBytes: 2 * FETCH_BYTES_MAX, topics })
        for (const response of answer.responses) {
          for (const { partition, messages } of response.partitions) comparison.take(partition, messages)
        }
        comparison.checkProgress()
      }
    })
  )
  await cluster.disconnect()
}

async function readGroup(bootstrap, topic, partitions) {
  const kafka = connectTo(bootstrap)
  await checkEnds(kafka, topic, partitions)
  const consumer = kafka.consumer({ groupId: `pagewire-tests-${topic}-${process.pid}`, maxBytesPerPartition: FETCH_BYTES_MAX })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const comparison = new Comparison(topic, partitions)
  await new Promise((resolve, reject) => {
    const watch = setInterval(() => {
      try {
        comparison.checkProgress()
      } catch (failure) {
        reject(failure)
      }
    }, 1_000)
    const eachBatch = async ({ batch }) => {
      try {
        comparison.take(batch.partition, batch.messages)
        if (partitions.every((_, id) => !comparison.wants(id))) resolve()
      } catch (failure) {
        reject(failure)
      }
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
    consumer.on(consumer.events.STOP, () => clearInterval(watch))
  }).finally(() => consumer.disconnect())
}

// What has come of each partition so far, against what has to come.
class Comparison {
  constructor(topic, partitions) {
    this.partitions = partitions
    this.positions = partitions.map(() => 0)
    this.timestampsAreKnown = topic.split('.')[1] !== 'kcat'
    this.progressMs = Date.now()
  }

  wants(partition) {
    return this.positions[partition] < this.partitions[partition].length
  }

  checkProgress() {
    if (Date.now() - this.progressMs > SILENCE_MS_MAX) {
      throw new Error(`nothing came for ${SILENCE_MS_MAX / 1000} s at offsets ${this.positions}`)
    }
  }

  take(partition, messages) {
    for (const message of messages) {
      const offset = Number(message.offset)
      // A fetch answer begins with the whole batch that holds the asked-for offset.
      if (offset < this.positions[partition]) continue
      const place = `partition ${partition} offset ${this.positions[partition]}`
      if (offset !== this.positions[partition]) throw new Error(`${place}: came offset ${offset}`)
      const expected = this.partitions[partition][offset]
      if (expected === undefined) throw new Error(`${place}: more records than were written`)
      const timestamp = Number(message.timestamp)
      const timestampIsRight = this.timestampsAreKnown ? timestamp === expected.timestamp : Math.abs(Date.now() - timestamp) < 3_600_000
      if (!timestampIsRight) throw new Error(`${place}: timestamp expected ${expected.timestamp}, came ${timestamp}`)
      if (!same(message.key, expected.key)) throw new Error(`${place}: key expected ${shown(expected.key)}, came ${shown(message.key)}`)
      if (!same(message.value, expected.value)) {
        throw new Error(`${place}: value expected ${shown(expected.value)}, came ${shown(message.value)}`)
      }
      if (!sameHeaders(message.headers, expected.headers)) {
        throw new Error(`${place}: headers expected ${shown(recipe.asObject(expected.headers))}, came ${shown(message.headers)}`)
      }
      this.positions[partition]++
      this.progressMs = Date.now()
    }
  }
}

const same = (came, expected) => (expected === null ? came === null : came !== null && came.equals(expected))
const shown = (field) => (Buffer.isBuffer(field) ? `'${field.toString('latin1').slice(0, 200)}' (${field.length} bytes)` : JSON.stringify(field))

function sameHeaders(came, expectedList) {
  if (expectedList.length === 0) return Object.keys(came).length === 0
  const expected = recipe.asObject(expectedList)
  const names = Object.keys(expected)
  const cameNames = Object.keys(came)
  return (
    names.length === cameNames.length &&
    names.every((name, index) => {
      if (cameNames[index] !== name) return false
      if (!Array.isArray(expected[name])) return !Array.isArray(came[name]) && same(came[name], expected[name])
      return (
        Array.isArray(came[name]) &&
        came[name].length === expected[name].length &&
        expected[name].every((value, place) => same(came[name][place], value))
      )
    })
  )
}

async function perform({ step, bootstrap, topic, records, settle_seconds: settleSeconds }) {
  if (step === 'version') return { version: `kafkajs ${require('kafkajs/package.json').version}, node ${process.version}` }
  const { partitions, digests } = expectedRecords(topic, records)
  const steps = { write, read, 'read-group': readGroup }
  if (!(step in steps)) throw new Error(`step expected version, ${Object.keys(steps).join(', ')}, came ${step}`)
  await steps[step](bootstrap, topic, partitions, settleSeconds)
  return { digests }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const started = performance.now()
    let answer
    try {
      answer = { ok: true, ...(await perform(JSON.parse(line))) }
    } catch (failure) {
      console.error(failure)
      answer = { ok: false, error: String(failure) }
    }
    answer.seconds = (performance.now() - started) / 1000
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  process.exit(0)
}

main()
