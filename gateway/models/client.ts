/** The inference thread as a data thread sees it. */
import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import { WeirError } from '../errors.ts'
import type { Leg } from '../exchange.ts'
import type { Column } from '../payload/columns.ts'
import { type ModelHost, type Run, Waiting } from './host.ts'
import type { Ask, Link, Told } from './messages.ts'

/** Requests of one data thread that wait or run; more are answered 503 at once. With a model of 30 ms the last waits two seconds. */
export const MAX_WAITING = 64
/** How long a data thread waits for its first way to the inference thread, milliseconds. */
const CONNECT_MS = 5000

export class InferenceClient {
  readonly #link: MessagePort
  readonly #waiting = new Map<number, Waiting<Run>>()
  readonly #connected = Promise.withResolvers<void>()
  #port: MessagePort | null = null
  #seq = 0

  /** @param link to the control thread, which sends a new port whenever the inference thread was replaced */
  constructor(link: MessagePort) {
    this.#link = link
    link.on('message', ({ port }: Link) => this.#attach(port))
    link.unref()
  }

  get ready(): boolean {
    return this.#port !== null
  }

  /** Settles once connected, or after a while without. */
  async connected(clock: Clock): Promise<void> {
    const timer = clock.after(CONNECT_MS, this.#connected.resolve)
    await this.#connected.promise
    timer.cancel()
  }

  host(id: number): ModelHost {
    return new RemoteHost(this, id)
  }

  close(): void {
    this.#link.close()
    this.#port?.close()
  }

  #attach(port: MessagePort): void {
    this.#port = port
    port.on('message', (told: Told) => this.#told(told))
    port.on('close', () => this.#lost(port))
    port.unref()
    this.#connected.resolve()
  }

  /** See `ModelHost.run`. */
  async run(id: number, inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    const port = this.#port
    if (port === null) throw soon(new WeirError('MODEL_NOT_READY', 'the inference thread is being restarted'))
    if (this.#waiting.size >= MAX_WAITING) throw soon(new WeirError('OVERLOADED', `${MAX_WAITING} requests wait for slow models already`))
    const seq = ++this.#seq
    const waiting = new Waiting<Run>(leg, () => {
      this.#waiting.delete(seq)
      port.postMessage({ type: 'drop', seq } satisfies Ask)
    })
    if (!waiting.over) {
      this.#waiting.set(seq, waiting)
      port.postMessage({ type: 'run', seq, id, inputs: inputs.map(trimmed), outputs } satisfies Ask)
    }
    return waiting.promise
  }

  #told(told: Told): void {
    const waiting = this.#waiting.get(told.seq)
    if (waiting === undefined) return
    this.#waiting.delete(told.seq)
    if ('error' in told) waiting.reject(new Error(told.error))
    else waiting.resolve(told.run)
  }

  #lost(port: MessagePort): void {
    if (this.#port !== port) return
    this.#port = null
    const lost = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const waiting of lost) waiting.reject(soon(new WeirError('MODEL_NOT_READY', 'the inference thread was lost during the run')))
  }
}

class RemoteHost implements ModelHost {
  readonly #client: InferenceClient
  readonly #id: number

  constructor(client: InferenceClient, id: number) {
    this.#client = client
    this.#id = id
  }

  get ready(): boolean {
    return this.#client.ready
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

/** Posting a view copies all of the buffer behind it. */
function trimmed(column: Column): Column {
  const { data } = column
  const { name, dtype, shape } = column
  return { name, dtype, shape, data: Array.isArray(data) || data.byteLength === data.buffer.byteLength ? data : data.slice() }
}
