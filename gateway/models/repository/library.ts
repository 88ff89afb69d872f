/**
 * The models that are loaded in this process, each once: generations that name the same file in the same way share it, so
 * a reload that changes nothing about a model loads nothing. It outlives generations; its inference threads do too.
 */
import type { MessagePort } from 'node:worker_threads'
import type { BatchingConfig } from '../../../config/config.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { FromInference, ModelLoad } from '../inference/messages.ts'
import { modelBytes } from '../onnx/outline.ts'
import type { Measured, Placement } from '../inference/placement.ts'
import { lookAt } from './folder.ts'
import type { Signature } from '../signature.ts'

/** Another load soon finds the inference threads still there, milliseconds. */
const REST_MS = 10_000

/** The inference threads, as far as the library needs them. */
export interface Pool {
  load(load: ModelLoad): Promise<FromInference>
  unload(id: number): Promise<void>
  connect(): MessagePort
  /** Ends threads that have no models. */
  rest(): Promise<void>
  readonly restarts: number
  close(): Promise<void>
}

/** Two of the same are one load. */
export interface LoadRequest {
  /** Absolute. */
  readonly file: string
  /** What the file looked like when it was decided to load it (`lookAt`). */
  readonly fingerprint: string
  readonly placement: 'auto' | Placement
  readonly batching: BatchingConfig | null
}

/** Plain data, the same object for everyone who shares the load. */
export interface Loaded {
  /** Never used again in this process. */
  readonly id: number
  readonly request: LoadRequest
  readonly signature: Signature
  readonly placement: Placement
  readonly why: string
  readonly measured: Measured
  /** Of its files. */
  readonly bytes: number
  readonly load_ms: number
  /** Unix milliseconds. */
  readonly loaded_at: number
}

/** @property error in the library's words */
export interface NotLoaded {
  readonly error: string
  readonly load_ms: number
}

interface Held {
  readonly key: string
  readonly outcome: Promise<Loaded | NotLoaded>
  users: number
}

export class Library {
  readonly #pool: Pool
  readonly #clock: Clock
  /** What may be shared. */
  readonly #byKey = new Map<string, Held>()
  readonly #byId = new Map<number, Held>()
  readonly #unavailable = new Map<number, string>()
  #next = 1
  #loading = 0
  #resting: Timer | null = null
  /** Files loaded so far. */
  loads = 0

  /** @param pool made with what it is to call when a model turned out to kill its threads */
  constructor(pool: (unavailable: (id: number, reason: string) => void) => Pool, clock: Clock) {
    this.#pool = pool((id, reason) => void (this.#byId.has(id) && this.#unavailable.set(id, reason)))
    this.#clock = clock
  }

  /** Models that are loaded. */
  get size(): number {
    return this.#byId.size
  }

  /** Why a model that is loaded runs no more, or null. */
  unavailable({ id }: Loaded): string | null {
    return this.#unavailable.get(id) ?? null
  }

  get restarts(): number {
    return this.#pool.restarts
  }

  /** A port for one data thread; transfer it. */
  connect(): MessagePort {
    return this.#pool.connect()
  }

  /** Loads, or shares what is loaded and runs. One `giveBack` belongs to every `Loaded`. Never rejects for a bad model. */
  async take(request: LoadRequest): Promise<Loaded | NotLoaded> {
    const key = keyOf(request)
    const held = this.#byKey.get(key) ?? { key, outcome: this.#load(request), users: 0 }
    this.#byKey.set(key, held)
    held.users++
    const outcome = await held.outcome
    if ('error' in outcome) {
      // A failure is remembered by whoever asked; here it would only keep the next try from happening.
      if (this.#byKey.get(key) === held) this.#byKey.delete(key)
      return outcome
    }
    if (this.#unavailable.has(outcome.id)) {
      held.users--
      this.#byKey.delete(key)
      return this.take(request)
    }
    this.#byId.set(outcome.id, held)
    return outcome
  }

  /** One user more of what is held. */
  share({ id }: Loaded): void {
    this.#byId.get(id)!.users++
  }

  /** Unloads when nobody shares it any more. */
  async giveBack({ id }: Loaded): Promise<void> {
    const held = this.#byId.get(id)
    if (held === undefined || --held.users > 0) return
    this.#byId.delete(id)
    this.#unavailable.delete(id)
    if (this.#byKey.get(held.key) === held) this.#byKey.delete(held.key)
    await this.#pool.unload(id)
    this.#restLater()
  }

  close(): Promise<void> {
    this.#resting?.cancel()
    return this.#pool.close()
  }

  /** Ends the inference threads if no model is placed there: all that ran on them was measurements. */
  #restLater(): void {
    this.#resting?.cancel()
    this.#resting = this.#clock.after(REST_MS, () => {
      if (this.#loading === 0) void this.#pool.rest()
    })
  }

  async #load(request: LoadRequest): Promise<Loaded | NotLoaded> {
    this.#loading++
    try {
      return await this.#loadNow(request)
    } finally {
      this.#loading--
      this.#restLater()
    }
  }

  async #loadNow(request: LoadRequest): Promise<Loaded | NotLoaded> {
    const id = this.#next++
    this.loads++
    const { file, fingerprint, placement, batching } = request
    const outcome = await this.#pool.load({ id, file, placement, batching })
    if ('error' in outcome) return { error: outcome.error, load_ms: outcome.load_ms }
    if ((await lookAt(file)).fingerprint !== fingerprint) {
      await this.#pool.unload(id)
      return { error: 'it changed while it was being loaded', load_ms: outcome.load_ms }
    }
    const { signature, placement: placed, why, measured, load_ms } = outcome
    return { id, request, signature, placement: placed, why, measured, bytes: modelBytes(file), load_ms, loaded_at: this.#clock.wall() }
  }
}

function keyOf({ file, fingerprint, placement, batching }: LoadRequest): string {
  return JSON.stringify([file, fingerprint, placement, batching?.max_rows, batching?.max_wait_ms])
}
