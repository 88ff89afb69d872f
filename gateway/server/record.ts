/** What the access log is told of an exchange, or of what never became one. */
import type { Code, WeirError } from '../errors.ts'
import { type Caller, type Exchange, modelOf } from '../exchange.ts'
import type { ExchangeRecord } from '../telemetry/access.ts'
import { endedBy } from '../telemetry/endings.ts'
import type { Inbound } from '../wire/inbound.ts'
import type { Incoming } from '../wire/incoming.ts'

/** An exchange that is over, as the passage knows it. */
export interface Passed {
  readonly request: Incoming
  readonly caller: Caller
  readonly requestId: string
  /** null when no route was found. */
  readonly x: Exchange | null
  readonly route: string
  /** What the caller got; 499 when it left before. */
  readonly status: number
  /** Why it ended before its time, or null. */
  readonly code: Code | null
  /** `clock.now()` at the first byte of the answer; 0 = there was none. */
  readonly firstByteAt: number
  readonly endedAt: number
}

export function exchangeRecord({ request, caller, requestId, x, route, status, code, firstByteAt, endedAt }: Passed): ExchangeRecord {
  const { head, started } = request
  const answer = x?.answer ?? null
  const backend = answer?.backend ?? ''
  const model = x === null || answer === null ? null : modelOf(x, answer)
  return {
    request_id: requestId,
    inference_id: x?.inferenceId ?? '',
    client: caller.address,
    method: head.method,
    target: head.target,
    protocol: head.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
    host: head.host,
    status,
    code,
    flags: x?.flags ?? null,
    phase: x?.phase ?? 'request',
    ended_by: endedBy(code, backend),
    route,
    backend,
    upstream: upstreamOf(x, code),
    arm: x?.arm ?? '',
    attempts: x?.attempts ?? 0,
    fallback: x?.fallback ?? '',
    bytes_received: Buffer.isBuffer(request.body) ? request.body.length : request.bytesReceived,
    bytes_sent: request.bytesSent,
    duration_ms: endedAt - started,
    backend_ms: x?.waited ?? 0,
    ttfb_ms: firstByteAt === 0 ? -1 : firstByteAt - started,
    model: model?.name ?? '',
    model_version: model?.version ?? '',
  }
}

/** Who answered; where nobody did, who was asked last. */
function upstreamOf(x: Exchange | null, code: Code | null): string {
  if (x === null) return ''
  const answered = x.answer?.upstream ?? null
  return (answered ?? (code === null ? null : x.upstream))?.identity ?? ''
}

export function refusedRecord(connection: Inbound, error: WeirError, requestId: string, status: number, bytes: number): ExchangeRecord {
  return {
    request_id: requestId, inference_id: '', client: connection.address, method: '', target: '', protocol: '', host: '', status, code: error.code, flags: null,
    phase: 'request', ended_by: endedBy(error.code, ''), route: '', backend: '', upstream: '', arm: '', attempts: 0, fallback: '', bytes_received: 0, bytes_sent: bytes,
    duration_ms: 0, backend_ms: 0, ttfb_ms: 0, model: '', model_version: '',
  }
}
