/**
 * Which requests run next, and together. Pure: it knows neither threads nor models, time is told to it.
 *
 * - Models take turns (round robin over those that have requests), so that a busy one starves no other.
 * - In a model, the oldest request is first. Requests with the same key (outputs asked for, shapes beyond the rows) join it
 *   whole, in the order they came, as long as `max_rows` and the pace of the model allow.
 * - A request of more rows is cut, and between two of its slices it goes to the end of its queue.
 * - A request that comes alone never waits. A batch waits for more rows only when the last two batches of its model both had
 *   several callers and more rows than this one has now: then callers come in waves, and the rest of this one is on its way.
 *   It waits until it is as large as the smaller of these two, and no longer than `max_wait_ms` after the first of its
 *   requests came or the last run ended, whichever was earlier. One wait in vain makes a small batch, and the next one does not wait.
 */
import type { BatchingConfig } from '../../../config/config.ts'
import type { Pace } from './pace.ts'

export interface Job {
  /** The model. */
  readonly id: number
  /** Jobs of the same model with the same key may be one run; null: neither joined nor cut. */
  readonly key: string | null
  readonly rows: number
  /** When it came, milliseconds. */
  readonly at: number
  /** Rows before this one have been given to runs. */
  from: number
  /** It was in a run that failed: it shares none any more. */
  alone: boolean
}

/** Rows `from` up to `to` of a job. */
export interface Part<J> {
  readonly job: J
  readonly from: number
  readonly to: number
}

export interface Batch<J> {
  readonly id: number
  readonly parts: readonly Part<J>[]
  readonly rows: number
}

export interface LaneOptions {
  readonly batching: BatchingConfig | null
  readonly pace: Pace
}

export class Scheduler<J extends Job> {
  readonly #lanes = new Map<number, Lane<J>>()
  /** The model whose turn is next is the first. */
  #order: Lane<J>[] = []

  open(id: number, options: LaneOptions): void {
    const lane = new Lane<J>(id, options)
    this.#lanes.set(id, lane)
    this.#order.push(lane)
  }

  /** Its jobs, if there are any, run no more. */
  close(id: number): void {
    this.#lanes.delete(id)
    this.#order = this.#order.filter((lane) => lane.id !== id)
  }

  add(job: J): void {
    this.#lanes.get(job.id)?.queue.push(job)
  }

  remove(job: J): void {
    const queue = this.#lanes.get(job.id)?.queue
    const at = queue?.indexOf(job) ?? -1
    if (at >= 0) queue!.splice(at, 1)
  }

  /** A batch; or how long to wait for one; or null when there is nothing to do. Its rows count as given to a run. */
  next(now: number): Batch<J> | { readonly wait_ms: number } | null {
    let wait_ms = Infinity
    for (let i = 0; i < this.#order.length; i++) {
      const lane = this.#order.shift()!
      this.#order.push(lane)
      const candidate = lane.candidate()
      if (candidate === null) continue
      const wait = lane.wait(candidate, now)
      if (wait <= 0) return lane.take(candidate)
      wait_ms = Math.min(wait_ms, wait)
    }
    return wait_ms === Infinity ? null : { wait_ms }
  }

  /** The run of a batch is over, well or badly. */
  ended(batch: Batch<J>, now: number): void {
    this.#lanes.get(batch.id)?.ended(batch, now)
  }

  /** These rows have no result: they run again, first of all, each for itself. */
  again(parts: readonly Part<J>[]): void {
    for (const { job, from } of parts.toReversed()) {
      this.remove(job)
      job.from = from
      job.alone = true
      this.#lanes.get(job.id)?.queue.unshift(job)
    }
  }
}

/** Batches that are remembered. */
const RECENT = 2

class Lane<J extends Job> {
  readonly id: number
  queue: J[] = []
  readonly #batching: BatchingConfig | null
  readonly #pace: Pace
  /** Rows of the last batches; 0 for one that had a single caller. */
  #recent: number[] = []
  #ended = -Infinity

  constructor(id: number, { batching, pace }: LaneOptions) {
    this.id = id
    this.#batching = batching
    this.#pace = pace
  }

  /** What would run now. */
  candidate(): Batch<J> | null {
    const [first] = this.queue
    if (first === undefined) return null
    const limit = first.key === null ? Infinity : this.#limit
    const rows = Math.min(first.rows - first.from, limit)
    const parts: Part<J>[] = [{ job: first, from: first.from, to: first.from + rows }]
    return { id: this.id, parts, rows: this.#joins(first) ? this.#fill(parts, rows, limit) : rows }
  }

  /** Most rows of one run; Infinity where rows depend on each other. Many rows of a slow model would hold up the others too long. */
  get #limit(): number {
    const { rows } = this.#pace
    return rows === Infinity || this.#batching === null ? rows : Math.min(rows, this.#batching.max_rows)
  }

  #joins({ key, alone }: J): boolean {
    return this.#batching !== null && this.#pace.rows < Infinity && key !== null && !alone
  }

  /** Adds other jobs. @returns the rows of all */
  #fill(parts: Part<J>[], begun: number, limit: number): number {
    const { key } = parts[0]!.job
    let rows = begun
    for (let i = 1; i < this.queue.length && rows < limit; i++) {
      const job = this.queue[i]!
      const left = job.rows - job.from
      if (job.key !== key || job.alone || rows + left > limit) continue
      parts.push({ job, from: job.from, to: job.rows })
      rows += left
    }
    return rows
  }

  /** Milliseconds; 0 or less: now. */
  wait({ parts, rows }: Batch<J>, now: number): number {
    const { job: first } = parts[0]!
    if (this.#batching === null || !this.#joins(first)) return 0
    const usual = this.#recent.length < RECENT ? 0 : Math.min(...this.#recent)
    if (rows >= usual) return 0
    return Math.min(first.at, this.#ended) + this.#batching.max_wait_ms - now
  }

  take(batch: Batch<J>): Batch<J> {
    const taken = new Set(batch.parts.map(({ job }) => job))
    this.queue = this.queue.filter((job) => !taken.has(job))
    for (const { job, to } of batch.parts) {
      job.from = to
      if (to < job.rows) this.queue.push(job)
    }
    return batch
  }

  ended({ parts, rows }: Batch<J>, now: number): void {
    this.#ended = now
    this.#recent = [...this.#recent.slice(1 - RECENT), parts.length > 1 ? rows : 0]
  }
}
