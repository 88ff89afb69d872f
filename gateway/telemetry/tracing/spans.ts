/**
 * Spans of one exchange: a SERVER span for it, a CLIENT span for each attempt. Names and attributes follow OpenTelemetry's semantic
 * conventions for HTTP; what they have no word for is `weir.*`. Queries are left out: what callers put there is nobody's to export.
 */
import { type Attributes, type Context, SpanKind, SpanStatusCode, trace, type HrTime, type Span, type Tracer } from '@opentelemetry/api'
import { codes, type WeirError } from '../../errors.ts'
import { set } from '../../headers.ts'
import type { Asked, AttemptTrace, TraceEvent } from '../../trace.ts'
import type { ExchangeRecord } from '../access.ts'
import { bounded } from '../text.ts'
import type { ExchangeTrace } from '../tracer.ts'

/** Of RFC 9110 and RFC 5789; any other is `_OTHER`, since a span's name must not be the caller's to make up. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])
const MAX_PATH = 1024

export interface Times {
  now(): number
  at(now: number): HrTime
}

export class ExchangeSpan implements ExchangeTrace {
  readonly #tracer: Tracer
  readonly #span: Span
  readonly #context: Context
  readonly #times: Times

  constructor(tracer: Tracer, span: Span, parent: Context, times: Times) {
    this.#tracer = tracer
    this.#span = span
    this.#context = trace.setSpan(parent, span)
    this.#times = times
  }

  event(name: TraceEvent, attributes: Attributes = {}): void {
    this.#span.addEvent(name, attributes, this.#times.at(this.#times.now()))
  }

  attempt(asked: Asked): AttemptTrace {
    const { scheme, authority, prefix } = asked.endpoint
    const { host, port } = hostAndPort(authority, scheme)
    const attributes: Attributes = {
      ...methodOf(asked.method),
      'url.full': `${scheme}://${authority}${prefix}${pathOf(asked.target)}`,
      'server.address': host,
      'server.port': port,
      'network.protocol.version': '1.1',
      'weir.backend': asked.backend,
      'weir.attempt': asked.attempt,
    }
    if (asked.attempt > 1) attributes['http.request.resend_count'] = asked.attempt - 1
    const span = this.#tracer.startSpan(nameOf(asked.method), { kind: SpanKind.CLIENT, attributes, startTime: this.#times.at(this.#times.now()) }, this.#context)
    set(asked.fields.list, 'traceparent', traceparent(span))
    return new AttemptSpan(span, this.#times)
  }

  end(record: ExchangeRecord): void {
    const span = this.#span
    span.setAttributes(attributesOf(record))
    span.updateName(record.route === '' ? nameOf(record.method) : `${nameOf(record.method)} ${record.route}`)
    const error = errorOf(record)
    if (error !== null) span.setAttribute('error.type', error)
    if (error !== null && record.code !== 'CALLER_LEFT' && (record.status >= 500 || record.code === null || codes[record.code].status >= 500)) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(this.#times.at(this.#times.now()))
  }
}

class AttemptSpan implements AttemptTrace {
  readonly #span: Span
  readonly #times: Times

  constructor(span: Span, times: Times) {
    this.#span = span
    this.#times = times
  }

  answered(status: number): void {
    this.#span.setAttribute('http.response.status_code', status)
    if (status < 400) return
    this.#span.setAttribute('error.type', String(status))
    this.#span.setStatus({ code: SpanStatusCode.ERROR })
  }

  over(error: WeirError | null): void {
    if (error !== null) {
      this.#span.setAttributes({ 'error.type': error.code, 'weir.reason': error.reason })
      // Of a cancelled attempt the backend is not to blame.
      if (error.reason !== 'aborted') this.#span.setStatus({ code: SpanStatusCode.ERROR })
    }
    this.#span.end(this.#times.at(this.#times.now()))
  }
}

/** What is known when the exchange begins, before a route is found; for the sampler and for who looks at unfinished spans. */
export function firstAttributes(method: string, target: string): Attributes {
  return { ...methodOf(method), 'url.path': pathOf(target) }
}

export function nameOf(method: string): string {
  return METHODS.has(method) ? method : 'HTTP'
}

export function traceparent(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-0${(traceFlags & 1).toString(16)}`
}

function attributesOf(record: ExchangeRecord): Attributes {
  const { host, port } = hostAndPort(record.host, '')
  return known({
    'http.response.status_code': record.status,
    'http.route': record.route,
    'server.address': host,
    'server.port': port,
    'client.address': record.client,
    'network.protocol.version': record.protocol.slice('HTTP/'.length),
    'http.request.body.size': record.bytes_received,
    'http.response.body.size': record.bytes_sent,
    'weir.route': record.route,
    'weir.backend': record.backend,
    'weir.arm': record.arm,
    'weir.attempts': record.attempts,
    'weir.fallback': record.fallback,
    'weir.phase': record.phase,
    'weir.reason': record.code === null ? '' : codes[record.code].reason,
    'weir.ended_by': record.ended_by,
    'weir.request_id': record.request_id,
    'weir.inference_id': record.inference_id,
    'weir.model.name': record.model,
    'weir.model.version': record.model_version,
  })
}

/** `error.type` of a server span: what weir calls the error, else the status when it is a 5xx. */
function errorOf({ code, status }: ExchangeRecord): string | null {
  return code ?? (status >= 500 ? String(status) : null)
}

function methodOf(method: string): Attributes {
  return METHODS.has(method) ? { 'http.request.method': method } : { 'http.request.method': '_OTHER', 'http.request.method_original': bounded(method, 64) }
}

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return bounded(mark < 0 ? target : target.slice(0, mark), MAX_PATH)
}

/** @returns port 0 where nothing tells it */
function hostAndPort(authority: string, scheme: string): { readonly host: string; readonly port: number } {
  const [, host = '', port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(bounded(authority, 256)) ?? []
  return { host, port: port !== '' ? Number(port) : scheme === 'http' ? 80 : scheme === 'https' ? 443 : 0 }
}

/** Without what there was none of. */
function known(attributes: Readonly<Record<string, string | number>>): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name, value]) => value !== '' && !(name === 'server.port' && value === 0)))
}
