/** The inference threads as a data thread sees them: one client for its whole life. */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../../clock.ts'
import { WeirError } from '../../errors.ts'
import type { Leg } from '../../exchange.ts'
import type { Column } from '../../payload/columns.ts'
import { type ModelHost, type Run, Waiting } from './host.ts'
import type { Ask, Link, Told } from './messages.ts'
import { packed } from './packed.ts'

/** How long a data thread waits for its first way to an inference thread, milliseconds. */
const CONNECT_MS = 5000

export interface ClientOptions {
  readonly clock: Clock
  /** Most requests that wait for inference threads or run there; more are answered 503 at once. */
  readonly queue: number
}

/** One inference thread and what it owes us. */
interface Way {
  readonly port: MessagePort
  readonly waiting: Map<number, Waiting<Run>>
}

export class InferenceClient {
  readonly #link: MessagePort
  readonly #options: ClientOptions
  /** By the number of the inference thread. */
  readonly #ways = new Map<number, Way>()
  readonly #unavailable = new Set<number>()
  #connected = Promise.withResolvers<void>()
  #seq = 0

  /** @param link of `InferencePool.connect`: the ways to the inference threads come through it */
  constructor(link: MessagePort, options: ClientOptions) {
    this.#link = link
    this.#options = options
    link.on('message', (message: Link) => this.#linked(message))
    link.unref()
  }

  /** Requests that wait or run, on all inference threads. */
  get waiting(): number {
    let sum = 0
    for (const { waiting } of this.#ways.values()) sum += waiting.size
    return sum
  }

  /** Settles once there is a way to any inference thread, or after a while without. */
  async connected(): Promise<void> {
    if (this.#ways.size > 0) return
    const timer = this.#options.clock.after(CONNECT_MS, this.#connected.resolve)
    await this.#connected.promise
    timer.cancel()
  }

  host({ id }: { readonly id: number }): ModelHost {
    return new RemoteHost(this, id)
  }

  /** Whether a model can be asked now. */
  ready(id: number): boolean {
    return this.#ways.size > 0 && !this.#unavailable.has(id)
  }

  close(): void {
    this.#link.close()
    for (const { port } of this.#ways.values()) port.close()
  }

  /** See `ModelHost.run`. */
  async run(id: number, inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    const way = this.#choose(id)
    const seq = ++this.#seq
    const waiting = new Waiting<Run>(leg, () => {
      way.waiting.delete(seq)
      way.port.postMessage({ type: 'drop', seq } satisfies Ask)
    })
    if (!waiting.over) {
      way.waiting.set(seq, waiting)
      const { columns, transfer } = packed(inputs, false)
      way.port.postMessage({ type: 'run', seq, id, inputs: columns, outputs, at: this.#options.clock.now() } satisfies Ask, transfer)
    }
    return waiting.promise
  }

  /** The inference thread with the fewest requests of this data thread. */
  #choose(id: number): Way {
    const { queue } = this.#options
    if (this.#unavailable.has(id)) throw new WeirError('MODEL_NOT_READY', 'the model has ended its inference thread too often and is served no more until it is loaded again')
    let best: Way | null = null
    let sum = 0
    for (const way of this.#ways.values()) {
      sum += way.waiting.size
      if (best === null || way.waiting.size < best.waiting.size) best = way
    }
    if (best === null) throw soon(new WeirError('MODEL_NOT_READY', 'the inference thread is being restarted'))
    if (sum >= queue) throw soon(new WeirError('OVERLOADED', `${queue} requests wait for slow models already`))
    return best
  }

  #linked(message: Link): void {
    if (message.type === 'unavailable') this.#unavailable.add(message.id)
    else if (message.type === 'available') this.#unavailable.delete(message.id)
    else this.#attach(message.thread, message.port)
  }

  #attach(thread: number, port: MessagePort): void {
    const way: Way = { port, waiting: new Map() }
    const before = this.#ways.get(thread)
    this.#ways.set(thread, way)
    // The end of the old thread may be heard of after the start of the new one.
    if (before !== undefined) fail(before)
    port.on('message', (told: Told) => answer(way, told))
    port.on('close', () => {
      fail(way)
      if (this.#ways.get(thread) === way) this.#lost(thread)
    })
    port.unref()
    this.#connected.resolve()
  }

  #lost(thread: number): void {
    this.#ways.delete(thread)
    if (this.#ways.size === 0) this.#connected = Promise.withResolvers()
  }
}

function answer({ waiting }: Way, told: Told): void {
  const one = waiting.get(told.seq)
  if (one === undefined) return
  waiting.delete(told.seq)
  if ('run' in told) one.resolve(told.run)
  else if ('error' in told) one.reject(new Error(told.error))
  else one.reject(soon(new WeirError('MODEL_NOT_READY', 'the model is not on its inference thread')))
}

function fail({ waiting }: Way): void {
  const lost = [...waiting.values()]
  waiting.clear()
  for (const one of lost) one.reject(soon(new WeirError('MODEL_NOT_READY', 'the inference thread was lost during the run')))
}

class RemoteHost implements ModelHost {
  readonly #client: InferenceClient
  readonly #id: number

  constructor(client: InferenceClient, id: number) {
    this.#client = client
    this.#id = id
  }

  get ready(): boolean {
    return this.#client.ready(this.#id)
  }

  run(inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    return this.#client.run(this.#id, inputs, outputs, leg)
  }

  /** The session belongs to the control thread. */
  async close(): Promise<void> {}
}

function soon(error: WeirError): WeirError {
  error.retryAfter = 1
  return error
}
