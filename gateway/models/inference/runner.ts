/**
 * What an inference thread does: holds models, takes requests from data threads, runs them one batch after the other. Between
 * two runs it reads its ports, so a request whose caller left is dropped before it costs anything.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Clock, Timer } from '../../clock.ts'
import type { Column } from '../../payload/columns.ts'
import { type Batch, type Job, type Part, Scheduler } from './batching.ts'
import type { Ask, FromInference, Told, ToInference } from './messages.ts'
import { Pace } from './pace.ts'
import { packed } from './packed.ts'
import { measure, place, whyThere } from './placement.ts'
import type { Session, SessionRun } from '../onnx/session.ts'
import { cut, join, rowsOf } from './slices.ts'
import { turn } from './turn.ts'

/** A slice of a large request takes about this long, milliseconds; then it is somebody else's turn. */
const SLICE_MS = 10

export interface RunnerOptions {
  readonly clock: Clock
  open(file: string): Promise<Session>
  /** See `InferenceData.busy`. */
  readonly busy: Int32Array
}

interface Held {
  readonly session: Session
  readonly pace: Pace
  /** Not answered yet. */
  readonly requests: Set<Request>
  /** Set while it is being unloaded: what is to happen after the last request. */
  idle: (() => void) | null
}

interface Request extends Job {
  readonly seq: number
  readonly port: MessagePort
  readonly inputs: readonly Column[]
  readonly outputs: readonly string[]
  /** Outputs of the slices so far, in order. */
  results: (readonly Column[])[]
  took_ms: number
  runs: number
  batch_rows: number
  /** It is answered, or nobody waits for it. */
  readonly over: () => void
}

export class Runner {
  readonly #options: RunnerOptions
  readonly #scheduler = new Scheduler<Request>()
  readonly #models = new Map<number, Held>()
  #working = false
  #timer: Timer | null = null
  /** Loads and runs, one after the other: they would only hold each other up, and whose fault a death is would be unknown. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  /** Keeps the model if it is placed here. Never rejects. */
  load(load: Extract<ToInference, { type: 'load' }>): Promise<FromInference> {
    return this.#exclusive(load.id, async () => {
      const { clock } = this.#options
      const began = clock.now()
      try {
        const session = await this.#options.open(load.file)
        const load_ms = clock.now() - began
        const measured = load.measured ?? measure(session, clock)
        const placement = place(load.placement, measured.run_us)
        if (placement === 'thread') this.#keep(load, session, new Pace(SLICE_MS, measured))
        else session.close()
        return { id: load.id, signature: session.signature, placement, why: whyThere(load.placement, measured.run_us), measured, load_ms }
      } catch (error) {
        return { id: load.id, error: text(error), load_ms: clock.now() - began }
      }
    })
  }

  /** Settles when its requests are answered and it is gone. */
  async unload(id: number): Promise<void> {
    await this.#last
    const held = this.#models.get(id)
    if (held === undefined || held.idle !== null) return
    await new Promise<void>((resolve) => {
      held.idle = resolve
      if (held.requests.size === 0) resolve()
    })
    this.#models.delete(id)
    this.#scheduler.close(id)
    held.session.close()
  }

  /** Requests come through this port, and their answers go back. */
  connect(port: MessagePort): void {
    const mine = new Map<number, Request>()
    port.on('message', (ask: Ask) => {
      if (ask.type === 'run') this.#ask(ask, port, mine)
      else this.#forget(mine.get(ask.seq))
    })
    port.on('close', () => {
      for (const request of mine.values()) this.#forget(request)
    })
  }

  #keep({ id, batching }: Extract<ToInference, { type: 'load' }>, session: Session, pace: Pace): void {
    this.#models.set(id, { session, pace, requests: new Set(), idle: null })
    this.#scheduler.open(id, { batching, pace })
  }

  #ask({ seq, id, inputs, outputs, at }: Extract<Ask, { type: 'run' }>, port: MessagePort, mine: Map<number, Request>): void {
    const held = this.#models.get(id)
    if (held === undefined || held.idle !== null) return port.postMessage({ seq, missing: true } satisfies Told)
    const rows = rowsOf(inputs)
    const request: Request = {
      seq, port, id, inputs, outputs, at,
      rows: rows ?? 0, key: rows === null || rows === 0 ? null : keyOf(inputs, outputs),
      from: 0, alone: false, results: [], took_ms: 0, runs: 0, batch_rows: 0,
      over: () => {
        mine.delete(seq)
        held.requests.delete(request)
        if (held.requests.size === 0) held.idle?.()
      },
    }
    mine.set(seq, request)
    held.requests.add(request)
    this.#scheduler.add(request)
    this.#wake()
  }

  /** What has begun runs on, and its result goes nowhere. */
  #forget(request: Request | undefined): void {
    if (request === undefined) return
    this.#scheduler.remove(request)
    request.over()
  }

  #wake(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (!this.#working) void this.#work()
  }

  async #work(): Promise<void> {
    this.#working = true
    for (;;) {
      await turn()
      const next = this.#scheduler.next(this.#options.clock.now())
      if (next === null || 'wait_ms' in next) {
        if (next !== null) this.#timer = this.#options.clock.after(next.wait_ms, () => this.#wake())
        break
      }
      await this.#exclusive(next.id, () => this.#run(next))
    }
    this.#working = false
  }

  async #run(batch: Batch<Request>): Promise<void> {
    const held = this.#models.get(batch.id)
    if (held === undefined) return
    const parts = batch.parts.filter(({ job }) => held.requests.has(job))
    try {
      if (parts.length > 0) this.#ran(held, parts, runParts(held.session, parts))
    } catch (error) {
      this.#failed(held, parts, text(error))
    }
    this.#scheduler.ended(batch, this.#options.clock.now())
  }

  #ran(held: Held, parts: readonly Part<Request>[], { columns, took_ms }: SessionRun): void {
    const rows = parts.reduce((sum, { from, to }) => sum + to - from, 0)
    const [{ job: first, from, to }] = parts as [Part<Request>]
    const whole = parts.length === 1 && from === 0 && to === first.rows
    if (!whole && rowsOf(columns) !== rows) return this.#dependent(held)
    held.pace.ran(rows, took_ms)
    let at = 0
    for (const part of parts) {
      const size = part.to - part.from
      const result = whole ? columns : cut(columns, at, at + size)
      at += size
      this.#gave(held, part, result, rows, took_ms)
    }
  }

  #gave(held: Held, { job, to }: Part<Request>, result: readonly Column[], rows: number, took_ms: number): void {
    // Its caller left during the run.
    if (!held.requests.has(job)) return
    job.results.push(result)
    job.took_ms += took_ms
    job.runs++
    job.batch_rows = Math.max(job.batch_rows, rows)
    if (to < job.rows) return
    const { columns, transfer } = packed(join(job.results), true)
    const queued_ms = Math.max(0, this.#options.clock.now() - job.at - job.took_ms)
    job.over()
    job.port.postMessage({ seq: job.seq, run: { columns, took_ms: job.took_ms, queued_ms, runs: job.runs, batch_rows: job.batch_rows } } satisfies Told, transfer)
  }

  /** With neighbours nobody knows whose fault it was: each is tried for itself, and only who fails again gets the error. */
  #failed(held: Held, parts: readonly Part<Request>[], error: string): void {
    const waiting = parts.filter(({ job }) => held.requests.has(job))
    if (parts.length > 1) return this.#scheduler.again(waiting)
    for (const { job } of waiting) {
      this.#forget(job)
      job.port.postMessage({ seq: job.seq, error } satisfies Told)
    }
  }

  /** The made-up rows at load were taken in, these are not: from now on every request of this model is one run. */
  #dependent(held: Held): void {
    held.pace.stop()
    for (const request of held.requests) request.results = []
    this.#scheduler.again([...held.requests].filter(({ from }) => from > 0).map((job) => ({ job, from: 0, to: job.rows })))
  }

  #exclusive<T>(id: number, task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(async () => {
      Atomics.store(this.#options.busy, 0, id + 1)
      try {
        return await task()
      } finally {
        Atomics.store(this.#options.busy, 0, 0)
      }
    })
    this.#last = done.catch(() => undefined)
    return done
  }
}

function runParts(session: Session, parts: readonly Part<Request>[]): SessionRun {
  const [first] = parts as [Part<Request>]
  const uncut = first.from === 0 && first.to === first.job.rows
  const inputs = parts.length === 1 && uncut ? first.job.inputs : join(parts.map(({ job, from, to }) => cut(job.inputs, from, to)))
  return session.run(inputs, first.job.outputs)
}

/** Outputs asked for, and shapes beyond the rows. Types are the model's. */
function keyOf(inputs: readonly Column[], outputs: readonly string[]): string {
  return JSON.stringify([outputs, inputs.map(({ shape }) => shape.slice(1))])
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
