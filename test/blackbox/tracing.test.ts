/** Traces from outside: what upstream is told, what an OpenTelemetry Collector gets, and that one which fails harms nobody. */
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { describeWith } from '../servers.ts'
import { Collector } from './collector.ts'
import { answer, request } from './message.ts'
import { Upstream } from './scripted.ts'
import { freePort, startWeir, type Weir } from './weir.ts'

const PARENT = 'b7ad6b7169203331'
const newTrace = (): string => randomBytes(16).toString('hex')
const parent = (trace: string, flags = '01'): string => `traceparent: 00-${trace}-${PARENT}-${flags}`

let upstream: Upstream

beforeAll(async () => {
  upstream = await Upstream.listen()
})
beforeEach(() => upstream.fresh())
afterAll(() => upstream?.close())

const config = async (tracing: string): Promise<string> => `
${tracing}
backends:
  up: { url: "http://127.0.0.1:${upstream.port}/base" }
  gone: { url: "http://127.0.0.1:${await freePort()}" }
  constant: { answer: { status: 200, body: "spare" } }
routes:
  - { name: chain, match: { path: /chain }, backend: gone, plugins: [{ retry: { max: 1, backoff: { base: 1ms, max: 1ms } } }, { fallback: { to: [up, constant], on: [connect, 5xx] } }] }
  - { name: limited, match: { path: /limited }, backend: constant, plugins: [{ rate_limit: { per_second: 0.001, burst: 1 } }] }
  - { name: all, match: { method: [GET, POST], path: "/**" }, backend: up }
`

describeWith('otelcol', 'an OpenTelemetry Collector', (program) => {
  let collector: Collector
  let weir: Weir

  beforeAll(async () => {
    collector = await Collector.start(program)
    weir = await startWeir(await config(`tracing: { endpoint: "http://127.0.0.1:${collector.port}", sample: 0%, service: front, headers: { x-token: t } }`), { threads: 2 })
  })
  afterAll(async () => {
    await weir?.stop()
    await collector?.stop()
  })

  it('gets the exchange below its caller, and the attempt below that; upstream is told the attempt', async () => {
    const trace = newTrace()
    const got = await weir.exchange(request('POST', '/infer?secret=1', [parent(trace), 'tracestate: a=b'], 'body'), 'POST')
    expect(got.status).toBe(200)
    const [server, client] = await collector.trace(trace, 2)
    expect(upstream.request.head.list('traceparent')).toEqual([`00-${trace}-${client!.spanId}-01`])
    expect(upstream.request.head.one('tracestate')).toBe('a=b')
    expect([server!.parentSpanId, client!.parentSpanId]).toEqual([PARENT, server!.spanId])
    expect([server!.kind, client!.kind, server!.name, client!.name]).toEqual([2, 3, 'POST all', 'POST'])
    expect(server!.resource).toMatchObject({ 'service.name': 'front' })
    expect(server!.traceState).toBe('a=b')
    expect(server!.attributes).toMatchObject({
      'http.request.method': 'POST', 'url.path': '/infer', 'http.route': 'all', 'http.response.status_code': 200, 'weir.backend': 'up', 'weir.attempts': 1, 'weir.phase': 'done',
      'http.request.body.size': 4, 'weir.inference_id': got.head.one('x-weir-inference-id'),
    })
    expect(client!.attributes).toMatchObject({ 'url.full': `http://127.0.0.1:${upstream.port}/base/infer`, 'server.port': upstream.port, 'http.response.status_code': 200, 'weir.attempt': 1 })
    expect(server!.startTimeUnixNano).toBeLessThanOrEqual(client!.startTimeUnixNano)
    expect(client!.endTimeUnixNano).toBeLessThanOrEqual(server!.endTimeUnixNano)
    expect(Math.abs(Number(server!.startTimeUnixNano / 1_000_000n) - Date.now())).toBeLessThan(60_000)
  })

  it('sees every attempt of a retry and a fallback, and what plugins did', async () => {
    const trace = newTrace()
    upstream.onRequest = (_request, peer) => void peer.send(answer(500))
    const got = await weir.exchange(request('GET', '/chain', [parent(trace)]))
    expect([got.status, got.body.toString()]).toEqual([200, 'spare'])
    // Two attempts at the backend that is gone; the one that answers 500 is not asked again, since only 503 and 429 are.
    const [server, ...attempts] = await collector.trace(trace, 4)
    expect(attempts.map(({ attributes, status }) => [attributes['weir.backend'], attributes['error.type'], status])).toEqual([['gone', 'CONNECT_FAILED', 2], ['gone', 'CONNECT_FAILED', 2], ['up', '500', 2]])
    expect(server!.events.map(({ name, attributes }) => [name, attributes['from'] ?? null, attributes['reason']])).toEqual([
      ['retry', null, 'connect'], ['fallback', 'gone', 'connect'], ['fallback', 'up', '5xx'],
    ])
    expect(server!.attributes).toMatchObject({ 'weir.fallback': 'gone;connect', 'weir.attempts': 3, 'weir.backend': 'constant' })
    expect(server!.status).toBe(0)
  })

  it('sees errors of weir\'s own, also before a route is found', async () => {
    const [missing, limited] = [newTrace(), newTrace()]
    await weir.exchange(request('GET', '/limited'))
    expect((await weir.exchange(request('GET', '/limited', [parent(limited)]))).status).toBe(429)
    expect((await weir.exchange(request('FROBNICATE', '/x', [parent(missing)]), 'FROBNICATE')).status).toBe(405)
    const [refused] = await collector.trace(limited, 1)
    expect([refused!.events.map(({ name }) => name), refused!.attributes['error.type'], refused!.attributes['weir.reason']]).toEqual([['rate_limited'], 'RATE_LIMITED', 'overload'])
    const [lost] = await collector.trace(missing, 1)
    expect([lost!.name, lost!.attributes['error.type'], lost!.attributes['http.request.method']]).toEqual(['HTTP', 'METHOD_NOT_ALLOWED', '_OTHER'])
  })

  it('gets nothing of what the caller does not want traced; upstream gets the caller\'s words', async () => {
    const trace = newTrace()
    await weir.exchange(request('GET', '/quiet', [parent(trace, '00'), 'tracestate: a=b']))
    expect([upstream.request.head.list('traceparent'), upstream.request.head.list('tracestate')]).toEqual([[`00-${trace}-${PARENT}-00`], ['a=b']])
    // A later one that is traced has arrived: the earlier one would have, too.
    const later = newTrace()
    await weir.exchange(request('GET', '/loud', [parent(later)]))
    await collector.trace(later, 2)
    expect(collector.spans.filter(({ traceId }) => traceId === trace)).toEqual([])
  })

  it('has the last exchange when weir has stopped', async () => {
    const trace = newTrace()
    const other = await startWeir(await config(`tracing: { endpoint: "http://127.0.0.1:${collector.port}/", sample: 100% }`))
    await other.exchange(request('GET', '/last', [parent(trace)]))
    expect(await other.stop()).toBe(0)
    await collector.trace(trace, 2)
  })
})

describe('a collector that fails', () => {
  /** Takes connections and says this, or nothing. */
  async function startDeaf(says: string): Promise<{ readonly port: number; close(): void }> {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined).on('data', () => says !== '' && socket.write(says))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const close = (): void => {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
    return { port: (server.address() as net.AddressInfo).port, close }
  }

  it.each<[string, string | null]>([
    ['says nothing', ''],
    ['refuses', 'HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n'],
    ['answers nonsense', 'SMTP ready\r\n'],
    ['is not there', null],
  ])('%s: every request is answered, spans are dropped and counted, weir stops in time', async (_name, says) => {
    const deaf = says === null ? null : await startDeaf(says)
    const weir = await startWeir(await config(`tracing: { endpoint: "http://127.0.0.1:${deaf?.port ?? (await freePort())}", sample: 100% }`))
    try {
      for (let i = 0; i < 20; i++) expect((await weir.exchange(request('GET', `/${i}`))).status).toBe(200)
      const books = await weir.metrics()
      const sum = (name: string): number => books.sum(`weir_trace_spans_${name}`)
      expect([sum('exported_total'), sum('dropped_total') + sum('pending')]).toEqual([0, 40])
      const begun = performance.now()
      expect(await weir.stop()).toBe(0)
      expect(performance.now() - begun).toBeLessThan(8_000)
    } finally {
      await weir.stop()
      deaf?.close()
    }
  })
})

describe('without `tracing`', () => {
  it('contexts pass as they came, and nothing is counted', async () => {
    const weir = await startWeir(await config(''))
    try {
      const trace = newTrace()
      await weir.exchange(request('GET', '/a', [parent(trace), 'tracestate: a=b']))
      await weir.exchange(request('GET', '/b'))
      expect(upstream.requests.map(({ head }) => [head.list('traceparent'), head.list('tracestate')])).toEqual([[[`00-${trace}-${PARENT}-01`], ['a=b']], [[], []]])
      expect((await weir.metrics()).text).not.toContain('weir_trace_')
    } finally {
      await weir.stop()
    }
  })
})
