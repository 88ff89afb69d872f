/** Records for tests. */
import type { LoggedBody, LogRecord } from '../../gateway/records/record.ts'

export function body(bytes: Buffer | string, change: Partial<LoggedBody> = {}): LoggedBody {
  const whole = Buffer.from(bytes)
  return { bytes: whole, length: whole.length, truncated: false, type: 'application/json', encoding: '', ...change }
}

export function record(id: number | string, change: Partial<LogRecord> = {}): LogRecord {
  return {
    record_id: String(id), inference_id: `inference ${id}`, request_id: `request ${id}`, time: 1_700_000_000_000, route: 'score', backend: 'v1', arm: 'a', model: 'cancer', version: '2', method: 'POST', target: '/score?x=1',
    status: 200, reason: '', flags: ['retried'], attempts: 2, fallback: 'v1;timeout', duration_ms: 12.25, backend_ms: 11.5, format: 'oip',
    request_headers: ['content-type', 'application/json'], response_headers: [], request: body('{"x":1}'), sent: null, response: body('{"y":2}'),
    ...change,
  }
}
