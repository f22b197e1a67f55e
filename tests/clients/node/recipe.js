// The messages of the client matrix, by the rules told in recipe.py; the digests prove that both say the same.
'use strict'

const { createHash } = require('crypto')

const PARTITIONS = 4
const BASE_TIMESTAMP_MS = 1_700_000_000_000

const blocks = Array.from({ length: 256 }, (_, block) => createHash('sha256').update(`pagewire-pool-${block}`).digest())
const BINARY = Buffer.concat(blocks)
const TEXT = Buffer.from(BINARY.toString('hex'))
const BIG_VALUE = Buffer.concat(Array(18).fill(TEXT))
const EMPTY = Buffer.alloc(0)

const bytes = (text) => (text === null ? null : Buffer.from(text))

// Headers as a list of [name, value]; a value is a Buffer or null.
function headerSet(writer, kind, entry) {
  const nullValue = writer === 'kafka-python' || writer === 'kafkajs' ? '' : null
  const pairs = (...list) => list.map(([name, value]) => [name, bytes(value)])
  switch (kind) {
    case 3:
      return [['trace', TEXT.subarray(entry * 16, entry * 16 + 16)]]
    case 4:
      return pairs(['n', nullValue], ['e', ''], ['', 'empty name'])
    case 5:
      return pairs(['r', '1'], ['r', '2'], ['r', nullValue])
    case 6:
      return [['first', bytes('x')], ['binary', BINARY.subarray(entry * 8, entry * 8 + 8)], ['\u00e9', bytes('\u00fc')]]
    case 7:
      return writer === 'kafkajs' ? pairs(['a', '1'], ['a', '3'], ['b', '2']) : pairs(['a', '1'], ['b', '2'], ['a', '3'])
    default:
      return []
  }
}

const KCAT_HEADERS = [
  [['kcat', bytes('first')], ['r', bytes('1')], ['r', bytes('2')], ['n', null]],
  [['kcat', bytes('second')], ['e', EMPTY]],
]

// Records of one partition in order; timestamp 0: the writer could not choose it.
function records(topic, count, partition) {
  const writer = topic.split('.')[1]
  const salt = createHash('sha256').update(topic).digest().readUInt32BE(0)
  const bigAt = count - Math.floor(count / 10) + 1
  const result = []
  for (let i = partition; i < count; i += PARTITIONS) {
    let h = (Math.imul(i, 0x9e3779b1) + salt) >>> 0
    h = (h ^ (h >>> 15)) >>> 0
    h = Math.imul(h, 0x85ebca77) >>> 0
    h = (h ^ (h >>> 13)) >>> 0
    const keyKind = h & 15
    const valueKind = (h >>> 4) & 31
    const textStart = (h >>> 17) % 16208
    const text = () => TEXT.subarray(textStart, textStart + 16 + ((h >>> 9) % 160))
    let key = Buffer.from(`${topic}/${i}`)
    let value
    if (writer === 'kcat') {
      const half = i < Math.floor(count / 2) ? 0 : 1
      value = text()
      if (i === bigAt) value = BIG_VALUE
      else if (keyKind === 0) key = null
      else if (keyKind === 1 && half === 1) key = EMPTY
      else if (valueKind < 2) value = half === 0 ? null : EMPTY
      result.push({ key, value, headers: KCAT_HEADERS[half], timestamp: 0 })
      continue
    }
    if (keyKind < 2) key = keyKind === 0 ? null : EMPTY
    if (i === bigAt) value = BIG_VALUE
    else if (valueKind > 3) value = text()
    else if (valueKind > 1) {
      const start = (h >>> 9) % 7936
      value = BINARY.subarray(start, start + 1 + ((h >>> 16) % 255))
    } else value = valueKind === 0 && key !== null ? null : EMPTY
    const headers = headerSet(writer, (h >>> 24) & 7, (h >>> 12) & 63)
    result.push({ key, value, headers, timestamp: BASE_TIMESTAMP_MS + 7 * i + (h % 5000) })
  }
  return result
}

// SHA-256 over a partition's records, laid out as recipe.digest says.
function digest(partitionRecords) {
  const hash = createHash('sha256')
  const length = (field) => (field === null ? -1 : field.length)
  for (const { key, value, headers, timestamp } of partitionRecords) {
    const fixed = Buffer.alloc(20)
    fixed.writeBigInt64BE(BigInt(timestamp), 0)
    fixed.writeInt32BE(length(key), 8)
    fixed.writeInt32BE(length(value), 12)
    fixed.writeInt32BE(headers.length, 16)
    const parts = [fixed]
    if (key) parts.push(key)
    if (value) parts.push(value)
    for (const [name, headerValue] of headers) {
      const encoded = Buffer.from(name)
      const lengths = Buffer.alloc(8)
      lengths.writeInt32BE(encoded.length, 0)
      lengths.writeInt32BE(length(headerValue), 4)
      parts.push(lengths, encoded)
      if (headerValue) parts.push(headerValue)
    }
    hash.update(Buffer.concat(parts))
  }
  return hash.digest('hex')
}

// Headers as kafkajs takes and gives them: an object, repeated names as an array in order.
function asObject(headers) {
  const object = {}
  for (const [name, value] of headers) {
    if (!(name in object)) object[name] = value
    else if (Array.isArray(object[name])) object[name].push(value)
    else object[name] = [object[name], value]
  }
  return object
}

module.exports = { PARTITIONS, records, digest, asObject }
