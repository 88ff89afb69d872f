/** Deadlines that callers bring along. Units from "gRPC over HTTP2"; meanings of Envoy's fields from its router filter's documentation. */
import { describe, expect, it } from 'vitest'
import { deadlines } from '../../gateway/server/deadline.ts'
import { readRequestHead } from '../../gateway/wire/head.ts'

function take(lines: readonly string[], trusted = true, header = 'x-request-timeout-ms'): { ms: number; headers: string[]; timed: boolean } {
  const bytes = Buffer.from(['GET / HTTP/1.1', 'Host: a.test', 'a: b', ...lines, '', ''].join('\r\n'), 'latin1')
  const head = readRequestHead(bytes, 0, bytes.length, { head_bytes: 4096, fields: 20, target_bytes: 100 })!
  const { timed } = head
  return { ms: deadlines({ header }).take(head, trusted), headers: head.headers.slice(4), timed }
}

describe('a trusted caller', () => {
  it.each<[string, number, string[]]>([
    ['x-request-timeout-ms: 250', 250, []],
    ['X-Request-Timeout-Ms: 0', 0, []],
    ['grpc-timeout: 1H', 3_600_000, ['grpc-timeout', '1H']],
    ['grpc-timeout: 2M', 120_000, ['grpc-timeout', '2M']],
    ['grpc-timeout: 3S', 3000, ['grpc-timeout', '3S']],
    ['grpc-timeout: 99999999m', 99_999_999, ['grpc-timeout', '99999999m']],
    ['grpc-timeout: 1500u', 1.5, ['grpc-timeout', '1500u']],
    ['grpc-timeout: 2000000n', 2, ['grpc-timeout', '2000000n']],
    ['x-envoy-upstream-rq-timeout-ms: 70', 70, []],
    ['x-envoy-expected-rq-timeout-ms: 80', 80, ['x-envoy-expected-rq-timeout-ms', '80']],
    ['x-envoy-expected-rq-timeout-ms: 0', Infinity, ['x-envoy-expected-rq-timeout-ms', '0']],
    ['grpc-timeout: 99999999H', Infinity, ['grpc-timeout', '99999999H']],
  ])('%s', (line, ms, headers) => {
    expect(take([line])).toEqual({ ms: expect.closeTo(ms, 9) as number, headers, timed: true })
  })

  it('the shortest counts, of one name too', () => {
    expect(take(['grpc-timeout: 2S', 'x-request-timeout-ms: 900', 'x-envoy-upstream-rq-timeout-ms: 1000']).ms).toBe(900)
    expect(take(['x-request-timeout-ms: 900', 'x-request-timeout-ms: 300']).ms).toBe(300)
  })

  it.each([
    'x-request-timeout-ms: ', 'x-request-timeout-ms: -1', 'x-request-timeout-ms: 1.5', 'x-request-timeout-ms: 1s', 'x-request-timeout-ms: +1', 'x-request-timeout-ms: 0x10',
    'x-request-timeout-ms: 1000000000000000', 'x-request-timeout-ms: 5, 6', 'grpc-timeout: 5', 'grpc-timeout: m', 'grpc-timeout: 5s', 'grpc-timeout: 123456789m', 'grpc-timeout: 1 m',
    'x-envoy-upstream-rq-timeout-ms: soon', 'x-envoy-expected-rq-timeout-ms: 1e3',
  ])('%s is refused by name', (line) => {
    const name = line.slice(0, line.indexOf(':'))
    expect(() => take([line])).toThrow(expect.objectContaining({ code: 'BAD_HEADER', status: 400, message: expect.stringContaining(name) as string }))
  })

  it('without any there is none', () => {
    expect(take([])).toEqual({ ms: Infinity, headers: [], timed: false })
  })
})

describe('anybody else', () => {
  it('says nothing, nonsense neither, and nothing of it goes on', () => {
    expect(take(['x-request-timeout-ms: 1', 'b: c', 'grpc-timeout: 1m', 'x-envoy-upstream-rq-timeout-ms: x', 'X-Envoy-Expected-Rq-Timeout-Ms: 1'], false)).toEqual({ ms: Infinity, headers: ['b', 'c'], timed: true })
  })

  it('an underscore does not help', () => {
    for (const name of ['x_request_timeout_ms', 'grpc_timeout', 'x-envoy-expected_rq-timeout-ms']) expect(() => take([`${name}: 1`], false)).toThrow(expect.objectContaining({ code: 'BAD_HEADER' }))
  })
})

describe('the name', () => {
  it('may be another one; the usual one is then a header like any', () => {
    expect(take(['x-budget: 5', 'x-request-timeout-ms: 1'], true, 'x-budget')).toMatchObject({ ms: 5, headers: ['x-request-timeout-ms', '1'] })
    expect([deadlines({ header: 'x-budget' }).unusual, deadlines({ header: 'x-request-timeout-ms' }).unusual, deadlines({ header: '' }).unusual]).toEqual([true, false, false])
  })

  it('may be none: deadlines do not travel', () => {
    expect(take(['x-request-timeout-ms: x', 'grpc-timeout: 1m'], true, '')).toMatchObject({ ms: Infinity, headers: ['x-request-timeout-ms', 'x', 'grpc-timeout', '1m'] })
  })
})
