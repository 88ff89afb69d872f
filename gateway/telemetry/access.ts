/** The access log: one JSON line an exchange, always with the same fields in the same order. */
import type { Clock } from '../clock.ts'
import type { Code } from '../errors.ts'
import type { Phase } from '../exchange.ts'
import { type EndedBy, endings, MARK_FLAGS } from './endings.ts'
import { bounded, isoTime, quote } from './text.ts'
import type { LineSink } from './writer.ts'

/** What the forwarder knows of an exchange when it is over. '' or null = there was none. */
export interface ExchangeRecord {
  readonly request_id: string
  readonly inference_id: string
  /** Address of the caller, or of the client a trusted proxy names. */
  readonly client: string
  readonly method: string
  readonly target: string
  /** `HTTP/1.0` or `HTTP/1.1`. */
  readonly protocol: string
  readonly host: string
  /** What the caller got; 0 when the caller left before an answer. */
  readonly status: number
  /** Why the caller got an error of weir's, or an answer that was cut, or left. */
  readonly code: Code | null
  /** Marks of plugins (`Exchange.flags`). */
  readonly flags: readonly string[] | null
  /** Which part was going on when it ended. */
  readonly phase: Phase
  readonly ended_by: EndedBy
  readonly route: string
  readonly backend: string
  /** Endpoint that answered, or was asked last where none did; as `/backends` names it. */
  readonly upstream: string
  readonly arm: string
  readonly attempts: number
  readonly fallback: string
  /** Body bytes as the caller sent them. */
  readonly bytes_received: number
  /** Body bytes as the caller was sent them. */
  readonly bytes_sent: number
  /** From the complete request head to the last byte of the answer. */
  readonly duration_ms: number
  /** Waiting for backends. */
  readonly backend_ms: number
  /** From the complete request head to the first byte of the answer; -1 when there was none. */
  readonly ttfb_ms: number
  readonly model: string
  readonly model_version: string
}

/** Longer ones are cut, with `…` at the end. */
const MAX_TARGET = 1024
const MAX_HOST = 256
const MAX_METHOD = 64

/** @returns what writes a line; `time` is when the exchange ended, by the wall clock */
export function accessLog(sink: LineSink, clock: Clock): (record: ExchangeRecord) => void {
  const now = isoTime(clock)
  return (record) => sink.write(accessLine(now(), record))
}

/** Hand-made, because this runs for every exchange. */
function accessLine(time: string, r: ExchangeRecord): string {
  return (
    `{"time":"${time}","request_id":${quote(r.request_id)},"inference_id":${quote(r.inference_id)},"client":${quote(r.client)}` +
    `,"method":${quote(bounded(r.method, MAX_METHOD))},"target":${quote(bounded(r.target, MAX_TARGET))},"protocol":${quote(r.protocol)},"host":${orNull(bounded(r.host, MAX_HOST))}` +
    `,"status":${r.status},"code":${r.code === null ? 'null' : `"${r.code}"`},"flags":${flagList(r)},"phase":"${r.phase}","ended_by":"${r.ended_by}"` +
    `,"route":${orNull(r.route)},"backend":${orNull(r.backend)},"upstream":${orNull(r.upstream)},"arm":${orNull(r.arm)},"attempts":${r.attempts},"fallback":${orNull(r.fallback)}` +
    `,"bytes_received":${r.bytes_received},"bytes_sent":${r.bytes_sent}` +
    `,"duration_ms":${milliseconds(r.duration_ms)},"backend_ms":${milliseconds(r.backend_ms)},"ttfb_ms":${milliseconds(r.ttfb_ms)}` +
    `,"model":${orNull(r.model)},"model_version":${orNull(r.model_version)}}`
  )
}

function orNull(text: string): string {
  return text === '' ? 'null' : quote(text)
}

/** To the microsecond. */
function milliseconds(value: number): string {
  return value >= 0 && value < Infinity ? String(Math.round(value * 1000) / 1000) : 'null'
}

/** Envoy's flag of the error first, then the marks of plugins, each with Envoy's flag before it where Envoy has one. */
function flagList({ code, flags }: ExchangeRecord): string {
  const flag = code === null ? '' : endings[code].flag
  if (flags === null || flags.length === 0) return flag === '' ? '[]' : `["${flag}"]`
  const marks = flags.flatMap((mark) => (Object.hasOwn(MARK_FLAGS, mark) ? [MARK_FLAGS[mark]!, mark] : [mark]))
  return `[${(flag === '' ? marks : [flag, ...marks]).map(quote).join(',')}]`
}
