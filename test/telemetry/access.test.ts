import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Code, codes } from '../../gateway/errors.ts'
import { accessLog, type ExchangeRecord } from '../../gateway/telemetry/access.ts'
import { endedBy, endings } from '../../gateway/telemetry/endings.ts'
import { FakeClock } from '../fake_clock.ts'

const record: ExchangeRecord = {
  request_id: 'req-1', inference_id: '0197f22e-79b0-7000-8000-000000000000', client: '10.0.0.9', method: 'POST', target: '/v2/models/fraud/infer?a=1',
  protocol: 'HTTP/1.1', host: 'api.example', status: 200, code: null, flags: null, phase: 'done', ended_by: 'backend', route: 'fraud', backend: 'fraud_v1', upstream: 'http://10.0.0.5:8501',
  arm: 'fraud_v1', attempts: 1, fallback: '', bytes_received: 1100, bytes_sent: 223, duration_ms: 12.3456789, backend_ms: 10.1, ttfb_ms: 11, model: 'fraud', model_version: '2',
}

function lineOf(changes: Partial<ExchangeRecord>): string {
  const lines: string[] = []
  accessLog({ write: (line) => void lines.push(line) }, new FakeClock(Date.UTC(2026, 0, 31, 12)))({ ...record, ...changes })
  expect(lines).toHaveLength(1)
  return lines[0]!
}

const parsed = (changes: Partial<ExchangeRecord>) => JSON.parse(lineOf(changes)) as Record<string, unknown>

describe('access log', () => {
  it('is one JSON line with every field in order', () => {
    expect(lineOf({})).toBe(
      '{"time":"2026-01-31T12:00:00.000Z","request_id":"req-1","inference_id":"0197f22e-79b0-7000-8000-000000000000","client":"10.0.0.9"' +
        ',"method":"POST","target":"/v2/models/fraud/infer?a=1","protocol":"HTTP/1.1","host":"api.example","status":200,"code":null,"flags":[]' +
        ',"phase":"done","ended_by":"backend","route":"fraud","backend":"fraud_v1","upstream":"http://10.0.0.5:8501","arm":"fraud_v1","attempts":1,"fallback":null' +
        ',"bytes_received":1100,"bytes_sent":223,"duration_ms":12.346,"backend_ms":10.1,"ttfb_ms":11,"model":"fraud","model_version":"2"}',
    )
  })

  it('tells what was not there as null', () => {
    expect(parsed({ host: '', route: '', backend: '', upstream: '', arm: '', model: '', model_version: '', ttfb_ms: -1, duration_ms: Number.NaN })).toMatchObject({
      host: null, route: null, backend: null, upstream: null, arm: null, model: null, model_version: null, ttfb_ms: null, duration_ms: null,
    })
  })

  it('a caller who left', () => {
    expect(parsed({ status: 0, code: 'CALLER_LEFT', phase: 'backend', ended_by: 'caller', ttfb_ms: -1 })).toMatchObject({
      status: 0, code: 'CALLER_LEFT', flags: ['DC'], phase: 'backend', ended_by: 'caller', ttfb_ms: null,
    })
  })

  it('puts the flag of the code before the marks of plugins', () => {
    expect(parsed({ code: 'HEADERS_TIMEOUT', flags: ['rate_limit:observed', 'a"b'] })['flags']).toEqual(['UT', 'rate_limit:observed', 'a"b'])
    expect(parsed({ code: 'RESET', flags: ['retry:exhausted', 'hedge:lost'] })['flags']).toEqual(['UC', 'URX', 'retry:exhausted', 'hedge:lost'])
    expect(parsed({ code: 'OVERLOADED', flags: ['shed'] })['flags']).toEqual(['UO', 'OM', 'shed'])
    expect(parsed({ flags: ['constructor'] })['flags']).toEqual(['constructor'])
    expect(parsed({ code: 'LOOP', flags: ['x'] })['flags']).toEqual(['x'])
    expect(parsed({ code: 'LOOP', flags: [] })['flags']).toEqual([])
  })

  it('cuts a long target', () => {
    const { target, host } = parsed({ target: `/${'a'.repeat(5000)}`, host: 'h'.repeat(300) }) as { target: string; host: string }
    expect(target).toBe(`/${'a'.repeat(1022)}…`)
    expect(host).toHaveLength(256)
  })

  it('whatever a caller sends, it stays one line of JSON that says the same', () => {
    const text = fc.string({ unit: 'binary', maxLength: 200 })
    fc.assert(
      fc.property(text, text, text, (target, request_id, host) => {
        const line = lineOf({ target, request_id, host })
        expect(line).not.toMatch(/[\n\r\u2028\u2029]/)
        expect(JSON.parse(line)).toMatchObject({ target, request_id, host: host === '' ? null : host })
      }),
    )
  })
})

describe('endings', () => {
  it('every code has one', () => {
    expect(Object.keys(endings).sort()).toEqual(Object.keys(codes).sort())
  })

  /** Every code by the flag Envoy's documentation of %RESPONSE_FLAGS% gives the same event; '' where it has none. */
  const BY_FLAG: Readonly<Record<string, readonly Code[]>> = {
    DC: ['CALLER_LEFT'],
    DF: ['DNS_FAILED'],
    DPE: ['BAD_REQUEST_LINE', 'BAD_TARGET', 'BAD_HEADER', 'BAD_HOST', 'BAD_FRAMING', 'BAD_BODY', 'BAD_UPGRADE', 'TARGET_TOO_LONG', 'EXPECTATION_FAILED', 'HEAD_TOO_LARGE', 'METHOD_NOT_SUPPORTED', 'UNSUPPORTED_CODING', 'HTTP_VERSION'],
    LR: ['DRAINING', 'PLUGIN_FAILED', 'INTERNAL'],
    NC: ['MODEL_NOT_FOUND'],
    NR: ['NO_ROUTE', 'METHOD_NOT_ALLOWED'],
    RL: ['RATE_LIMITED'],
    SI: ['REQUEST_TIMEOUT', 'IDLE_TIMEOUT'],
    UC: ['RESET'],
    UF: ['CONNECT_FAILED', 'TLS_FAILED', 'CONNECT_TIMEOUT'],
    UH: ['NO_ENDPOINT', 'MODEL_NOT_READY'],
    UO: ['OVERLOADED'],
    UPE: ['BAD_ANSWER', 'INVALID_ANSWER'],
    UT: ['HEADERS_TIMEOUT', 'FIRST_BYTE_TIMEOUT', 'FIRST_TOKEN_TIMEOUT', 'TRY_TIMEOUT', 'TOTAL_TIMEOUT', 'DEADLINE_EXCEEDED'],
    '': ['FORBIDDEN', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'NOT_IMPLEMENTED', 'LOOP', 'MODEL_INPUT', 'MODEL_FAILED', 'SCHEMA', 'NO_COVERAGE'],
  }

  it('every code has exactly one flag or none, both ways', () => {
    const expected = Object.entries(BY_FLAG).flatMap(([flag, all]) => all.map((code) => [code, flag]))
    expect(expected).toHaveLength(new Set(expected.map(([code]) => code)).size)
    expect(Object.fromEntries(Object.entries(endings).map(([code, { flag }]) => [code, flag]))).toEqual(Object.fromEntries(expected))
  })

  // Flags as Envoy documents them for the same event.
  it.each<[Code, string]>([
    ['NO_ROUTE', 'NR'], ['NO_ENDPOINT', 'UH'], ['CONNECT_FAILED', 'UF'], ['OVERLOADED', 'UO'], ['TOTAL_TIMEOUT', 'UT'], ['RESET', 'UC'],
    ['BAD_ANSWER', 'UPE'], ['CALLER_LEFT', 'DC'], ['RATE_LIMITED', 'RL'], ['INTERNAL', 'LR'], ['IDLE_TIMEOUT', 'SI'], ['BAD_FRAMING', 'DPE'], ['DNS_FAILED', 'DF'],
  ])('%s is %s', (code, flag) => {
    expect(endings[code].flag).toBe(flag)
  })

  it('names who ended it', () => {
    expect(endedBy(null, 'fraud_v1')).toBe('backend')
    expect(endedBy(null, '')).toBe('weir')
    expect(endedBy('CALLER_LEFT', 'fraud_v1')).toBe('caller')
    expect(endedBy('RESET', '')).toBe('backend')
    expect(endedBy('TOTAL_TIMEOUT', 'fraud_v1')).toBe('weir')
  })
})
