/** What callers may send, and how long they may take: `reference/proxy.md` 53 to 59 by number. 56 is in `test/payload/coding.test.ts`; 57 is about HTTP/2, which weir does not speak. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunk, request } from './message.ts'
import { pause, Upstream } from './scripted.ts'
import { expectProblem, expectRefused, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
timeouts: { request_headers: 400ms, idle: 400ms }
limits: { head: 4KiB, fields: 20, target: 1KiB, connections: 20, in_flight: 3 }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}" }
  whole: { answer: { rows: { score: 0.5 } } }
routes:
  - { name: whole, match: { path: /whole }, backend: whole, format: rows, max_body_bytes: 1KiB }
  - { name: deep, match: { path: /deep }, backend: whole, format: rows }
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

describe('53: slow requests', () => {
  it('53: a head that trickles is 408 after `request_headers`, however busy its sender is', async () => {
    const peer = await weir.connect()
    const began = performance.now()
    await peer.send('GET / HTTP/1.1\r\nHost: a\r\n')
    for (let i = 0; i < 40 && !peer.over && peer.count === 0; i++) {
      await peer.send(`X-${i}: y\r\n`)
      await pause(25)
    }
    expectProblem(await peer.readFinal(), 408)
    expect(performance.now() - began).toBeGreaterThan(350)
    expect(performance.now() - began).toBeLessThan(1500)
    await peer.untilOver()
  })

  it('53: a body that stops is given up after `idle`, and so is its request to the upstream', async () => {
    let seen = false
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      seen = true
      await peer.untilOver()
      peer.destroy()
    }
    const peer = await weir.connect()
    await peer.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome')
    expectProblem(await peer.readFinal('POST'), 408)
    expect(seen).toBe(true)
    await (await upstream.connection()).untilOver()
  })
})

describe('54: slow readers', () => {
  it('54: a caller that reads nothing is cut after `idle`, and the upstream with it', async () => {
    upstream.onRequest = () => answer(200, [], Buffer.alloc(32 << 20, 'x'))
    const peer = await weir.connect()
    peer.socket.pause()
    await peer.send(request('GET', '/'))
    await (await upstream.connection()).untilOver(5000)
    await weir.untilMetric(0, 'weir_backend_in_flight')
    peer.discard = true
    peer.socket.resume()
    await peer.untilOver()
    expect(peer.count).toBeLessThan(32 << 20)
  })
})

describe('55: sizes', () => {
  it('55: a declared length beyond what the route reads is 413 before a byte of it came', async () => {
    const peer = await weir.connect()
    await peer.send('POST /whole HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1025\r\n\r\n')
    expectProblem(await peer.readFinal('POST'), 413, 'BODY_TOO_LARGE')
    peer.destroy()
  })

  it('55: without a length, 413 as soon as the bytes exceed', async () => {
    const peer = await weir.connect()
    await peer.send('POST /whole HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('x'.repeat(1000)))
    expect((await peer.settle()).length).toBe(0)
    await peer.send(chunk('x'.repeat(25)))
    expectProblem(await peer.readFinal('POST'), 413, 'BODY_TOO_LARGE')
    peer.destroy()
  })

  it('55: what fits exactly is read', async () => {
    const body = `{"x":1}${' '.repeat(1024 - 7)}`
    expect((await weir.exchange(request('POST', '/whole', ['Content-Type: application/json'], body), 'POST')).status).toBe(200)
  })

  it('55: a head beyond `limits.head`, a field beyond `limits.fields` and a target beyond `limits.target`', async () => {
    await expectRefused(weir, request('GET', '/', [`X: ${'y'.repeat(4096)}`]), 431, 'HEAD_TOO_LARGE')
    await expectRefused(weir, request('GET', '/', Array.from({ length: 20 }, (_, i) => `X-${i}: y`)), 431, 'HEAD_TOO_LARGE')
    await expectRefused(weir, request('GET', `/${'a'.repeat(1024)}`), 414, 'TARGET_TOO_LONG')
    expect((await weir.exchange(request('GET', `/${'a'.repeat(1023)}`, Array.from({ length: 19 }, (_, i) => `X-${i}: y`)))).status).toBe(200)
  })
})

describe('58: how many', () => {
  it('58: requests beyond `limits.in_flight` get 503 with Retry-After at once', async () => {
    upstream.onConnection = () => undefined
    const busy = await Promise.all(Array.from({ length: 3 }, () => weir.connect()))
    for (const peer of busy) await peer.send(request('GET', '/'))
    await weir.untilMetric(3, 'weir_backend_in_flight')
    const began = performance.now()
    const got = await weir.exchange(request('GET', '/'))
    expectProblem(got, 503, 'OVERLOADED')
    expect(Number(got.head.one('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(performance.now() - began).toBeLessThan(500)
    for (const peer of busy) peer.destroy()
    await weir.untilMetric(0, 'weir_backend_in_flight')
  })

  it('58: connections beyond `limits.connections` are closed at once and counted; there is room again when others end', async () => {
    await weir.untilMetric(0, 'weir_connections')
    const peers = await Promise.all(Array.from({ length: 20 }, () => weir.connect()))
    await weir.untilMetric(20, 'weir_connections')
    const refused = await weir.connect()
    await refused.untilOver()
    expect(refused.count).toBe(0)
    await weir.untilMetric(1, 'weir_connections_refused_total')
    for (const peer of peers) peer.destroy()
    await weir.untilMetric(0, 'weir_connections')
    expect((await weir.exchange(request('GET', '/'))).status).toBe(200)
  })
})

describe('59: JSON', () => {
  it('59: depth is limited where a body is read', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expectProblem(await weir.exchange(request('POST', '/deep', ['Content-Type: application/json'], deep), 'POST'), 400, 'BAD_BODY')
  })

  it('59: __proto__ is a name as any other', async () => {
    expect((await weir.exchange(request('POST', '/deep', ['Content-Type: application/json'], '{"__proto__":{"toString":1},"x":1}'), 'POST')).status).toBeLessThan(500)
    const got = await weir.exchange(request('POST', '/deep', ['Content-Type: application/json'], '{"x":1}'), 'POST')
    expect([got.status, JSON.parse(got.body.toString())]).toEqual([200, { score: 0.5 }])
  })

  it('59: bytes that are no UTF-8 pass through as they came', async () => {
    const body = Buffer.concat([bytes('{"x":"'), Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]), bytes('"}')])
    await weir.exchange(request('POST', '/', ['Content-Type: application/json'], body), 'POST')
    expect(upstream.request.body.equals(body)).toBe(true)
  })
})
