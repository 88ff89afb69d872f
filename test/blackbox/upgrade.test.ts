/** Upgrades: WebSocket tunnels byte for byte, everything else refused or ignored. RFC 6455 4, RFC 9110 7.8. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, request } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

const config = (): string => `
timeouts: { request_headers: 1s, idle: 700ms }
drain: { grace: 100ms, deadline: 600ms }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", response_headers: 500ms, idle: 700ms }
routes:
  - name: limited
    match: { path: /limited }
    backend: up
    plugins: [ { timeout: { total: 200ms } } ]
  - { name: all, match: { path: "/**" }, backend: up }
`

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(config())
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

/** The sample handshake of RFC 6455, 1.3. */
const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
const ASK = ['Connection: Upgrade', 'Upgrade: websocket', KEY, 'Sec-WebSocket-Version: 13']
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'

/** An open tunnel, both ends. */
async function tunnel(to: Weir = weir, target = '/'): Promise<{ caller: Peer; seen: Peer }> {
  upstream.onRequest = (_, peer) => void peer.send(SWITCH)
  const caller = await to.connect()
  await caller.send(request('GET', target, ASK))
  expect((await caller.readFinal()).status).toBe(101)
  return { caller, seen: upstream.peers.at(-1)! }
}

describe('48: WebSocket', () => {
  it('48: the handshake goes through, Connection and Upgrade are made anew', async () => {
    upstream.onRequest = (_, peer) => void peer.send(SWITCH.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate; x=1\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n'))
    const caller = await weir.connect()
    await caller.send(request('GET', '/chat?x', [...ASK, 'Sec-WebSocket-Protocol: a, b', 'Sec-WebSocket-Extensions: permessage-deflate', 'Origin: http://x.test', 'Cookie: c=1']))
    const got = await caller.readFinal()
    expect(got.status).toBe(101)
    expect(got.head.one('upgrade')).toBe('websocket')
    expect(got.head.list('connection')).toEqual(['upgrade'])
    expect(got.head.one('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    expect(got.head.one('sec-websocket-protocol')).toBe('b')
    expect(got.head.one('sec-websocket-extensions')).toBe('permessage-deflate; x=1')
    expect(got.head.all('set-cookie')).toEqual(['a=1', 'b=2'])
    expect(got.head.has('content-length')).toBe(false)
    expect(got.head.has('transfer-encoding')).toBe(false)
    const asked = upstream.request
    expect(asked.head.line).toBe('GET /chat?x HTTP/1.1')
    expect(asked.head.one('upgrade')).toBe('websocket')
    expect(asked.head.list('connection')).toEqual(['upgrade'])
    expect(asked.head.one('sec-websocket-key')).toBe('dGhlIHNhbXBsZSBub25jZQ==')
    expect(asked.head.one('sec-websocket-version')).toBe('13')
    expect(asked.head.one('sec-websocket-protocol')).toBe('a, b')
    expect(asked.head.one('origin')).toBe('http://x.test')
    caller.destroy()
  })

  it('48: bytes go both ways as they are', async () => {
    const { caller, seen } = await tunnel()
    const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    await caller.send(every)
    await seen.expectBytes(every)
    await seen.send(every, 'GET / HTTP/1.1\r\n\r\n')
    await caller.expectBytes(Buffer.concat([every, bytes('GET / HTTP/1.1\r\n\r\n')]))
    caller.destroy()
  })

  it('48: bytes that come with the heads are not lost', async () => {
    upstream.onRequest = (_, peer) => void peer.send(SWITCH, 'first words of the upstream')
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ASK), 'first words of the caller')
    expect((await caller.readFinal()).status).toBe(101)
    await caller.expectBytes('first words of the upstream')
    const seen = await upstream.connection()
    await seen.expectBytes('first words of the caller')
    await caller.send(', and more')
    await seen.expectBytes(', and more')
    caller.destroy()
  })

  it('48: megabytes both ways at once', async () => {
    const { caller, seen } = await tunnel()
    const size = 8 << 20
    const there = Buffer.alloc(size, 'abcdefg')
    const back = Buffer.alloc(size, '1234567')
    void caller.send(there)
    void seen.send(back)
    const [received, returned] = await Promise.all([seen.read(size, 8000), caller.read(size, 8000)])
    expect(received.equals(there)).toBe(true)
    expect(returned.equals(back)).toBe(true)
    caller.destroy()
  })

  it('48: a reader that stops stops the writer', async () => {
    const { caller, seen } = await tunnel()
    caller.socket.pause()
    let sent = 0
    const writing = (async () => {
      for (const part = Buffer.alloc(1 << 20); sent < 96 << 20 && (await seen.send(part)); ) sent += part.length
    })()
    await pause(500)
    const before = sent
    await pause(100)
    expect(sent).toBe(before)
    expect(sent).toBeLessThan(40 << 20)
    caller.reset()
    await writing
  })

  it('48: any other answer is an ordinary one', async () => {
    upstream.onRequest = () => answer(403, ['X-Why: no'], 'forbidden')
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ASK))
    const got = await caller.readFinal()
    expect(got).toMatchObject({ status: 403, complete: true, body: Buffer.from('forbidden') })
    expect(got.head.one('x-why')).toBe('no')
    expect(got.head.has('upgrade')).toBe(false)
    caller.destroy()
  })

  it('48: so is an error', async () => {
    upstream.onRequest = (_, peer) => peer.reset()
    expectProblem(await weir.exchange(request('GET', '/', ASK)), 502, 'RESET')
    await upstream.fresh()
    upstream.onRequest = () => undefined
    expectProblem(await weir.exchange(request('GET', '/', ASK)), 504, 'HEADERS_TIMEOUT')
  })

  it('48: the case of words does not matter', async () => {
    upstream.onRequest = (_, peer) => void peer.send(SWITCH)
    const got = await weir.exchange(request('GET', '/', ['connection: keep-alive, UPGRADE', 'UPGRADE: WebSocket', KEY, 'sec-websocket-version: 13']))
    expect(got.status).toBe(101)
  })
})

describe('49: upgrades that are refused or ignored', () => {
  it.each<[string, string | Buffer]>([
    ['no key', request('GET', '/', ASK.filter((line) => line !== KEY))],
    ['two keys', request('GET', '/', [...ASK, KEY])],
    ['a key too short', request('GET', '/', ASK.map((line) => (line === KEY ? 'Sec-WebSocket-Key: YWJj' : line)))],
    ['a key that is not base64', request('GET', '/', ASK.map((line) => (line === KEY ? 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==' : line)))],
    ['an empty key', request('GET', '/', ASK.map((line) => (line === KEY ? 'Sec-WebSocket-Key:' : line)))],
    ['HTTP/1.0', request('GET', '/', ASK).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0')],
    ['a body', request('GET', '/', ASK, 'body')],
    ['a chunked body', Buffer.concat([request('GET', '/', [...ASK, 'Transfer-Encoding: chunked']), bytes('0\r\n\r\n')])],
    ['POST', request('POST', '/', ASK)],
    ['h2c', request('GET', '/', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'])],
    ['h2c without settings', request('GET', '/', ['Connection: Upgrade', 'Upgrade: h2c'])],
    ['H2C', request('GET', '/', ['Connection: upgrade', 'Upgrade: H2C'])],
    ['websocket and h2c', request('GET', '/', [...ASK.map((line) => (line.startsWith('Upgrade') ? 'Upgrade: websocket, h2c' : line))])],
    ['two Upgrade fields', request('GET', '/', [...ASK, 'Upgrade: h2c'])],
  ])('49: %s is refused', async (_, data) => {
    expectProblem(await weir.exchange(data), 400, 'BAD_UPGRADE')
    expect(upstream.peers).toHaveLength(0)
  })

  it.each<[string, string[]]>([
    ['an unknown token', ['Connection: Upgrade', 'Upgrade: foo/2']],
    ['TLS', ['Connection: Upgrade', 'Upgrade: TLS/1.0']],
    ['websocket that Connection does not name', ['Upgrade: websocket', KEY]],
    ['Connection without Upgrade', ['Connection: Upgrade']],
  ])('49: %s is ignored', async (_, lines) => {
    expect((await weir.exchange(request('GET', '/', lines))).status).toBe(200)
    expect(upstream.request.head.has('upgrade')).toBe(false)
    expect(upstream.request.head.list('connection')).not.toContain('upgrade')
  })

  it('49: an upstream that switches unasked, or to something else, is a 502', async () => {
    upstream.onRequest = () => SWITCH
    expectProblem(await weir.exchange(request('GET', '/')), 502, 'BAD_ANSWER')
    await upstream.fresh()
    upstream.onRequest = () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n'
    expectProblem(await weir.exchange(request('GET', '/', ASK)), 502, 'BAD_ANSWER')
  })

  it('49: bytes behind a refused upgrade are not a request', async () => {
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA']), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', request('GET', '/smuggled'))
    expectProblem(await caller.readFinal(), 400, 'BAD_UPGRADE')
    await caller.untilOver(1000)
    expect(upstream.peers).toHaveLength(0)
  })
})

describe('50: the end of a tunnel', () => {
  type Side = 'caller' | 'seen'
  const sides: [Side, Side][] = [['caller', 'seen'], ['seen', 'caller']]

  it.each(sides)('50: when %s breaks, %s hears it at once', async (from, to) => {
    const ends = await tunnel()
    ends[from].reset()
    expect(await ends[to].untilOver(1000)).toBeLessThan(100)
  })

  it.each(sides)('50: what %s said before it ended reaches %s', async (from, to) => {
    const ends = await tunnel()
    await ends[from].send('last words')
    ends[from].finish()
    expect((await ends[to].readAll(1000)).toString()).toBe('last words')
    ends[from].destroy()
    ends[to].destroy()
  })

  it('50: silence in both directions ends it', async () => {
    const { caller, seen } = await tunnel()
    await caller.untilOver(2500)
    await seen.untilOver(500)
  })

  it('50: bytes keep it open', async () => {
    const { caller, seen } = await tunnel()
    for (let i = 0; i < 6; i++) {
      await pause(250)
      await caller.send('ping')
      await seen.expectBytes('ping')
      await seen.send('pong')
      await caller.expectBytes('pong')
    }
    caller.destroy()
  })

  it('50: three hundred tunnels leave nothing behind', async () => {
    for (let round = 0; round < 10; round++) {
      const ends = await Promise.all(Array.from({ length: 30 }, () => opened()))
      ends.forEach((caller, i) => (i % 3 === 0 ? caller.reset() : i % 3 === 1 ? caller.destroy() : caller.finish()))
      await upstream.fresh()
    }
    await weir.untilMetric(0, 'weir_connections')
    await weir.untilMetric(0, 'weir_backend_in_flight')
    await weir.untilMetric(0, 'weir_backend_connections')
  })

  async function opened(): Promise<Peer> {
    upstream.onRequest = (_, peer) => void peer.send(SWITCH)
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ASK))
    expect((await caller.readFinal()).status).toBe(101)
    return caller
  }
})

describe('51: a tunnel and time', () => {
  it('51: the time for a request does not end it', async () => {
    const { caller, seen } = await tunnel(weir, '/limited')
    await pause(400)
    await caller.send('still here')
    await seen.expectBytes('still here')
    caller.destroy()
  })

  it('51: a stop ends it by the deadline, and the process cleanly', async () => {
    const other = await startWeir(config())
    const { caller, seen } = await tunnel(other)
    const talking = setInterval(() => void caller.send('.'), 100)
    const stopping = other.stop()
    await caller.untilOver(2500)
    clearInterval(talking)
    await seen.untilOver(1000)
    expect(await stopping).toBe(0)
  })
})
