/** The request as a backend gets it. */
import { describe, expect, it } from 'vitest'
import type { EndpointConfig, HttpBackendConfig } from '../../config/config.ts'
import type { Backend, Body } from '../../gateway/exchange.ts'
import { headWriter, needsChunks } from '../../gateway/upstream/request.ts'
import { backendConfig } from '../wire/thin.ts'
import { exchangeFor, FedFlow } from './legs.ts'

const endpoint: EndpointConfig = { scheme: 'http', address: { host: 'up.test', port: 8501 }, authority: 'up.test:8501', prefix: '', weight: 1, zone: '', priority: 0 }
const nobody = { name: 'b', kind: 'http', send: () => Promise.reject(new Error('nobody')) } as Backend

function write(config: Partial<HttpBackendConfig>, method: string, body: Body, more: Parameters<typeof exchangeFor>[3] = {}, to = endpoint): string[] {
  return headWriter(backendConfig([1], config))(exchangeFor(nobody, method, body, more).x, to).split('\r\n')
}

describe('head', () => {
  it('keeps names, values and order', () => {
    const headers = ['X-b', '1', 'Host', 'a.test', 'x-A', '\xe9', 'X-b', '2']
    expect(write({}, 'GET', null, { headers })).toEqual(['GET / HTTP/1.1', 'X-b: 1', 'Host: a.test', 'x-A: \xe9', 'X-b: 2', '', ''])
  })

  it('Host: kept, the backend\'s, or a name; always one', () => {
    expect(write({ host: 'backend' }, 'GET', null)).toEqual(['GET / HTTP/1.1', 'Host: up.test:8501', '', ''])
    expect(write({ host: { name: 'n.test' } }, 'GET', null)).toEqual(['GET / HTTP/1.1', 'Host: n.test', '', ''])
    expect(write({ host: 'keep' }, 'GET', null, { headers: [] })).toEqual(['GET / HTTP/1.1', 'Host: up.test:8501', '', ''])
    expect(write({ host: { name: 'n.test' } }, 'GET', null, { headers: [] })).toEqual(['GET / HTTP/1.1', 'Host: n.test', '', ''])
  })

  it('the prefix comes before the target, never before `*`', () => {
    const prefixed = { ...endpoint, prefix: '/v2' }
    expect(write({}, 'GET', null, { target: '/x?y' }, prefixed)[0]).toBe('GET /v2/x?y HTTP/1.1')
    expect(write({}, 'OPTIONS', null, { target: '*' }, prefixed)[0]).toBe('OPTIONS * HTTP/1.1')
  })

  it('fields of the config replace those of the caller, whatever their case', () => {
    expect(write({ headers: ['Authorization', 'Bearer k'] }, 'GET', null, { headers: ['Host', 'a', 'AUTHORIZATION', 'x', 'y', 'z'] })).toEqual(['GET / HTTP/1.1', 'Host: a', 'y: z', 'Authorization: Bearer k', '', ''])
  })
})

describe('the time that is left', () => {
  function told(headers: string[], ms: number, header = 'x-request-timeout-ms', config: Partial<HttpBackendConfig> = {}): string[] {
    const { x } = exchangeFor(nobody, 'GET', null, { headers: ['Host', 'a.test', ...headers] })
    return headWriter(backendConfig([1], config))(x, endpoint, { header, ms }).split('\r\n').slice(2, -2)
  }

  it('whole milliseconds, never more than is left, at least one', () => {
    expect(told(['a', 'b'], 250)).toEqual(['a: b', 'x-request-timeout-ms: 250'])
    expect(told([], 249.99)).toEqual(['x-request-timeout-ms: 249'])
    expect(told([], 0.2)).toEqual(['x-request-timeout-ms: 1'])
  })

  it('in the words of the caller, too, in place of its own', () => {
    expect(told(['GRPC-Timeout', '5S', 'a', 'b'], 250)).toEqual(['GRPC-Timeout: 250m', 'a: b', 'x-request-timeout-ms: 250'])
    expect(told(['x-envoy-expected-rq-timeout-ms', '9000'], 250.5)).toEqual(['x-envoy-expected-rq-timeout-ms: 250', 'x-request-timeout-ms: 250'])
    expect(told(['X-Request-Timeout-Ms', '9000', 'a', 'b'], 250)).toEqual(['a: b', 'x-request-timeout-ms: 250'])
    // gRPC allows eight digits.
    expect(told(['grpc-timeout', '9H'], 99_999_999)[0]).toBe('grpc-timeout: 99999999m')
    expect(told(['grpc-timeout', '99H'], 100_000_999)[0]).toBe('grpc-timeout: 100000S')
  })

  it('under another name, or none', () => {
    expect(told(['x-request-timeout-ms', '7'], 250, 'x-budget')).toEqual(['x-request-timeout-ms: 7', 'x-budget: 250'])
    expect(told(['a', 'b'], 250, '')).toEqual(['a: b'])
    expect(told(['grpc-timeout', '7S'], 250, '')).toEqual(['grpc-timeout: 7S'])
  })

  it('a backend that is always told the same is told that', () => {
    expect(told([], 250, 'x-request-timeout-ms', { headers: ['X-Request-Timeout-Ms', '40'] })).toEqual(['X-Request-Timeout-Ms: 40'])
  })

  it('without a deadline nothing is written', () => {
    expect(write({}, 'GET', null, { headers: ['Host', 'a.test', 'a', 'b'] })).toEqual(['GET / HTTP/1.1', 'Host: a.test', 'a: b', '', ''])
  })
})

describe('framing', () => {
  it.each([
    ['GET', null, []],
    ['DELETE', null, []],
    ['POST', null, ['content-length: 0']],
    ['PUT', null, ['content-length: 0']],
    ['PATCH', null, ['content-length: 0']],
    ['GET', Buffer.alloc(0), ['content-length: 0']],
    ['POST', Buffer.alloc(7), ['content-length: 7']],
    ['POST', new FedFlow(9), ['content-length: 9']],
    ['POST', new FedFlow(0), ['content-length: 0']],
    ['POST', new FedFlow(-1), ['transfer-encoding: chunked']],
  ] as const)('%s with %s', (method, body, lines) => {
    expect(write({}, method, body)).toEqual([`${method} / HTTP/1.1`, 'Host: a.test', ...lines, '', ''])
    expect(needsChunks(body)).toBe(lines[0] === 'transfer-encoding: chunked')
  })

  it('asks for trailers where the caller takes them', () => {
    expect(write({}, 'GET', null, { trailers: true })).toEqual(['GET / HTTP/1.1', 'Host: a.test', 'te: trailers', 'connection: TE', '', ''])
  })

  it('an upgrade is written anew', () => {
    expect(write({}, 'GET', null, { upgrade: 'websocket' })).toEqual(['GET / HTTP/1.1', 'Host: a.test', 'connection: Upgrade', 'upgrade: websocket', '', ''])
  })
})
