/**
 * Spans on their way out: what is finished waits in a bounded queue and leaves in batches, one at a time. finished = exported + dropped +
 * pending at every moment. A collector that fails, stalls or refuses costs spans, never an exchange.
 */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace'
import type { Clock, Timer } from '../../clock.ts'
import type { Handles } from '../../metrics.ts'
import type { tracingMetrics } from '../../vital.ts'
import { EXPORT_MS, MAX_SPANS } from '../tracer.ts'

/** As OpenTelemetry's batch processor. */
export const BATCH = 512
/** A batch that is not full leaves after this. */
const DELAY_MS = 1_000

export interface BatchDeps {
  readonly exporter: SpanExporter
  readonly clock: Clock
  readonly metrics: Handles<typeof tracingMetrics>
  /** Told of the first failure of a row, and of the first success behind it (null). */
  readonly changed: (error: Error | null) => void
}

export class Batches implements SpanProcessor {
  readonly #deps: BatchDeps
  readonly #exported
  readonly #dropped
  readonly #pending
  #waiting: ReadableSpan[] = []
  /** Spans of the batch under way. */
  #leaving = 0
  #timer: Timer | null = null
  #failing = false
  #closed = false
  #idle: (() => void)[] = []

  constructor(deps: BatchDeps) {
    const { weir_trace_spans_exported_total, weir_trace_spans_dropped_total, weir_trace_spans_pending } = deps.metrics
    this.#deps = deps
    this.#exported = weir_trace_spans_exported_total()
    this.#dropped = { queue: weir_trace_spans_dropped_total({ reason: 'queue' }), export: weir_trace_spans_dropped_total({ reason: 'export' }), closed: weir_trace_spans_dropped_total({ reason: 'closed' }) }
    this.#pending = weir_trace_spans_pending()
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#closed) return this.#dropped.closed.add()
    if (this.#waiting.length + this.#leaving >= MAX_SPANS) return this.#dropped.queue.add()
    this.#waiting.push(span)
    this.#pending.add()
    if (this.#leaving > 0) return
    if (this.#waiting.length >= BATCH) this.#send()
    else this.#timer ??= this.#deps.clock.after(DELAY_MS, () => this.#send())
  }

  /** Settles once nothing waits any more: all has left or was given up. */
  forceFlush(): Promise<void> {
    if (this.#waiting.length + this.#leaving === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      if (this.#leaving === 0) this.#send()
    })
  }

  /** What still waits is dropped. Idempotent. */
  async shutdown(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#count(this.#dropped.closed, this.#waiting.length)
    this.#waiting = []
    await this.#deps.exporter.shutdown().catch(() => undefined)
  }

  #send(): void {
    this.#timer?.cancel()
    this.#timer = null
    const batch = this.#waiting.splice(0, BATCH)
    this.#leaving = batch.length
    let over = false
    const done = (result: ExportResult): void => {
      if (over) return
      over = true
      limit.cancel()
      this.#left(batch.length, result)
    }
    const limit = this.#deps.clock.after(EXPORT_MS, () => done({ code: ExportResultCode.FAILED, error: new Error(`the collector did not answer within ${EXPORT_MS} ms`) }))
    try {
      this.#deps.exporter.export(batch, done)
    } catch (error) {
      done({ code: ExportResultCode.FAILED, error: error as Error })
    }
  }

  #left(count: number, { code, error }: ExportResult): void {
    const good = code === ExportResultCode.SUCCESS
    this.#leaving = 0
    this.#count(good ? this.#exported : this.#dropped.export, count)
    if (this.#failing === good) {
      this.#failing = !good
      this.#deps.changed(good ? null : (error ?? new Error('the collector refused the spans')))
    }
    if (this.#closed || this.#waiting.length === 0) return this.#rest()
    if (this.#waiting.length >= BATCH || this.#idle.length > 0) this.#send()
    else this.#timer = this.#deps.clock.after(DELAY_MS, () => this.#send())
  }

  #rest(): void {
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  #count(counter: { add(count: number): void }, spans: number): void {
    counter.add(spans)
    this.#pending.add(-spans)
  }
}
