/**
 * What the control thread and the data threads say to each other: orders with an answer, by number and with a timeout,
 * and notes without one. Everything is plain data (structured clone); metric cells travel once, as shared memory.
 */
import type { Address, BuildIssue, Config, ListenConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { RegistryView } from '../metrics.ts'

/** What a data thread does when told; every one answers. */
export interface Orders {
  /** Build a generation beside the running one. @returns problems; empty = it is ready to commit */
  prepare(config: Config): Promise<BuildIssue[]>
  /** Make the prepared generation the running one. */
  commit(): Promise<void>
  /** Throw the prepared generation away; harmless when there is none. */
  discard(): Promise<void>
  /** Open these; port 0 is answered by the port that was given. */
  listen(listen: readonly ListenConfig[], reusePort: boolean): Promise<Address[]>
  /** From now on answers carry `connection: close`, and idle connections are closed. */
  drain(): Promise<void>
  /** Accept no more. Answers once nothing is in flight. */
  stop(): Promise<void>
  /** Close every connection now. @returns how many exchanges were cut */
  cut(): Promise<number>
  /** What is under way. */
  load(): Promise<Load>
  /** State of the HTTP backends, by name. */
  backends(): Promise<Readonly<Record<string, unknown>>>
  /** Calls an admin route of a plugin. @returns undefined inside when there is no such route */
  plugin(call: PluginCall): Promise<{ readonly found: boolean; readonly value: unknown; readonly error: string | null }>
}

export interface Load {
  readonly connections: number
  readonly in_flight: number
}

export interface PluginCall {
  readonly route: string
  readonly plugin: string
  /** `GET /state` */
  readonly key: string
  /** Query without the `?`. */
  readonly query: string
  readonly body: unknown
}

type Order = keyof Orders
interface Ask {
  readonly ask: Order
  readonly id: number
  readonly args: readonly unknown[]
}
interface Reply {
  readonly reply: number
  readonly value?: unknown
  readonly error?: string
}
/** The series of a data thread changed: here is all of them. */
interface RegistryNote {
  readonly registry: RegistryView
}
type FromControl = Ask
type FromData = Reply | RegistryNote

/** The part of a worker or its port that is needed here. */
export interface Port {
  postMessage(message: unknown): void
  on(event: 'message', listener: (message: never) => void): unknown
}

/** An order that was not answered: the thread died, or hangs. */
export class ThreadGone extends Error {}

interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

/** The control thread's end: one a data thread. */
export class Remote {
  readonly #port: Port
  readonly #clock: Clock
  readonly #waiting = new Map<number, Waiting>()
  #next = 1
  #gone: ThreadGone | null = null

  constructor(port: Port, clock: Clock, registry: (view: RegistryView) => void) {
    this.#port = port
    this.#clock = clock
    port.on('message', (message: FromData) => ('registry' in message ? registry(message.registry) : 'reply' in message ? this.#settle(message) : undefined))
  }

  /** @throws ThreadGone when the thread dies or does not answer in `timeout_ms` */
  ask<K extends Order>(order: K, args: Parameters<Orders[K]>, timeout_ms: number): ReturnType<Orders[K]> {
    const { promise, resolve, reject } = Promise.withResolvers<never>()
    if (this.#gone !== null) reject(this.#gone)
    else {
      const id = this.#next++
      const late = (): void => this.#settle({ reply: id, error: `no answer to "${order}" within ${timeout_ms} ms` })
      this.#waiting.set(id, { resolve, reject, timer: this.#clock.after(timeout_ms, late) })
      this.#port.postMessage({ ask: order, id, args } satisfies FromControl)
    }
    return promise as unknown as ReturnType<Orders[K]>
  }

  /** Whoever waits for an answer gets this instead. */
  gone(why: string): void {
    this.#gone = new ThreadGone(why)
    for (const id of [...this.#waiting.keys()]) this.#settle({ reply: id, error: why })
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.reply)
    if (waiting === undefined) return
    this.#waiting.delete(reply.reply)
    waiting.timer.cancel()
    if (reply.error === undefined) waiting.resolve(reply.value as never)
    else waiting.reject(new ThreadGone(reply.error))
  }
}

/** The data thread's end: answers orders in the order of their arrival, without waiting for one before the next. */
export function serveOrders(port: Port, orders: Orders): void {
  port.on('message', (message: FromControl) => {
    const run = orders[message.ask] as (...args: readonly unknown[]) => Promise<unknown>
    const answer = (reply: FromData): void => port.postMessage(reply)
    run(...message.args).then(
      (value) => answer({ reply: message.id, value }),
      (error: unknown) => answer({ reply: message.id, error: error instanceof Error ? error.message : String(error) }),
    )
  })
}

export function postRegistry(port: Port, view: RegistryView): void {
  port.postMessage({ registry: view } satisfies FromData)
}
