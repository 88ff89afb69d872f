/**
 * What an exchange tells whoever traces it. Nothing here knows OpenTelemetry: that is `telemetry/tracing/`, which is loaded only when
 * `tracing` is configured. Without, and for what is not sampled, `leg.trace` is null, and that look is all it costs.
 */
import type { WeirError } from './errors.ts'
import type { Fields } from './headers.ts'

/**
 * What may happen on the way, as an event of the exchange's span; attributes are words of the config, codes and numbers, never a caller's.
 * `target_skipped`: a fallback passed over a target that is away; `refused`: no attempt was made, for want of an endpoint or a connection.
 */
export const TRACE_EVENTS = ['retry', 'hedge', 'fallback', 'target_skipped', 'refused', 'queued', 'shed', 'rate_limited', 'fault'] as const
export type TraceEvent = (typeof TRACE_EVENTS)[number]

export interface Trace {
  event(name: TraceEvent, attributes?: Readonly<Record<string, string | number>>): void
  /** An attempt begins. From here on `fields` carry its context, so that what the backend does hangs below it. */
  attempt(asked: Asked): AttemptTrace
}

/** What is asked of whom. */
export interface Asked {
  readonly method: string
  readonly target: string
  /** Of the request as it goes out; changed. */
  readonly fields: Fields
  readonly backend: string
  readonly endpoint: { readonly scheme: string; readonly authority: string; readonly prefix: string }
  /** Counts from 1 over all targets of the exchange. */
  readonly attempt: number
}

export interface AttemptTrace {
  /** The head of an answer is there. */
  answered(status: number): void
  /** The answer is whole, or why it never will be. Called once. */
  over(error: WeirError | null): void
}
