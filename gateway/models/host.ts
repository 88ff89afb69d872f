/** Where a loaded model is run from a data thread: here, or on the inference thread (`client.ts`). */
import type { Leg, LegWatcher } from '../exchange.ts'
import type { WeirError } from '../errors.ts'
import type { Column } from '../payload/columns.ts'
import type { Session, SessionRun } from './session.ts'

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

/** Runs in this thread. What has begun cannot be stopped; a caller who left does not wait for it. */
export class InlineHost implements ModelHost {
  readonly ready = true
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  run(inputs: readonly Column[], outputs: readonly string[], leg: Leg): Promise<Run> {
    const waiting = new Waiting<Run>(leg)
    if (!waiting.over) this.#session.run(inputs, outputs).then((run) => waiting.resolve({ ...run, queued_ms: 0, runs: 1, batch_rows: inputs[0]?.shape[0] ?? 0 }), waiting.reject)
    return waiting.promise
  }

  close(): Promise<void> {
    return this.#session.close()
  }
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
