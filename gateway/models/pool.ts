/** The inference thread as the control thread owns it: started when there is a model, replaced when it dies. */
import { extname } from 'node:path'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import type { FromInference, Link, ToInference } from './messages.ts'

/** The same file as source and as built. */
const ENTRY = new URL(`../threads/inference${extname(import.meta.url)}`, import.meta.url)
/** Waits before a dead thread is replaced, milliseconds: doubling, so that a model that kills it does not keep a core busy. */
const RESTART_MS = { first: 100, last: 30_000 } as const
/** Who lived this long, milliseconds, is replaced at once again. */
const HEALTHY_MS = 60_000

export interface PoolDeps {
  readonly log: Log
  readonly clock: Clock
  /** For tests. */
  readonly entry?: URL
}

type Load = Extract<ToInference, { type: 'load' }>

export class InferencePool {
  readonly #deps: PoolDeps
  readonly #links = new Set<MessagePort>()
  /** Models that live on the thread: loaded again after a restart. */
  readonly #residents: Load[] = []
  readonly #loading = new Map<number, (outcome: FromInference) => void>()
  #worker: Worker | null = null
  #closed = false
  #started = 0
  #wait: number = RESTART_MS.first
  /** Deaths so far. */
  restarts = 0

  constructor(deps: PoolDeps) {
    this.#deps = deps
  }

  /** Loads and measures; the model stays if it is placed there. A thread that dies of it is an outcome too. */
  async load(load: Load): Promise<FromInference> {
    if (this.#worker === null) await this.#restart()
    const outcome = this.#worker === null ? died(load.id) : await this.#post(this.#worker, load)
    if (!('error' in outcome) && outcome.placement === 'thread') this.#residents.push({ ...load, placement: 'thread' })
    return outcome
  }

  /** Whether any model needs the thread. */
  get needed(): boolean {
    return this.#residents.length > 0
  }

  /** A port for one data thread; transfer it. The way to the inference thread comes through it, now and after each restart. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    this.#links.add(port1)
    port1.on('close', () => this.#links.delete(port1))
    port1.unref()
    if (this.#worker !== null) this.#introduce(port1, this.#worker)
    return port2
  }

  /** Ends the thread, which keeps the process alive until then. `connect` still works afterwards, but nothing will come through the ports. */
  async close(): Promise<void> {
    this.#closed = true
    for (const link of this.#links) link.close()
    const worker = this.#worker
    this.#worker = null
    await worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(this.#deps.entry ?? ENTRY, { name: 'weir inference' })
    this.#started = this.#deps.clock.now()
    worker.on('message', (outcome: FromInference) => {
      this.#loading.get(outcome.id)?.(outcome)
      this.#loading.delete(outcome.id)
    })
    worker.on('error', (error) => this.#deps.log.error('the inference thread failed', { error: String(error) }))
    worker.on('exit', () => this.#died(worker))
    return worker
  }

  #post(worker: Worker, load: Load): Promise<FromInference> {
    return new Promise((resolve) => {
      this.#loading.set(load.id, resolve)
      worker.postMessage(load)
    })
  }

  #died(worker: Worker): void {
    if (this.#worker !== worker) return
    this.#worker = null
    for (const [id, resolve] of this.#loading) resolve(died(id))
    this.#loading.clear()
    if (this.#closed) return
    this.restarts++
    const { clock, log } = this.#deps
    if (clock.now() - this.#started > HEALTHY_MS) this.#wait = RESTART_MS.first
    log.warn('the inference thread ended and is replaced', { after_ms: this.#wait })
    clock.after(this.#wait, () => void this.#restart())
    this.#wait = Math.min(this.#wait * 2, RESTART_MS.last)
  }

  async #restart(): Promise<void> {
    if (this.#closed || this.#worker !== null) return
    const worker = (this.#worker = this.#start())
    for (const resident of this.#residents) {
      if (this.#worker !== worker) return
      const outcome = await this.#post(worker, resident)
      if ('error' in outcome) this.#deps.log.error('a model did not load again on the inference thread', { file: resident.file, error: outcome.error })
    }
    if (this.#worker === worker) for (const link of this.#links) this.#introduce(link, worker)
  }

  #introduce(link: MessagePort, worker: Worker): void {
    const { port1, port2 } = new MessageChannel()
    worker.postMessage({ type: 'connect', port: port2 } satisfies ToInference, [port2])
    link.postMessage({ port: port1 } satisfies Link, [port1])
  }
}

function died(id: number): FromInference {
  return { id, error: 'loading it ended the inference thread', load_ms: 0 }
}
