/**
 * What the control thread and the data threads say to each other: orders with an answer, by number and with a timeout.
 * Everything is plain data (structured clone); metric cells and shared state travel once, as shared memory.
 */
import type { MessagePort, Transferable } from 'node:worker_threads'
import type { Address, BuildIssue, Config, ListenConfig, SinkConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import type { RegistryView } from '../metrics.ts'
import type { SinkReport } from '../records/shipper.ts'
import type { Raised } from '../telemetry/alarms.ts'
import type { EndpointState } from '../upstream/state.ts'
import type { ModelsDescription } from '../models/description.ts'
import type { OpenFailure } from '../models/models.ts'
import type { IndexEntry, ModelCounts, Refusal } from '../models/operator.ts'

/** What a data thread does when told. */
export type DataOrders = {
  /** Build a generation beside the running one. @returns problems; none = it is ready to commit */
  prepare(config: Config, models: ModelGrant | null, records: RecordsGrant | null): Promise<BuildIssue[]>
  /** Make the prepared generation the running one. */
  commit(): Promise<void>
  /** Throw the prepared generation away; harmless when there is none. */
  discard(): Promise<void>
  /** Open these; port 0 is answered by the port that was given. */
  listen(listen: readonly ListenConfig[], reusePort: boolean): Promise<Address[]>
  /** From now on answers carry `connection: close`, and idle connections are closed. */
  drain(): Promise<void>
  /** Accept no more; answers once nothing is under way. */
  stop(): Promise<void>
  /** Close every connection now. @returns how many exchanges were cut */
  cut(): Promise<number>
  load(): Promise<Load>
  /** State of the endpoints of every HTTP backend, by name. */
  backends(): Promise<Readonly<Record<string, readonly EndpointState[]>>>
  /** The last alarms that monitors of this thread raised, the newest last. */
  alarms(): Promise<readonly Raised[]>
  /** Calls an admin route of a plugin. */
  plugin(call: PluginCall): Promise<PluginAnswer>
  /**
   * The models of a grant are these now. Answers once they are open and shown; what left the list is told of later, by
   * `settled`. A grant that is not here any more is no error.
   * @returns what did not open here
   */
  models(grant: number, revision: number, description: ModelsDescription): Promise<readonly OpenFailure[]>
  /** One answer of what the threads said to the same call, as the plugin wants them put together. */
  merge(call: PluginCall, parts: readonly unknown[]): Promise<unknown>
}

/** What the control thread does when a data thread asks. */
export type ControlOrders = ModelOrders & {
  /** The series of this thread changed: here are all of them. */
  registry(view: RegistryView): Promise<void>
  /** Zeroed memory that every thread which asks by this key gets. */
  share(key: string, bytes: number): Promise<SharedArrayBuffer>
}

export type ModelOrders = {
  /** This thread has let go of these models. */
  release(grant: number): Promise<void>
  /** This thread has let go of everything that is not in this revision of a grant: the last run of it is over. */
  settled(grant: number, revision: number): Promise<void>
  /** Of the running configuration; see `Operator`. */
  modelIndex(): Promise<readonly IndexEntry[]>
  /** Loads or unloads a model, all its versions. @returns null, or why not */
  repository(action: 'load' | 'unload', name: string): Promise<Refusal | null>
  modelCounts(): Promise<readonly ModelCounts[]>
}

/** The models of one generation: what they are, and the way to those that run on inference threads. */
export interface ModelGrant {
  /** Given back by `release` when the generation is gone. */
  readonly id: number
  /** How often the list has changed. */
  readonly revision: number
  readonly description: ModelsDescription
  /** The thread's way to the inference threads, for all generations; transferred with the first grant that it gets, null later. */
  readonly port: MessagePort | null
}

/** Where the sinks of one configuration have their spools. */
export interface RecordsGrant extends RecordsData {
  /** The counts, by sink; for good, whatever comes and goes. */
  readonly cells: Readonly<Record<string, SharedArrayBuffer>>
}

/** What the records thread starts with. */
export interface RecordsData {
  /** The folder of all spools. */
  readonly spool: string
  /** Names this process among those that ever had the folder. */
  readonly boot: string
}

/** What the records thread does when told. */
export type RecordsOrders = {
  /** These are the sinks now. */
  configure(sinks: readonly { readonly config: SinkConfig; readonly cells: SharedArrayBuffer }[]): Promise<void>
  report(): Promise<readonly SinkReport[]>
  /** The data threads are gone: answers once everything is delivered, or the time is over. */
  finish(deadline_ms: number): Promise<void>
}

/** What the control thread does when the records thread asks. */
export type RecordsKeeperOrders = {
  registry(view: RegistryView): Promise<void>
}

export interface Load {
  readonly connections: number
  readonly in_flight: number
}

export interface PluginCall {
  readonly route: string
  readonly plugin: string
  readonly method: 'GET' | 'POST'
  /** With its leading slash. */
  readonly path: string
  /** Without the `?`. */
  readonly query: string
  readonly body: unknown
}

export type PluginAnswer =
  | { readonly kind: 'value'; readonly value: unknown }
  /** No such route, plugin or path. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'method'; readonly allow: readonly string[] }

// ---------------------------------------------------------------- the link

type Table = Record<string, (...args: never[]) => Promise<unknown>>
type Message =
  | { readonly ask: string; readonly id: number; readonly args: readonly unknown[] }
  | { readonly reply: number; readonly value: unknown }
  | { readonly reply: number; readonly error: string }

/** The part of a worker, or of its parent's port, that is needed here. */
export interface Port {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void
  on(event: 'message', listener: (message: unknown) => void): unknown
}

/** An order was not carried out: the other side failed, died, or did not answer in time. */
export class LinkError extends Error {}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: LinkError) => void
  readonly timer: Timer
}

/** One end: carries out `Mine`, asks for `Theirs`. Orders begin as they arrive; none waits for the one before it. */
export class Link<Mine extends Table, Theirs extends Table> {
  readonly #port: Port
  readonly #clock: Clock
  readonly #mine: Mine
  readonly #waiting = new Map<number, Waiting>()
  #next = 1
  #gone: string | null = null

  constructor(port: Port, clock: Clock, mine: Mine) {
    this.#port = port
    this.#clock = clock
    this.#mine = mine
    port.on('message', (message) => this.#received(message as Message))
  }

  /** @throws LinkError when the other side fails, is gone, or does not answer in `timeout_ms` */
  ask<K extends keyof Theirs & string>(order: K, args: Parameters<Theirs[K]>, timeout_ms: number, transfer: readonly Transferable[] = []): ReturnType<Theirs[K]> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    if (this.#gone !== null) reject(new LinkError(this.#gone))
    else {
      const id = this.#next++
      const late = (): void => this.#settle({ reply: id, error: `no answer to "${order}" within ${timeout_ms} ms` })
      this.#waiting.set(id, { resolve, reject, timer: this.#clock.after(timeout_ms, late) })
      this.#port.postMessage({ ask: order, id, args } satisfies Message, transfer)
    }
    return promise as ReturnType<Theirs[K]>
  }

  /** The other side is dead: whoever waits, or asks later, gets this instead of an answer. */
  gone(why: string): void {
    this.#gone = why
    for (const id of [...this.#waiting.keys()]) this.#settle({ reply: id, error: why })
  }

  #received(message: Message): void {
    if ('ask' in message) this.#carryOut(message)
    else this.#settle(message)
  }

  #carryOut({ ask, id, args }: Extract<Message, { ask: string }>): void {
    const answer = (message: Message): void => this.#port.postMessage(message)
    this.#mine[ask]!(...(args as never[])).then(
      (value) => answer({ reply: id, value }),
      (error: unknown) => answer({ reply: id, error: error instanceof Error ? error.message : String(error) }),
    )
  }

  #settle(message: Extract<Message, { reply: number }>): void {
    const waiting = this.#waiting.get(message.reply)
    if (waiting === undefined) return
    this.#waiting.delete(message.reply)
    waiting.timer.cancel()
    if ('error' in message) waiting.reject(new LinkError(message.error))
    else waiting.resolve(message.value)
  }
}
