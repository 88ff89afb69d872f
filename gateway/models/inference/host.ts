/** Where a loaded model is run from a data thread: here, or on the inference thread (`client.ts`). */
import type { Leg, LegWatcher } from '../../exchange.ts'
import type { WeirError } from '../../errors.ts'
import type { Column } from '../../payload/columns.ts'
import { Pace } from './pace.ts'
import { type Measured, UNMEASURED } from './placement.ts'
import type { Session, SessionRun } from '../onnx/session.ts'
import { cut, join, rowsOf } from './slices.ts'

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
 * Runs in this thread. What has begun cannot be stopped; a caller who left does not wait for it. A request of many rows is cut
 * where the rows are independent: each slice has a turn of the event loop of its own, and other work goes on between them.
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
    const waiting = new Waiting<Run>(leg)
    if (!waiting.over) {
      const rows = rowsOf(inputs)
      if (rows !== null && rows > this.#pace.rows) this.#slices(inputs, outputs, rows, waiting).then(waiting.resolve, waiting.reject)
      else this.#session.run(inputs, outputs).then((run) => waiting.resolve(whole(run, inputs)), waiting.reject)
    }
    return waiting.promise
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #slices(inputs: readonly Column[], outputs: readonly string[], rows: number, waiting: Waiting<Run>): Promise<Run> {
    const parts: (readonly Column[])[] = []
    let took_ms = 0
    let batch_rows = 0
    for (let from = 0; from < rows && !waiting.over; ) {
      const to = Math.min(rows, from + this.#pace.rows)
      const run = await this.#session.run(cut(inputs, from, to), outputs)
      if (rowsOf(run.columns) !== to - from) {
        // The made-up rows at load were taken in, these are not.
        this.#pace.stop()
        return whole(await this.#session.run(inputs, outputs), inputs)
      }
      this.#pace.ran(to - from, run.took_ms)
      parts.push(run.columns)
      took_ms += run.took_ms
      batch_rows = Math.max(batch_rows, to - from)
      from = to
    }
    return { columns: join(parts), took_ms, queued_ms: 0, runs: parts.length, batch_rows }
  }
}

function whole({ columns, took_ms }: SessionRun, inputs: readonly Column[]): Run {
  return { columns, took_ms, queued_ms: 0, runs: 1, batch_rows: inputs[0]?.shape[0] ?? 0 }
}

/** A promise that ends with the work or with the leg, whichever is first. */
export class Waiting<T> implements LegWatcher {
  readonly promise: Promise<T>
  over = false
  readonly #leg: Leg
  readonly #left: () => void
  #settle!: (value: T) => void
  #fail!: (error: unknown) => void

  /** @param left called when the leg was cancelled first */
  constructor(leg: Leg, left: () => void = () => undefined) {
    this.#leg = leg
    this.#left = left
    this.promise = new Promise<T>((resolve, reject) => {
      this.#settle = resolve
      this.#fail = reject
    })
    leg.watch(this)
  }

  readonly resolve = (value: T): void => {
    if (this.#finish()) this.#settle(value)
  }

  readonly reject = (error: unknown): void => {
    if (this.#finish()) this.#fail(error)
  }

  legCancelled(cause: WeirError): void {
    if (this.over) return
    this.over = true
    this.#fail(cause)
    this.#left()
  }

  #finish(): boolean {
    if (this.over) return false
    this.over = true
    this.#leg.unwatch(this)
    return true
  }
}
