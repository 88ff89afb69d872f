/** The data threads: started, replaced when they die (later each time, so that a crash loop stays harmless), counted. */
import type { Clock } from '../clock.ts'
import type { RegistryView } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import { Kept } from './kept.ts'
import { type ControlOrders, type DataOrders, Link, type ModelOrders, type Port } from './messages.ts'

/** A worker, as far as the crew needs it. */
export interface Spawned extends Port {
  on(event: 'message' | 'error' | 'exit', listener: (value: unknown) => void): unknown
  terminate(): Promise<unknown>
}

export interface DataThread {
  readonly index: number
  readonly link: Link<ControlOrders, DataOrders>
  /** It runs the current generation and listens. */
  serving: boolean
}

interface Member extends DataThread {
  readonly worker: Spawned
  readonly born: number
  view: RegistryView
}

export interface CrewOptions {
  readonly clock: Clock
  readonly log: Log
  spawn(index: number): Spawned
  share(key: string, bytes: number): SharedArrayBuffer
  /** What a thread asks for about models. */
  models(thread: number): ModelOrders
  /** A thread is dead: it holds nothing any more. */
  died(thread: number): void
  /** Makes a replacement serve. A rejection counts as its death. */
  raise(thread: DataThread): Promise<void>
}

const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 30_000
/** A thread that lived this long is no part of a crash loop. */
const STABLE_MS = 60_000

export class Crew {
  readonly #options: CrewOptions
  readonly #members = new Map<number, Member>()
  readonly #kept = new Kept()
  /** Deaths in a row, by index. */
  readonly #deaths = new Map<number, number>()
  #size = 0
  #closing = false
  #restarts = 0
  #lastDeath: string | null = null

  constructor(options: CrewOptions) {
    this.#options = options
  }

  /** How many there should be. */
  get size(): number {
    return this.#size
  }
  /** Threads that died and were, or will be, replaced. */
  get restarts(): number {
    return this.#restarts
  }
  /** Why the last one died. */
  get lastDeath(): string | null {
    return this.#lastDeath
  }

  /** Every thread that lives, in order; those that serve, or all. */
  threads(serving = true): DataThread[] {
    return [...this.#members.values()].filter((member) => member.serving || !serving).toSorted((a, b) => a.index - b.index)
  }

  views(): RegistryView[] {
    return [this.#kept.view(), ...[...this.#members.values()].map(({ view }) => view)]
  }

  /** Starts what is missing and ends what is too much. */
  resize(size: number): void {
    this.#size = size
    for (let index = 0; index < size; index++) if (!this.#members.has(index)) this.#spawn(index)
    for (const member of this.#members.values()) if (member.index >= size) this.#end(member)
  }

  /** Asks every serving thread. Rejections are in the results: a thread that dies meanwhile is no reason to forget the others. */
  each<K extends keyof DataOrders>(order: K, args: Parameters<DataOrders[K]>, timeout_ms: number): Promise<PromiseSettledResult<Awaited<ReturnType<DataOrders[K]>>>[]> {
    return Promise.allSettled(this.threads().map(({ link }) => link.ask(order, args, timeout_ms) as Promise<Awaited<ReturnType<DataOrders[K]>>>))
  }

  /** Gives a thread up: it will be replaced. */
  async giveUp(thread: DataThread): Promise<void> {
    await this.#members.get(thread.index)?.worker.terminate()
  }

  async close(): Promise<void> {
    this.#closing = true
    await Promise.all([...this.#members.values()].map(({ worker }) => worker.terminate()))
  }

  #spawn(index: number): Member {
    const { clock, spawn, share, models } = this.#options
    const worker = spawn(index)
    const link = new Link<ControlOrders, DataOrders>(worker, clock, {
      registry: async (view) => void (member.view = view),
      share: async (key, bytes) => share(key, bytes),
      ...models(index),
    })
    const member: Member = { index, worker, link, born: clock.now(), serving: false, view: { series: [], slabs: [] } }
    let reason = ''
    worker.on('error', (error) => (reason = describe(error)))
    worker.on('exit', (code) => this.#died(member, reason === '' ? `it ended with code ${String(code)}` : reason))
    this.#members.set(index, member)
    return member
  }

  #end(member: Member): void {
    this.#members.delete(member.index)
    void member.worker.terminate()
  }

  #died(member: Member, reason: string): void {
    member.link.gone(`data thread ${member.index} died: ${reason}`)
    this.#kept.add(member.view)
    this.#options.died(member.index)
    if (this.#closing || this.#members.get(member.index) !== member) return
    this.#members.delete(member.index)
    this.#restarts++
    this.#lastDeath = reason
    const deaths = this.#options.clock.now() - member.born >= STABLE_MS ? 1 : (this.#deaths.get(member.index) ?? 0) + 1
    this.#deaths.set(member.index, deaths)
    const delay_ms = Math.min(FIRST_DELAY_MS * 2 ** (deaths - 1), MAX_DELAY_MS)
    this.#options.log.error('a data thread died and is replaced', { thread: member.index, reason, deaths_in_a_row: deaths, replaced_in_ms: delay_ms })
    this.#options.clock.after(delay_ms, () => void this.#replace(member.index))
  }

  async #replace(index: number): Promise<void> {
    if (this.#closing || index >= this.#size || this.#members.has(index)) return
    const member = this.#spawn(index)
    try {
      await this.#options.raise(member)
      member.serving = true
      this.#options.log.info('a data thread serves again', { thread: index })
    } catch (error) {
      this.#options.log.error('a new data thread could not serve', { thread: index, reason: describe(error) })
      await member.worker.terminate()
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
