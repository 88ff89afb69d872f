/** Where a loaded model is run from a data thread: here, or on the inference thread (`client.ts`). */
import type { Leg, LegWatcher } from '../../exchange.ts'
import type { WeirError } from '../../errors.ts'
import type { Column } from '../../payload/columns.ts'
import { Pace } from './pace.ts'
import { type Measured, UNMEASURED } from './placement.ts'
import type { Session, SessionRun } from '../onnx/session.ts'
import { cut, join, rowsOf } from './slices.ts'
import { inTurn, type Task, turn } from './turn.ts'

/** What one request got, and what it cost. */
export interface Run extends SessionRun {
  /** Wait for an inference thread and for other rows, milliseconds. */
  readonly queued_ms: number
  /** Runs of the model this took: more than one when the request was cut. */
  readonly runs: number
  /** Rows of the (largest) run it was part of, those of other callers too. */
  readonly batch_rows: number
}

export interface ModelHost {
  readonly ready: boolean
  /**
   * @throws WeirError `OVERLOADED`, `MODEL_NOT_READY` or the leg's cause; any other error is the model's own and its
   * message is not for callers
   */
  run(inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run>
  close(): Promise<void>
}

/** A slice of a large request may hold the event loop about this long, milliseconds. */
const SLICE_MS = 1

/**
 * Runs in this thread. What has begun cannot be stopped. A request of many rows is cut where the rows are independent: other work goes on
 * between the slices, and a caller who left does not wait for the rest.
 */
export class InlineHost implements ModelHost {
  readonly ready = true
  readonly #session: Session
  readonly #pace: Pace

  constructor(session: Session, measured: Measured = UNMEASURED) {
    this.#session = session
    this.#pace = new Pace(SLICE_MS, measured)
  }

  run(inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    const run = new InlineRun(this.#session, this.#pace, inputs, outputs, leg)
    if (!run.over) inTurn(run)
    return run.promise
  }

  async close(): Promise<void> {
    this.#session.close()
  }
}

/** A promise that ends with the work or with the leg, whichever is first. */
export class Waiting<T> implements LegWatcher {
  readonly promise: Promise<T>
  over = false
  readonly #leg: Leg
  readonly #left: (() => void) | null
  #settle!: (value: T) => void
  #fail!: (error: unknown) => void

  /** @param left called when the leg was cancelled first */
  constructor(leg: Leg, left: (() => void) | null = null) {
    this.#leg = leg
    this.#left = left
    this.promise = new Promise<T>((resolve, reject) => {
      this.#settle = resolve
      this.#fail = reject
    })
    leg.watch(this)
  }

  resolve(value: T): void {
    if (this.#finish()) this.#settle(value)
  }

  reject(error: unknown): void {
    if (this.#finish()) this.#fail(error)
  }

  legCancelled(cause: WeirError): void {
    if (this.over) return
    this.over = true
    this.#fail(cause)
    this.#left?.()
  }

  #finish(): boolean {
    if (this.over) return false
    this.over = true
    this.#leg.unwatch(this)
    return true
  }
}

/** One request while it waits for its turn, and in it. */
class InlineRun extends Waiting<Run> implements Task {
  readonly #session: Session
  readonly #pace: Pace
  readonly #inputs: readonly Column[]
  readonly #outputs: readonly string[]

  constructor(session: Session, pace: Pace, inputs: readonly Column[], outputs: readonly string[], leg: Leg) {
    super(leg)
    this.#session = session
    this.#pace = pace
    this.#inputs = inputs
    this.#outputs = outputs
  }

  run(): void {
    // Its caller left.
    if (this.over) return
    try {
      const rows = rowsOf(this.#inputs)
      if (rows === null || rows <= this.#pace.rows) this.resolve(this.#whole())
      else void this.#slices(rows)
    } catch (error) {
      this.reject(error)
    }
  }

  #whole(): Run {
    const { columns, took_ms } = this.#session.run(this.#inputs, this.#outputs)
    return { columns, took_ms, queued_ms: 0, runs: 1, batch_rows: this.#inputs[0]?.shape[0] ?? 0 }
  }

  async #slices(rows: number): Promise<void> {
    try {
      this.resolve(await this.#joined(rows))
    } catch (error) {
      this.reject(error)
    }
  }

  async #joined(rows: number): Promise<Run> {
    const parts: (readonly Column[])[] = []
    let took_ms = 0
    let batch_rows = 0
    for (let from = 0; from < rows && !this.over; ) {
      const to = Math.min(rows, from + this.#pace.rows)
      const run = this.#session.run(cut(this.#inputs, from, to), this.#outputs)
      if (rowsOf(run.columns) !== to - from) {
        // The made-up rows at load were taken in, these are not.
        this.#pace.stop()
        return this.#whole()
      }
      this.#pace.ran(to - from, run.took_ms)
      parts.push(run.columns)
      took_ms += run.took_ms
      batch_rows = Math.max(batch_rows, to - from)
      from = to
      if (from < rows) await turn()
    }
    return { columns: join(parts), took_ms, queued_ms: 0, runs: parts.length, batch_rows }
  }
}
