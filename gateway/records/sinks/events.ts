/**
 * Records as CloudEvents 1.0, with the attributes of KServe's logger (kserve, pkg/logger/worker.go): one event for the request, one for
 * the answer, of the same id; `metadata` is JSON of the logged fields of the request, a list of values each.
 */
import { decodedNow } from '../../payload/coding.ts'
import { all } from '../../headers.ts'
import type { LoggedBody, LogRecord } from '../record.ts'
import { jsonOf, timeText } from './envelope.ts'

const REQUEST_TYPE = 'org.kubeflow.serving.inference.request'
const RESPONSE_TYPE = 'org.kubeflow.serving.inference.response'
/** Bodies decode to no more; longer ones are sent in their coding. */
const MAX_DECODED_BYTES = 64 << 20
const JSON_TYPE = /^(application|text)\/([\w.+-]+\+)?json(\s*;|\s*$)/i
/** A field of a head that is one line of visible characters. */
const FIELD = /^[\x20-\x7e]*$/

export interface Naming {
  readonly source: string
  readonly extensions: Readonly<Record<string, string>>
}

export interface Event {
  /** Tells events of one sink apart, also when they are sent again. */
  readonly key: string
  /** Without `datacontenttype`. */
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  /** '' = not known. */
  readonly type: string
  readonly data: Buffer | null
  readonly body: LoggedBody | null
}

/** Both events, or the one that was logged. A record without bodies is told by its answer alone. */
export function eventsOf(record: LogRecord, naming: Naming): Event[] {
  const { request, response } = record
  const events: Event[] = []
  if (request !== null) events.push(event(record, naming, REQUEST_TYPE, request))
  if (response !== null || request === null) events.push(event(record, naming, RESPONSE_TYPE, response))
  return events
}

function event(record: LogRecord, { source, extensions }: Naming, type: string, logged: LoggedBody | null): Event {
  const { record_id, inference_id, route, arm, model, version, status, reason, request_headers, time, duration_ms } = record
  const answer = type === RESPONSE_TYPE
  const over = timeText(time + duration_ms)
  const body = logged === null ? null : plain(logged)
  const attributes: Record<string, string | number | boolean> = {
    specversion: '1.0', type, source,
    id: all(request_headers, 'ce-id')[0] || inference_id || record_id,
    time: answer ? over : timeText(time),
    recordedtime: over,
    inferenceservicename: route, component: 'predictor', endpoint: arm || 'default',
    ...extensions,
    metadata: JSON.stringify(listsByName(request_headers)),
    recordid: record_id,
  }
  if (model !== '') attributes['modelname'] = model
  if (version !== '') attributes['modelversion'] = version
  if (answer) attributes['statuscode'] = status
  if (answer && reason !== '') attributes['reason'] = reason
  if (body !== null && body.encoding !== '') attributes['contentencoding'] = body.encoding
  if (body?.truncated === true) attributes['truncated'] = true
  return { key: `${record_id} ${type}`, attributes, type: body !== null && FIELD.test(body.type) ? body.type : '', data: body?.bytes ?? null, body }
}

/** Without its content coding, where that is known and all of the body is there. */
function plain(body: LoggedBody): LoggedBody {
  if (body.encoding === '' || body.truncated) return body
  try {
    const bytes = decodedNow(body.bytes, body.encoding, MAX_DECODED_BYTES)
    return { ...body, bytes, encoding: '' }
  } catch {
    return body
  }
}

function listsByName(flat: readonly string[]): Record<string, string[]> {
  const named: Record<string, string[]> = Object.create(null) as Record<string, string[]>
  for (let i = 0; i + 1 < flat.length; i += 2) (named[flat[i]!.toLowerCase()] ??= []).push(flat[i + 1]!)
  return named
}

// ---------------------------------------------------------------- HTTP binding

/** Binary mode: attributes are fields of the head, data is the body. @returns flat fields */
export function binaryHeaders({ attributes, type, body }: Event): string[] {
  const headers: string[] = []
  for (const [name, value] of Object.entries(attributes)) headers.push(`ce-${name}`, encoded(String(value)))
  if (type !== '') headers.push('content-type', type)
  if (body !== null && body.encoding !== '' && FIELD.test(body.encoding)) headers.push('content-encoding', body.encoding)
  return headers
}

/**
 * An attribute as a field: a space, `"`, `%` and whatever is not visible ASCII as percent-encoded UTF-8
 * (CloudEvents 1.0.2, HTTP Protocol Binding, 3.1.3.2).
 */
export function encoded(value: string): string {
  return value.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]+/g, (text) => Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''))
}

/** The event as JSON (CloudEvents 1.0.2, JSON Event Format): data that is JSON stands as it is, any other as base64. */
export function jsonEvent({ attributes, type, data, body }: Event): string {
  const head = JSON.stringify(type === '' ? attributes : { ...attributes, datacontenttype: type })
  if (data === null || body === null) return head
  const json = body.encoding === '' && (type === '' || JSON_TYPE.test(type)) ? jsonOf(body) : null
  return `${head.slice(0, -1)},${json === null ? `"data_base64":"${data.toString('base64')}"` : `"data":${json}`}}`
}
