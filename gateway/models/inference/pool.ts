/**
 * The inference threads as the control thread owns them: one pool for the process. They start with the first model that is
 * loaded; each has every model that is placed there. One that dies is replaced, later each time, and loads its models again.
 */
import { extname } from 'node:path'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { InferenceConfig } from '../../../config/config.ts'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../plugin.ts'
import { Blame } from './blame.ts'
import type { FromInference, Link, ModelLoad } from './messages.ts'
import type { Measured } from './placement.ts'
import { InferenceWorker } from './worker.ts'

/** The same file as source and as built. */
const ENTRY = new URL(`../../threads/inference${extname(import.meta.url)}`, import.meta.url)
/** Waits before a dead thread is replaced, milliseconds: doubling, so that a model that kills it does not keep a core busy. */
const RESTART_MS = { first: 100, last: 30_000 } as const
/** Who lived this long, milliseconds, is replaced at once again. */
const HEALTHY_MS = 60_000
/** Threads that may die of other models during one load. */
const LOAD_ATTEMPTS = 3

export interface PoolDeps {
  readonly log: Log
  readonly clock: Clock
  readonly inference: InferenceConfig
  /** A model ended threads again and again and is served no more, until it is loaded again. @param reason in words, without a path */
  readonly unavailable?: (id: number, reason: string) => void
  /** For tests. */
  readonly entry?: URL
}

/** `ready` has all its models; `restarting` is dead and waits for its time. */
export type ThreadState = 'off' | 'starting' | 'ready' | 'restarting'

interface Slot {
  readonly index: number
  worker: InferenceWorker | null
  state: ThreadState
  started: number
  wait: number
}

interface Resident {
  readonly load: ModelLoad
  readonly measured: Measured
}

export class InferencePool {
  readonly #deps: PoolDeps
  readonly #slots: readonly Slot[]
  readonly #links = new Set<MessagePort>()
  /** Models that live on the threads: loaded again after a restart. */
  readonly #residents = new Map<number, Resident>()
  readonly #blame: Blame
  #closed = false
  #restarts = 0

  constructor(deps: PoolDeps) {
    this.#deps = deps
    this.#blame = new Blame(deps.clock)
    this.#slots = Array.from({ length: deps.inference.threads }, (_, index) => ({ index, worker: null, state: 'off', started: 0, wait: RESTART_MS.first }))
  }

  /** Deaths so far. */
  get restarts(): number {
    return this.#restarts
  }

  get threads(): readonly ThreadState[] {
    return this.#slots.map(({ state }) => state)
  }

  /** Whether any model needs the threads. */
  get needed(): boolean {
    return this.#residents.size > 0
  }

  /**
   * Loads and measures on one thread; a model that is placed here is then loaded by the others too. The outcome is that of the
   * slowest, an error of any is an error of all. A thread that dies of it is an outcome as well. Never rejects.
   */
  async load(load: ModelLoad): Promise<FromInference> {
    const { id } = load
    this.#absolve(id)
    const first = await this.#loadFirst(load)
    if ('error' in first || first.placement === 'inline') return first
    // From here on a thread that starts loads it by itself.
    this.#residents.set(id, { load: { ...load, placement: 'thread' }, measured: first.measured })
    for (const slot of this.#slots) if (slot.state === 'off') void this.#start(slot)
    const workers = this.#slots.map(({ worker }) => worker).filter((worker) => worker !== null)
    const outcomes = [first, ...(await Promise.all(workers.map((worker) => this.#loadResident(worker, id))))].filter((outcome) => outcome !== null)
    const bad = outcomes.find((outcome) => 'error' in outcome)
    if (bad === undefined) return { ...first, load_ms: Math.max(...outcomes.map(({ load_ms }) => load_ms)) }
    await this.unload(id)
    return bad
  }

  /** Releases a model on all threads, after the requests they have. For a model that is not there, at once. */
  async unload(id: number): Promise<void> {
    this.#absolve(id)
    await this.#release(id)
  }

  /** A port for one data thread, for its whole life; transfer it. The ways to the inference threads come through it, now and after each restart. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    this.#links.add(port1)
    port1.on('close', () => this.#links.delete(port1))
    port1.unref()
    for (const { worker, index, state } of this.#slots) if (state === 'ready') worker!.introduce(port1, index)
    for (const id of this.#blame.condemned) port1.postMessage({ type: 'unavailable', id } satisfies Link)
    return port2
  }

  /** Ends threads that have no models; the next load starts them again. */
  async rest(): Promise<void> {
    if (!this.needed) await this.#end()
  }

  /** Ends the threads, which keep the process alive until then. `connect` still works afterwards, but nothing will come through the ports. */
  async close(): Promise<void> {
    this.#closed = true
    for (const link of this.#links) link.close()
    await this.#end()
  }

  async #end(): Promise<void> {
    const workers = this.#slots.map(({ worker }) => worker)
    for (const slot of this.#slots) {
      slot.worker = null
      slot.state = 'off'
    }
    await Promise.all(workers.map((worker) => worker?.terminate()))
  }

  /** On any thread. One that dies of something else is no verdict on this model. */
  async #loadFirst(load: ModelLoad): Promise<FromInference> {
    for (let attempt = 0; attempt < LOAD_ATTEMPTS; attempt++) {
      const worker = this.#slots.find(({ state }) => state === 'ready')?.worker ?? this.#startAny()
      const outcome = await worker?.load({ ...load, measured: null })
      if (outcome != null) return outcome
    }
    return { id: load.id, error: 'the inference thread ended during the load', load_ms: 0 }
  }

  /** Without waiting for its time: a load is a wish of the operator. */
  #startAny(): InferenceWorker | null {
    const slot = this.#slots.find(({ worker }) => worker === null) ?? this.#slots[0]!
    void this.#start(slot)
    return slot.worker
  }

  async #start(slot: Slot): Promise<void> {
    if (this.#closed || slot.worker !== null) return
    const { log, clock, inference, entry } = this.#deps
    const worker = new InferenceWorker({
      entry: entry ?? ENTRY,
      intra_op_threads: inference.intra_op_threads,
      failed: (error) => log.error('an inference thread failed', { thread: slot.index, error: String(error) }),
      died: (blamed) => this.#died(slot, worker, blamed),
    })
    slot.worker = worker
    slot.state = 'starting'
    slot.started = clock.now()
    const loaded = new Set<number>()
    // The list may grow meanwhile.
    for (let id = this.#missing(loaded); id !== undefined; id = this.#missing(loaded)) {
      loaded.add(id)
      const outcome = await this.#loadResident(worker, id)
      if (slot.worker !== worker) return
      if (outcome !== null && 'error' in outcome) log.error('a model did not load again on an inference thread', { thread: slot.index, file: this.#residents.get(id)?.load.file ?? '', error: outcome.error })
    }
    slot.state = 'ready'
    for (const link of this.#links) worker.introduce(link, slot.index)
  }

  #missing(loaded: ReadonlySet<number>): number | undefined {
    return [...this.#residents.keys()].find((id) => !loaded.has(id))
  }

  #loadResident(worker: InferenceWorker, id: number): Promise<FromInference | null> {
    const { load, measured } = this.#residents.get(id)!
    return worker.load({ ...load, measured })
  }

  #died(slot: Slot, worker: InferenceWorker, blamed: number | null): void {
    if (slot.worker !== worker) return
    slot.worker = null
    slot.state = 'restarting'
    this.#restarts++
    const { clock, log } = this.#deps
    if (blamed !== null && this.#residents.has(blamed) && this.#blame.add(blamed)) this.#condemn(blamed)
    if (clock.now() - slot.started > HEALTHY_MS) slot.wait = RESTART_MS.first
    log.warn('an inference thread ended and is replaced', { thread: slot.index, after_ms: slot.wait, file: blamed === null ? '' : (this.#residents.get(blamed)?.load.file ?? '') })
    clock.after(slot.wait, () => {
      // The pool may rest since.
      if (slot.state === 'restarting') void this.#start(slot)
    })
    slot.wait = Math.min(slot.wait * 2, RESTART_MS.last)
  }

  #condemn(id: number): void {
    const { file } = this.#residents.get(id)!.load
    const reason = `its runs ended an inference thread ${this.#blame.limit} times in a row`
    this.#deps.log.error('a model is served no more until it is loaded again', { file, reason })
    void this.#release(id)
    for (const link of this.#links) link.postMessage({ type: 'unavailable', id } satisfies Link)
    this.#deps.unavailable?.(id, reason)
  }

  async #release(id: number): Promise<void> {
    if (this.#residents.delete(id)) await Promise.all(this.#slots.map(({ worker }) => worker?.unload(id)))
  }

  #absolve(id: number): void {
    if (this.#blame.clear(id)) for (const link of this.#links) link.postMessage({ type: 'available', id } satisfies Link)
  }
}
