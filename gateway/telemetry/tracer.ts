/** Tracing as the server knows it; OpenTelemetry is behind it, in `tracing/`. */
import type { Fields } from '../headers.ts'
import type { Trace } from '../trace.ts'
import type { ExchangeRecord } from './access.ts'

/** Spans that may wait for the collector, those on their way to it included; as OpenTelemetry's batch processor. */
export const MAX_SPANS = 2048
/** Longest time of one export, retries of the exporter included; then its spans are given up. */
export const EXPORT_MS = 10_000

/** What a trace takes from the head of a request. */
export interface TracedHead {
  readonly method: string
  readonly target: string
  readonly fields: Fields
}

export interface Tracer {
  /**
   * An exchange begins. Its request carries a decision from here on, the caller's or weir's, so that nobody behind takes another.
   * @param started `clock.now()` of its head. @returns null when it is not sampled
   */
  begin(head: TracedHead, started: number): ExchangeTrace | null
}

export interface ExchangeTrace extends Trace {
  /** The exchange is over. Attempts that are still under way (a hedge that lost) end by themselves. */
  end(record: ExchangeRecord): void
}
