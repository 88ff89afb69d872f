/**
 * OpenTelemetry traces: spans by its SDK, sent as OTLP over HTTP (protobuf) to `<endpoint>/v1/traces`. Each data thread has its own; nothing
 * of this is loaded without `tracing`. Only the parts that make and send spans are used: `sdk-node` would also load gRPC, metrics, logs and
 * instrumentation of libraries weir does not have.
 */
import { createTraceState, ROOT_CONTEXT, SpanKind, trace, TraceFlags, type Context, type Tracer as OpenTelemetryTracer } from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { ParentBasedSampler, type SpanExporter, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import type { TracingConfig } from '../../../config/config.ts'
import { type Clock, LateError, within } from '../../clock.ts'
import { all, remove } from '../../headers.ts'
import type { Handles } from '../../metrics.ts'
import type { Log } from '../../plugin.ts'
import type { tracingMetrics } from '../../vital.ts'
import { EXPORT_MS, type TracedHead, type Tracer } from '../tracer.ts'
import { Batches } from './batches.ts'
import { ExchangeSpan, firstAttributes, nameOf, traceparent } from './spans.ts'
import { epoch } from './times.ts'

export interface TracingDeps {
  /** Of weir. */
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Handles<typeof tracingMetrics>
  /** Tests have their own. */
  readonly exporter?: SpanExporter
}

/** Longest wait for the collector when weir stops: while nothing is under way any more, and once the rest was cut. */
const FLUSH_MS = 2_000
const CLOSE_MS = 300
/** W3C Trace Context, 3.3.1.5: vendors may drop what is longer. */
const MAX_TRACE_STATE = 512

export class Tracing implements Tracer {
  readonly #clock: Clock
  readonly #tracer: OpenTelemetryTracer
  readonly #batches: Batches

  constructor(config: TracingConfig, { version, clock, log, metrics, exporter = exporterOf(config) }: TracingDeps) {
    this.#clock = clock
    const changed = (error: Error | null): void =>
      error === null ? log.info('spans reach the collector again') : log.warn('spans do not reach the collector; they are dropped until they do', { endpoint: config.endpoint, error: error.message })
    this.#batches = new Batches({ exporter, clock, metrics, changed })
    const provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': config.service, 'service.version': version }),
      // A caller that has decided is followed, one way or the other.
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(config.sample) }),
      spanProcessors: [this.#batches],
    })
    this.#tracer = provider.getTracer('weir', version)
  }

  begin(head: TracedHead, started: number): ExchangeSpan | null {
    const parent = parentOf(head)
    const at = epoch(this.#clock)
    const span = this.#tracer.startSpan(nameOf(head.method), { kind: SpanKind.SERVER, attributes: firstAttributes(head.method, head.target), startTime: at(started) }, parent)
    if (span.isRecording()) return new ExchangeSpan(this.#tracer, span, parent, { now: () => this.#clock.now(), at })
    if (parent === ROOT_CONTEXT) head.fields.append('traceparent', traceparent(span))
    return null
  }

  /** Sends what waits, for a bounded time. */
  flush(ms = FLUSH_MS): Promise<void> {
    return this.#bounded(ms, this.#batches.forceFlush())
  }

  /** Sends what the last exchanges left; what does not get out is dropped and counted. */
  async close(): Promise<void> {
    await this.flush(CLOSE_MS)
    await this.#bounded(CLOSE_MS, this.#batches.shutdown())
  }

  async #bounded(ms: number, work: Promise<void>): Promise<void> {
    try {
      await within(this.#clock, ms, work)
    } catch (error) {
      if (!(error instanceof LateError)) throw error
    }
  }
}

/** Where the caller's trace stands; what is malformed, or said twice, is no context and goes no further (W3C Trace Context, 4.3). */
function parentOf({ fields }: TracedHead): Context {
  if (fields.get('traceparent') === undefined) {
    if (fields.get('tracestate') !== undefined) remove(fields.list, 'tracestate')
    return ROOT_CONTEXT
  }
  const told = all(fields.list, 'traceparent')
  const context = told.length === 1 ? parseTraceParent(told[0]!) : null
  if (context === null) {
    remove(fields.list, 'traceparent')
    remove(fields.list, 'tracestate')
    return ROOT_CONTEXT
  }
  const state = all(fields.list, 'tracestate').join(',')
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...context,
    traceFlags: context.traceFlags & TraceFlags.SAMPLED,
    isRemote: true,
    ...(state !== '' && state.length <= MAX_TRACE_STATE && { traceState: createTraceState(state) }),
  })
}

function exporterOf({ endpoint, headers }: TracingConfig): SpanExporter {
  return new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces`, headers: { ...headers }, timeoutMillis: EXPORT_MS, concurrencyLimit: 1 })
}
