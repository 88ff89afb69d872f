/** HTTP backends: connections kept and given up, timeouts, aborts, uploads. Real sockets, a scripted upstream. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { HttpBackendConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Body, Flow } from '../../gateway/exchange.ts'
import { Registry } from '../../gateway/metrics.ts'
import { httpBackend, type HttpBackend } from '../../gateway/upstream/transport.ts'
import { backendMetrics } from '../../gateway/vital.ts'
import { Deadlines } from '../../gateway/wire/deadlines.ts'
import { answer, bytes, chunked } from '../blackbox/message.ts'
import { pause, type Peer, Upstream } from '../blackbox/scripted.ts'
import { freePort } from '../servers.ts'
import { backendConfig } from '../wire/thin.ts'
import { collect, exchangeFor, FedFlow, refusal, send } from './legs.ts'

let upstream: Upstream
let backend: HttpBackend
let deadlines: Deadlines

beforeAll(async () => void (upstream = await Upstream.listen()))
beforeEach(() => upstream.fresh())
afterEach(async () => {
  backend.close()
  for (const peer of upstream.peers) peer.destroy()
  await until(() => backend.state().every((one) => one.connections === 0 && one.in_flight === 0), 'all connections to be gone')
  expect(deadlines.size).toBe(0)
})
afterAll(() => upstream.close())

function start(config: Partial<HttpBackendConfig> = {}, ports: readonly number[] = [upstream.port]): HttpBackend {
  deadlines = new Deadlines(systemClock)
  backend = httpBackend(backendConfig(ports, config), { clock: systemClock, deadlines, metrics: new Registry().handles(backendMetrics), random: Math.random })
  return backend
}

async function until(ready: () => boolean, what: string, timeout_ms = 3000): Promise<void> {
  const end = performance.now() + timeout_ms
  while (!ready()) {
    if (performance.now() > end) throw new Error(`waited ${timeout_ms} ms for ${what}`)
    await pause(1)
  }
}

const state = (): ReturnType<HttpBackend['state']>[number] => backend.state()[0]!
const ask = (method = 'GET', body: Body = null): ReturnType<typeof send> => send(backend, exchangeFor(backend, method, body))
const whole = async (method = 'GET', body: Body = null): Promise<string> => (await collect((await ask(method, body)).body)).text

describe('kept connections', () => {
  it('carry one request after another', async () => {
    start()
    for (let i = 0; i < 5; i++) expect(await whole()).toBe('ok')
    expect([upstream.peers.length, state().idle, state().answered]).toEqual([1, 1, 5])
  })

  it('the youngest is used first', async () => {
    start()
    await Promise.all([whole(), whole(), whole()])
    expect(state().idle).toBe(3)
    const before = upstream.peers.map((peer) => peer.count)
    for (let i = 0; i < 4; i++) await whole()
    expect(upstream.peers.filter((peer, i) => peer.count > before[i]!).length).toBe(1)
  })

  it.each([
    ['Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['more behind the answer', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'],
    ['a 204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n'],
  ])('not behind %s', async (_, text) => {
    start()
    upstream.onRequest = () => text
    await whole()
    upstream.onRequest = () => answer(200, [], 'next')
    expect(await whole()).toBe('next')
    expect(upstream.peers.length).toBe(2)
  })

  it('HTTP/1.0 with keep-alive is kept', async () => {
    start()
    upstream.onRequest = () => 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok'
    await whole()
    await whole()
    expect(upstream.peers.length).toBe(1)
  })

  it('one on which bytes arrive unasked is given up: they never answer anybody', async () => {
    start()
    await whole()
    await upstream.peer.send(answer(200, [], 'poison'))
    await upstream.peer.untilOver()
    upstream.onRequest = () => answer(200, [], 'mine')
    expect(await whole()).toBe('mine')
    expect(upstream.peers.length).toBe(2)
  })

  it('Keep-Alive: timeout is believed, less a second', async () => {
    start({ keep_alive_ms: 60_000 })
    upstream.onRequest = () => answer(200, ['Keep-Alive: timeout=1'], 'ok')
    await whole()
    expect(state().connections).toBe(0)
    upstream.onRequest = () => answer(200, ['Keep-Alive: timeout=5'], 'ok')
    await whole()
    expect(state().idle).toBe(1)
  })

  it('are closed when they idled long enough', async () => {
    start({ keep_alive_ms: 60 })
    await whole()
    expect(state().idle).toBe(1)
    await upstream.peer.untilOver(1000)
    await until(() => state().connections === 0, 'the idle connection to go')
  })

  it('have a lifetime', async () => {
    start({ lifetime_ms: 50 })
    await whole()
    await pause(60)
    await whole()
    expect([upstream.peers.length, state().idle]).toEqual([1, 0])
  })

  it('close() closes idle ones at once and busy ones behind their answer', async () => {
    start()
    let release = (): void => {}
    upstream.onRequest = (got) => (got.target === '/slow' ? new Promise((done) => (release = () => done(answer(200, [], 'late')))) : answer(200, [], 'ok'))
    const slow = send(backend, exchangeFor(backend, 'GET', null, { target: '/slow' }))
    await whole()
    await until(() => state().idle === 1 && state().in_flight === 1, 'one idle, one busy')
    backend.close()
    expect(state().connections).toBe(1)
    await until(() => upstream.requests.length === 2, 'the slow request')
    release()
    expect((await collect((await slow).body)).text).toBe('late')
    expect(state().connections).toBe(0)
  })
})

describe('a kept connection that ends before the answer', () => {
  /** Answers the first request of a connection and resets at the second. */
  function fragile(): void {
    upstream.onConnection = async (peer: Peer) => {
      upstream.requests.push(await peer.readRequest())
      await peer.send(answer(200, [], 'ok'))
      upstream.requests.push(await peer.readRequest(60_000))
      peer.reset()
    }
  }

  it.each(['GET', 'HEAD', 'OPTIONS'])('%s goes once more, on a fresh one', async (method) => {
    start()
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
    fragile()
    await whole()
    const asked = exchangeFor(backend, method)
    const got = send(backend, asked)
    expect((await got).status).toBe(200)
    expect([upstream.peers.length, asked.x.attempts]).toEqual([2, 2])
  })

  it('but only once', async () => {
    start()
    fragile()
    await whole()
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      peer.reset()
    }
    expect(await refusal(ask())).toBe('RESET')
    expect(upstream.peers.length).toBe(2)
  })

  it.each([
    ['POST', Buffer.from('x')],
    ['POST', null],
    ['PUT', Buffer.from('x')],
    ['DELETE', null],
    ['GET', Buffer.from('x')],
  ] as const)('%s with %s does not: nobody knows whether it was done', async (method, body) => {
    start()
    fragile()
    await whole()
    expect(await refusal(ask(method, body))).toBe('RESET')
    expect([upstream.requests.length, upstream.peers.length]).toEqual([2, 1])
  })

  it('not after the first byte of an answer', async () => {
    start()
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      await peer.send(answer(200, [], 'ok'))
      await peer.readRequest(60_000)
      await peer.send('H')
      peer.finish()
    }
    await whole()
    expect(await refusal(ask())).toBe('RESET')
    expect(upstream.peers.length).toBe(1)
  })

  it('a fresh one is not repeated at all', async () => {
    start()
    upstream.onConnection = (peer) => peer.finish()
    expect(await refusal(ask())).toBe('RESET')
    expect(upstream.peers.length).toBe(1)
  })
})

describe('limits and failures', () => {
  it('as many connections as allowed, then OVERLOADED with a hint', async () => {
    start({ connections: 2 })
    upstream.onRequest = () => new Promise<void>(() => {})
    const legs = [exchangeFor(backend), exchangeFor(backend)]
    const waiting = legs.map((asked) => refusal(send(backend, asked)))
    const error = await ask().then(() => null, (error: unknown) => error as WeirError)
    expect([error?.code, error?.retryAfter]).toEqual(['OVERLOADED', 1])
    for (const { leg } of legs) leg.cancel(new WeirError('CALLER_LEFT'))
    expect(await Promise.all(waiting)).toEqual(['CALLER_LEFT', 'CALLER_LEFT'])
    upstream.onRequest = () => answer(200, [], 'ok')
    expect(await whole()).toBe('ok')
  })

  it('nobody listens: CONNECT_FAILED', async () => {
    start({}, [await freePort()])
    expect(await refusal(ask())).toBe('CONNECT_FAILED')
    expect(state().failed).toBe(1)
  })

  it('no such name: DNS_FAILED', async () => {
    start({ endpoints: [{ scheme: 'http', address: { host: 'nowhere.invalid', port: 1 }, authority: 'nowhere.invalid:1', prefix: '', weight: 1, zone: '', priority: 0 }] })
    expect(await refusal(ask())).toBe('DNS_FAILED')
  })

  it('no such socket: CONNECT_FAILED', async () => {
    start({ endpoints: [{ scheme: 'http', address: { unix: '/nonexistent/weir.sock' }, authority: 'x', prefix: '', weight: 1, zone: '', priority: 0 }] })
    expect(await refusal(ask())).toBe('CONNECT_FAILED')
  })

  it('no TLS there: TLS_FAILED', async () => {
    upstream.onConnection = (peer) => peer.send('HTTP/1.1 400 Bad Request\r\n\r\n')
    start({ endpoints: [{ scheme: 'https', address: { host: '127.0.0.1', port: upstream.port }, authority: 'x', prefix: '', weight: 1, zone: '', priority: 0 }] })
    expect(await refusal(ask())).toBe('TLS_FAILED')
  })

  it('nonsense: BAD_ANSWER, and the connection is gone', async () => {
    start()
    upstream.onRequest = () => 'SSH-2.0-OpenSSH_9.6\r\n'
    expect(await refusal(ask())).toBe('BAD_ANSWER')
    await upstream.peer.untilOver()
  })

  it.each([
    ['by length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n'],
  ])('an answer %s that breaks off fails its body', async (_, text) => {
    start()
    upstream.onRequest = async (_, peer) => {
      await peer.send(text)
      await pause(20)
      peer.finish()
    }
    expect(await collect((await ask()).body)).toEqual({ text: 'part', code: 'RESET', trailers: null })
  })

  it('until the end: a FIN is one, a RST is none', async () => {
    start()
    upstream.onRequest = async (got, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\n\r\npart')
      await pause(20)
      if (got.target === '/fin') peer.finish()
      else peer.reset()
    }
    expect((await collect((await send(backend, exchangeFor(backend, 'GET', null, { target: '/fin' }))).body)).code).toBeNull()
    expect((await collect((await send(backend, exchangeFor(backend, 'GET', null, { target: '/rst' }))).body)).code).toBe('RESET')
  })
})

describe('timeouts', () => {
  it('connect: until TCP and TLS stand', async () => {
    upstream.onConnection = () => {}
    start({ connect_ms: 80, endpoints: [{ scheme: 'https', address: { host: '127.0.0.1', port: upstream.port }, authority: 'x', prefix: '', weight: 1, zone: '', priority: 0 }] })
    expect(await refusal(ask())).toBe('CONNECT_TIMEOUT')
    await upstream.peer.untilOver(500)
  })

  it('no head: HEADERS_TIMEOUT, and the connection is gone', async () => {
    start({ response_headers_ms: 80 })
    upstream.onRequest = async (_, peer) => void (await peer.send('HTTP/1.1 200 OK\r\nx: '))
    expect(await refusal(ask())).toBe('HEADERS_TIMEOUT')
    await upstream.peer.untilOver()
  })

  it('informational answers do not prolong it', async () => {
    start({ response_headers_ms: 120 })
    upstream.onRequest = async (_, peer) => {
      for (let i = 0; i < 10 && !peer.over; i++) {
        await peer.send('HTTP/1.1 102 Processing\r\n\r\n')
        await pause(30)
      }
    }
    expect(await refusal(ask())).toBe('HEADERS_TIMEOUT')
  })

  it('no more of the body: IDLE_TIMEOUT', async () => {
    start({ idle_ms: 80 })
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'
    expect(await collect((await ask()).body)).toMatchObject({ text: 'part', code: 'IDLE_TIMEOUT' })
    await upstream.peer.untilOver()
  })

  it('a body that trickles is none', async () => {
    start({ idle_ms: 400 })
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n')
      for (let i = 0; i < 6; i++) {
        await pause(100)
        await peer.send('x')
      }
    }
    expect(await collect((await ask()).body)).toMatchObject({ text: 'xxxxxx', code: null })
  })

  it("the leg's limits come before the backend's", async () => {
    start()
    upstream.onRequest = () => new Promise<void>(() => {})
    const asked = exchangeFor(backend)
    asked.leg.limits = { connect_ms: 0, response_headers_ms: 60, first_byte_ms: 0, idle_ms: 0 }
    expect(await refusal(send(backend, asked))).toBe('HEADERS_TIMEOUT')
  })

  it('first_byte: a head alone is not enough', async () => {
    start()
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n'
    const asked = exchangeFor(backend)
    asked.leg.limits = { connect_ms: 0, response_headers_ms: 0, first_byte_ms: 60, idle_ms: 0 }
    expect((await collect((await send(backend, asked)).body)).code).toBe('FIRST_BYTE_TIMEOUT')
  })
})

describe('aborts', () => {
  const left = new WeirError('CALLER_LEFT')

  it('before anything', async () => {
    start()
    const asked = exchangeFor(backend)
    asked.leg.cancel(left)
    expect(await refusal(send(backend, asked))).toBe('CALLER_LEFT')
    expect([upstream.peers.length, asked.x.attempts]).toEqual([0, 0])
  })

  it('while connecting', async () => {
    start()
    const asked = exchangeFor(backend)
    const sent = refusal(send(backend, asked))
    asked.leg.cancel(left)
    expect(state()).toMatchObject({ in_flight: 0, connections: 0 })
    expect(await sent).toBe('CALLER_LEFT')
  })

  it('while uploading: the source hears of it', async () => {
    start()
    upstream.onConnection = () => {}
    const body = new FedFlow()
    const asked = exchangeFor(backend, 'POST', body)
    const sent = refusal(send(backend, asked))
    await until(() => body.calls.includes('start'), 'the upload')
    body.sink!.data(Buffer.from('abc'))
    const peer = await upstream.connection()
    await until(() => peer.unread.includes('abc'), 'the first chunk')
    asked.leg.cancel(left)
    expect([body.calls, state().connections]).toEqual([['start', 'cancel'], 0])
    await peer.untilOver(500)
    expect(await sent).toBe('CALLER_LEFT')
    expect(peer.unread.includes('0\r\n\r\n')).toBe(false)
  })

  it('while waiting', async () => {
    start()
    upstream.onRequest = () => new Promise<void>(() => {})
    const asked = exchangeFor(backend)
    const sent = refusal(send(backend, asked))
    await until(() => upstream.requests.length === 1, 'the request')
    asked.leg.cancel(left)
    expect(state()).toMatchObject({ in_flight: 0, connections: 0, failed: 0 })
    expect(await upstream.peer.untilOver(500)).toBeLessThan(100)
    expect(await sent).toBe('CALLER_LEFT')
  })

  it.each(['leg', 'flow'])('while streaming, by the %s', async (how) => {
    start()
    upstream.onRequest = async (_, peer) => void (await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'))
    const asked = exchangeFor(backend)
    const { body } = await send(backend, asked)
    const end = collect(body)
    await pause(10)
    if (how === 'leg') {
      asked.leg.cancel(left)
      expect(await end).toMatchObject({ text: 'part', code: 'CALLER_LEFT' })
    } else (body as Flow).cancel()
    expect(state()).toMatchObject({ in_flight: 0, connections: 0 })
    expect(await upstream.peer.untilOver(500)).toBeLessThan(100)
  })

  it('after the end: nothing', async () => {
    start()
    const asked = exchangeFor(backend)
    await collect((await send(backend, asked)).body)
    asked.leg.cancel(left)
    expect(state()).toMatchObject({ idle: 1, connections: 1 })
  })
})

describe('uploads', () => {
  it('in chunks, as they come', async () => {
    start()
    const body = new FedFlow()
    const sent = ask('POST', body)
    await until(() => body.sink !== null, 'the upload')
    const peer = await upstream.connection()
    await until(() => Buffer.concat(peer.arrivals.map(({ data }) => data)).includes('\r\n\r\n'), 'the head, before the first byte of the body')
    body.sink!.data(Buffer.from('abc'))
    body.sink!.data(Buffer.from('defg'))
    body.sink!.end(null)
    expect((await sent).status).toBe(200)
    expect(upstream.request.chunks.map(String)).toEqual(['abc', 'defg'])
  })

  it('by length', async () => {
    start()
    const body = new FedFlow(7)
    const sent = ask('PUT', body)
    await until(() => body.sink !== null, 'the upload')
    body.sink!.data(Buffer.from('abc'))
    body.sink!.data(Buffer.from('defg'))
    body.sink!.end(null)
    expect((await sent).status).toBe(200)
    expect([upstream.request.framing, upstream.request.body.toString()]).toEqual(['length', 'abcdefg'])
  })

  it('wait when the backend does not take more, and go on', async () => {
    start()
    upstream.onConnection = () => {}
    const body = new FedFlow()
    const asked = exchangeFor(backend, 'POST', body)
    const sent = refusal(send(backend, asked))
    const peer = await upstream.connection()
    peer.socket.pause()
    await until(() => body.sink !== null, 'the upload')
    let pushed = 0
    while (body.sink!.data(Buffer.alloc(65_536)) && pushed < 2000) pushed++
    expect(pushed).toBeLessThan(2000)
    await pause(30)
    peer.discard = true
    peer.socket.resume()
    await until(() => body.calls.includes('resume'), 'more to be wanted')
    asked.leg.cancel(new WeirError('CALLER_LEFT'))
    expect(await sent).toBe('CALLER_LEFT')
  })

  it('that break off break the request off', async () => {
    start()
    upstream.onConnection = () => {}
    const body = new FedFlow()
    const sent = refusal(ask('POST', body))
    await until(() => body.sink !== null, 'the upload')
    body.sink!.data(Buffer.from('abc'))
    body.sink!.fail(new WeirError('BAD_FRAMING'))
    expect(await sent).toBe('BAD_FRAMING')
    await upstream.peer.untilOver(500)
    expect(upstream.peer.unread.includes('0\r\n\r\n')).toBe(false)
  })

  it('an early answer stops them, and the connection is not used again', async () => {
    start()
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send(answer(413, [], 'no'))
    }
    const body = new FedFlow()
    const got = await ask('POST', body)
    expect([got.status, (await collect(got.body)).text]).toEqual([413, 'no'])
    expect([body.calls, state().connections]).toEqual([['start', 'cancel'], 0])
  })
})

describe('answers', () => {
  it('informational ones: 103 is passed on, 100 and 102 are not', async () => {
    start()
    upstream.onRequest = () => Buffer.concat([bytes('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n'), answer(200, [], 'ok')])
    const asked = exchangeFor(backend)
    expect((await collect((await send(backend, asked)).body)).text).toBe('ok')
    expect(asked.informed).toEqual([103])
  })

  it('trailers come with the end', async () => {
    start()
    upstream.onRequest = () => Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked(['ok'], ['X-Sum: 1', 'Content-Length: 9'])])
    expect(await collect((await ask()).body)).toEqual({ text: 'ok', code: null, trailers: ['X-Sum', '1'] })
  })

  it('a HEAD has none, and its connection stays', async () => {
    start()
    upstream.onRequest = () => 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'
    const got = await ask('HEAD')
    expect([got.body, got.statedLength]).toEqual([null, 1000])
    expect(state().idle).toBe(1)
  })

  it('a 101 nobody asked for is none', async () => {
    start()
    upstream.onRequest = () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
    expect(await refusal(ask())).toBe('BAD_ANSWER')
  })
})

describe('several endpoints', () => {
  it('round_robin takes turns', async () => {
    const other = await Upstream.listen()
    start({}, [upstream.port, other.port])
    for (let i = 0; i < 6; i++) await whole()
    expect([upstream.requests.length, other.requests.length]).toEqual([3, 3])
    expect(backend.state().map((one) => one.answered)).toEqual([3, 3])
    await other.close()
  })
})
