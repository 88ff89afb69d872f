/**
 * CloudEvents over HTTP: each event by itself in binary mode, or several as a JSON batch. At least once: what the receiver did not take
 * comes again, and what it took behind that is remembered until its turn comes, so that only a crash sends an event twice.
 *
 * Refused for good is an event that the receiver does not want (400, 413, 422, …). Credentials or a path that are wrong (401, 403, 404) say
 * nothing about the event and somebody will mend them: records wait in the spool until then, and the last error says why.
 */
import type { CloudEventsSinkConfig } from '../../../config/config.ts'
import { type Call, type Called, CallError, Calls } from '../../calls.ts'
import type { Clock } from '../../clock.ts'
import { retryAfter } from '../../stats/backoff.ts'
import type { LogRecord } from '../record.ts'
import type { Batch, Delivery, Sink, SinkDeps } from '../sink.ts'
import { binaryHeaders, type Event, eventsOf, jsonEvent } from './events.ts'

/** What a process that dies sends again at most, while one batch takes no more. */
const ROWS = 200
const BYTES = 8 << 20
/** Bytes of one JSON batch; an event that is larger goes alone. */
export const MAX_BATCH_BYTES = 1 << 20
/** 4xx that are about the moment or about what was configured, here or there; not about the event. */
const LATER = [401, 403, 404, 408, 429]
/** What whoever reads the last error can do about it. */
const MISCONFIGURED: Readonly<Record<number, string>> = { 401: ': check the credentials in `headers`', 403: ': check the credentials in `headers` and what they may do', 404: ': check the path of `cloudevents`' }

type Outcome = 'delivered' | 'rejected'

/** Events of one request. */
interface Parcel {
  readonly events: readonly Event[]
  readonly call: Call
}

export class CloudEventsSink implements Sink {
  readonly batch: Batch
  readonly #config: CloudEventsSinkConfig
  readonly #clock: Clock
  readonly #log: SinkDeps['log']
  readonly #calls: Calls
  readonly #path: string
  readonly #fields: readonly string[]
  /** What became of events whose records are not dealt with as a whole yet. */
  #known = new Map<string, Outcome>()
  /** The receiver asked not to be asked before, `clock.now()`. */
  #notBefore = 0

  constructor(config: CloudEventsSinkConfig, { clock, log }: SinkDeps) {
    this.#config = config
    this.#clock = clock
    this.#log = log
    this.batch = { rows: Math.max(ROWS, config.batch * config.delivery.connections), bytes: BYTES, wait_ms: config.batch === 1 ? 0 : config.rotate_ms }
    this.#calls = new Calls(config.url, config.delivery, clock)
    const { pathname, search } = new URL(config.url)
    this.#path = pathname + search
    this.#fields = Object.entries(config.headers).flat()
  }

  async open(): Promise<void> {
    // What the receiver has is the receiver's to know.
  }

  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    const wait = this.#notBefore - this.#clock.now()
    if (wait > 0) return { delivered: 0, rejected: 0, error: new Error(`the receiver asked to wait ${Math.ceil(wait / 1000)} s`) }
    const events = records.map((record) => eventsOf(record, this.#config))
    const keys = new Set(events.flat().map(({ key }) => key))
    this.#known = new Map([...this.#known].filter(([key]) => keys.has(key)))
    const error = await this.#sendAll(this.#parcels(events.flat().filter(({ key }) => !this.#known.has(key))))
    return this.#account(events, error)
  }

  async probe(): Promise<void> {
    await this.#calls.connect()
  }

  async close(): Promise<void> {
    await this.#calls.close()
  }

  // ---------------------------------------------------------------- what became of them

  /** Records are dealt with from the front, up to the first of which an event is open. */
  #account(events: readonly (readonly Event[])[], error: Error | null): Delivery {
    let [delivered, rejected] = [0, 0]
    for (const own of events) {
      if (!own.every(({ key }) => this.#known.has(key))) break
      if (own.some(({ key }) => this.#known.get(key) === 'rejected')) rejected++
      else delivered++
    }
    for (const { key } of events.slice(0, delivered + rejected).flat()) this.#known.delete(key)
    return { delivered, rejected, error: delivered + rejected === events.length ? null : (error ?? new Error('not all events were taken')) }
  }

  // ---------------------------------------------------------------- requests

  #parcels(events: readonly Event[]): Parcel[] {
    const { batch } = this.#config
    if (batch === 1) return events.map((event) => this.#binary(event))
    const parcels: Parcel[] = []
    let [group, texts, bytes]: [Event[], string[], number] = [[], [], 0]
    const close = () => {
      if (group.length > 0) parcels.push(this.#json(group, texts))
      ;[group, texts, bytes] = [[], [], 0]
    }
    for (const event of events) {
      const text = jsonEvent(event)
      if (group.length === batch || bytes + text.length > MAX_BATCH_BYTES) close()
      group.push(event)
      texts.push(text)
      bytes += text.length
    }
    close()
    return parcels
  }

  #binary(event: Event): Parcel {
    return { events: [event], call: { method: 'POST', path: this.#path, headers: [...this.#fields, ...binaryHeaders(event)], body: event.data ?? Buffer.alloc(0) } }
  }

  #json(events: readonly Event[], texts: readonly string[]): Parcel {
    const headers = [...this.#fields, 'content-type', 'application/cloudevents-batch+json; charset=UTF-8']
    return { events, call: { method: 'POST', path: this.#path, headers, body: Buffer.from(`[${texts.join(',')}]`) } }
  }

  /** Several at a time; after the first that must wait no further one begins. @returns why it must */
  async #sendAll(parcels: readonly Parcel[]): Promise<Error | null> {
    let next = 0
    let failure: Error | null = null
    const lane = async (): Promise<void> => {
      while (failure === null && next < parcels.length) {
        const error = await this.#send(parcels[next++]!)
        failure ??= error
      }
    }
    await Promise.all(Array.from({ length: Math.min(this.#config.delivery.connections, parcels.length) }, lane))
    return failure
  }

  /** @returns why it must be sent again; null: it is dealt with */
  async #send(parcel: Parcel): Promise<Error | null> {
    let answer: Called
    try {
      answer = await this.#calls.send(parcel.call)
    } catch (error) {
      if (!(error instanceof CallError) || error.kind !== 'invalid') return error as Error
      return this.#refused(parcel, error.message)
    }
    const { status } = answer
    if (status >= 200 && status < 300) return this.#settle(parcel, 'delivered')
    if (status < 400 || status >= 500 || LATER.includes(status)) return this.#later(answer)
    return this.#refused(parcel, `status ${status}`)
  }

  /** One event may spoil a batch: each is tried by itself before it is given up. */
  async #refused({ events }: Parcel, reason: string): Promise<Error | null> {
    if (events.length === 1) {
      this.#log.warn('the receiver refused an event for good', { sink: this.#config.name, event: events[0]!.key, reason })
      return this.#settle({ events }, 'rejected')
    }
    for (const event of events) {
      const error = await this.#send(this.#json([event], [jsonEvent(event)]))
      if (error !== null) return error
    }
    return null
  }

  #settle({ events }: Pick<Parcel, 'events'>, outcome: Outcome): null {
    for (const { key } of events) this.#known.set(key, outcome)
    return null
  }

  #later({ status, field }: Called): Error {
    const wait = retryAfter(field('retry-after'), field('date') ?? new Date(this.#clock.wall()).toUTCString()) ?? 0
    if (wait > 0) this.#notBefore = this.#clock.now() + Math.min(wait, this.#config.delivery.max_backoff_ms)
    return new Error(`the receiver answered ${status}${MISCONFIGURED[status] ?? ''}`)
  }
}
