/**
 * A topic of Kafka: one message a record, `record_id` as key, the line of the `jsonl` sink as value, `route` and `model` as headers, the time of
 * the record as timestamp. At least once: what is counted as delivered was acknowledged by all in-sync replicas; what fails goes out again.
 *
 * By the client of Platformatic: pure JavaScript, alive and speaking to Kafka 4, where kafkajs had its last release in 2023 and Confluent's is a binary
 * that is fetched at install. Loaded with the first sink of this kind alone, since that takes a second and 60 MB.
 */
import { isIP } from 'node:net'
import { type Broker, compatibilityPartitioner, type Connection, type MessageToProduce, ProduceAcks, Producer } from '@platformatic/kafka'
import type { KafkaSinkConfig } from '../../../config/config.ts'
import { type Clock, within } from '../../clock.ts'
import type { LogRecord } from '../record.ts'
import type { Batch, Delivery, Sink, SinkDeps } from '../sink.ts'
import { writableLine } from './envelope.ts'
import { isAboutMessages, isTooLarge, reasonOf } from './kafka_errors.ts'

/** What a process that dies sends again at most. */
const ROWS = 2000
const BYTES = 8 << 20
/** Bytes of one request: below `max.message.bytes` of a topic (1 MiB less 12 by default), even when all go to one partition. */
export const MAX_REQUEST_BYTES = 900 << 10
/** What a message takes beside key, value and headers, at most. */
const MESSAGE_BYTES = 64
/** Attempts of the client's own within `delivery.timeout`, for a leader that moved; the rest is the shipper's. */
const RETRIES = 3
const RETRY_MS = 200

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>
type Client = Producer<Buffer, Buffer, Buffer, Buffer>

/** Records of one request, with the bytes they take. */
interface Group {
  readonly messages: Message[]
  bytes: number
}

/** How far a request came. */
interface Sent {
  readonly delivered: number
  readonly rejected: number
  readonly error: Error | null
}

const NOTHING: Sent = { delivered: 0, rejected: 0, error: null }

export class KafkaSink implements Sink {
  readonly batch: Batch
  readonly #config: KafkaSinkConfig
  readonly #clock: Clock
  readonly #log: SinkDeps['log']
  #producer: Client | null = null
  readonly #connections = new Set<Connection>()
  /** Lower once a topic said that it takes less. */
  #limit = MAX_REQUEST_BYTES

  constructor(config: KafkaSinkConfig, { clock, log }: SinkDeps) {
    this.#config = config
    this.#clock = clock
    this.#log = log
    this.batch = { rows: ROWS, bytes: BYTES, wait_ms: config.rotate_ms }
  }

  async open(): Promise<void> {
    // What the topic has is the topic's to know.
  }

  /** Requests one after the other, as an idempotent producer needs; so that the order of records is kept, too. */
  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    let { delivered, rejected } = NOTHING
    let group: Group = { messages: [], bytes: 0 }
    const flush = async (): Promise<Error | null> => {
      const sent = await this.#send(group.messages)
      delivered += sent.delivered
      rejected += sent.rejected
      group = { messages: [], bytes: 0 }
      return sent.error
    }
    for (const record of records) {
      const message = this.#message(record)
      const bytes = message === null ? 0 : sizeOf(message)
      // A record that is none is counted in its turn: from the front.
      const full = group.messages.length > 0 && (message === null || group.bytes + bytes > this.#limit)
      const error = full ? await flush() : null
      if (error !== null) return { delivered, rejected, error }
      if (message === null) rejected++
      else {
        group.messages.push(message)
        group.bytes += bytes
      }
    }
    const error = await flush()
    return { delivered, rejected, error }
  }

  /** Asks for the topic: brokers, credentials and the topic are there then. */
  async probe(): Promise<void> {
    try {
      await this.#limited((producer) => producer.metadata({ topics: [this.#config.topic] }))
    } catch (error) {
      throw new Error(reasonOf(error, this.#config))
    }
  }

  async close(): Promise<void> {
    await this.#drop()
  }

  // ---------------------------------------------------------------- messages

  /** null: there is no line of it, which no further attempt changes. */
  #message(record: LogRecord): Message | null {
    const line = writableLine(record, this.#config.name, this.#log)
    if (line === null) return null
    const headers = new Map([[Buffer.from('route'), Buffer.from(record.route)]])
    if (record.model !== '') headers.set(Buffer.from('model'), Buffer.from(record.model))
    const time = Number.isFinite(record.time) ? Math.max(0, Math.round(record.time)) : 0
    return { topic: this.#config.topic, key: Buffer.from(record.record_id), value: Buffer.from(line.trimEnd()), headers, timestamp: BigInt(time) }
  }

  // ---------------------------------------------------------------- requests

  /** One message may spoil a request, or all together may be too much for the topic: halves, down to the one that is given up. */
  async #send(messages: Message[]): Promise<Sent> {
    if (messages.length === 0) return NOTHING
    let tooLarge: boolean
    try {
      await this.#limited((producer) => producer.send({ messages, acks: ProduceAcks.ALL, idempotent: true }))
      return { delivered: messages.length, rejected: 0, error: null }
    } catch (error) {
      if (!isAboutMessages(error)) return { ...NOTHING, error: new Error(reasonOf(error, this.#config)) }
      if (messages.length === 1) return this.#rejected(messages[0]!, error)
      tooLarge = isTooLarge(error)
    }
    const half = Math.ceil(messages.length / 2)
    const parts = [messages.slice(0, half), messages.slice(half)]
    if (tooLarge) this.#limit = Math.min(this.#limit, Math.max(...parts.map((part) => part.reduce((sum, message) => sum + sizeOf(message), 0))))
    const first = await this.#send(parts[0]!)
    if (first.error !== null) return first
    const second = await this.#send(parts[1]!)
    return { delivered: first.delivered + second.delivered, rejected: first.rejected + second.rejected, error: second.error }
  }

  #rejected({ key }: Message, error: unknown): Sent {
    this.#log.warn('the topic refused a record for good', { sink: this.#config.name, record_id: String(key), reason: reasonOf(error, this.#config) })
    return { delivered: 0, rejected: 1, error: null }
  }

  /** Whatever fails but for a message begins with a fresh client, since a request that is still under way would spoil the order of its sequence. */
  async #limited<T>(run: (producer: Client) => Promise<T>): Promise<T> {
    const { timeout_ms } = this.#config.delivery
    const producer = (this.#producer ??= this.#connect())
    try {
      return await within(this.#clock, timeout_ms, run(producer))
    } catch (error) {
      if (!isAboutMessages(error)) await this.#drop()
      throw error
    }
  }

  #connect(): Client {
    const { brokers, tls, sasl, delivery } = this.#config
    const { timeout_ms } = delivery
    const addresses = brokers.map(brokerOf)
    const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
      clientId: 'weir', bootstrapBrokers: addresses, acks: ProduceAcks.ALL, idempotent: true, autocreateTopics: false,
      // The same partition for a key as Kafka's own client.
      partitioner: compatibilityPartitioner,
      retries: RETRIES, retryDelay: RETRY_MS, timeout: timeout_ms, connectTimeout: timeout_ms, requestTimeout: timeout_ms,
      // An address is no server name (RFC 6066 §3), and Node refuses it; the client has one rule for all brokers.
      ...(tls && { tls: {}, tlsServerName: addresses.every(({ host }) => isIP(host) === 0) }), ...(sasl !== null && { sasl }),
    })
    // A connection tells its first error to the client; a further one, with nobody to listen, would end the thread.
    const heard = ({ connection }: { readonly connection: Connection }): void => void connection.on('error', () => undefined)
    producer.on('client:broker:failed', heard)
    producer.on('client:broker:connect', (payload) => {
      heard(payload)
      this.#connections.add(payload.connection)
    })
    producer.on('client:broker:disconnect', ({ connection }) => void this.#connections.delete(connection))
    return producer
  }

  /** Connections are cut: a broker that does not read would hold them open. */
  async #drop(): Promise<void> {
    const producer = this.#producer
    this.#producer = null
    for (const { socket } of this.#connections) socket?.destroy()
    this.#connections.clear()
    await producer?.close(true).catch((error: unknown) => this.#log.debug('a client of Kafka could not be closed', { sink: this.#config.name, reason: String(error) }))
  }
}

function sizeOf({ key, value, headers }: Message): number {
  let bytes = MESSAGE_BYTES + (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, text] of headers as Map<Buffer, Buffer>) bytes += name.length + text.length + 2
  return bytes
}

/** @param text `host:port`, as the configuration has checked it */
function brokerOf(text: string): Broker {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}
