/** Both sides of the wire joined in one process: what connections do when somebody is slow, leaves, or says too much. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, bytes, chunked, request } from '../blackbox/message.ts'
import { connect, pause, type Peer, Upstream } from '../blackbox/scripted.ts'
import { type Thin, thin, type ThinOptions } from './thin.ts'

let upstream: Upstream
let gateway: Thin | null = null

beforeAll(async () => void (upstream = await Upstream.listen()))
beforeEach(() => upstream.fresh())
afterEach(async () => {
  const complaints = gateway?.complaints ?? []
  await gateway?.close()
  gateway = null
  expect(complaints).toEqual([])
})
afterAll(() => upstream.close())

async function start(options: ThinOptions = {}): Promise<{ gateway: Thin; caller: Peer }> {
  gateway = await thin(upstream.port, options)
  return { gateway, caller: await connect({ port: gateway.port }) }
}

/** Waits until `ready`. */
async function until(ready: () => boolean, what: string, timeout_ms = 3000): Promise<void> {
  const end = performance.now() + timeout_ms
  while (!ready()) {
    if (performance.now() > end) throw new Error(`waited ${timeout_ms} ms for ${what}`)
    await pause(2)
  }
}

const BIG = 8 << 20

describe('slow callers', () => {
  it.each([
    ['by length', (body: Buffer) => answer(200, [], body)],
    ['chunked', (body: Buffer) => Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked([body.subarray(0, 100), body.subarray(100)])])],
  ])('the connection of an answer (%s) whose end came while the caller was behind serves the next', async (_, write) => {
    const { gateway, caller } = await start({ backend: { response_headers_ms: 700 } })
    const body = Buffer.alloc(BIG, 'x')
    upstream.onRequest = (got) => (got.target === '/big' ? write(body) : answer(200, [], 'ok'))
    caller.socket.pause()
    await caller.send(request('GET', '/big'))
    await pause(150)
    caller.socket.resume()
    expect((await caller.readFinal()).body.length).toBe(BIG)
    for (let i = 0; i < 3; i++) {
      await caller.send(request('GET', '/next'))
      expect((await caller.readFinal()).status).toBe(200)
    }
    expect(upstream.peers.length).toBe(1)
    expect(gateway.backend.state()[0]).toMatchObject({ connections: 1, idle: 1, in_flight: 0 })
  })

  it.each(['HTTP/1.1\r\nConnection: close', 'HTTP/1.0'])('an answer to %s is not cut because its caller takes longer than the lingering second', async (version) => {
    const { caller } = await start()
    upstream.onRequest = () => answer(200, [], Buffer.alloc(BIG, 'x'))
    caller.socket.pause()
    await caller.send(`GET / ${version}\r\nHost: a\r\n\r\n`)
    await pause(1500)
    caller.socket.resume()
    expect((await caller.readFinal()).body.length).toBe(BIG)
  })

  it('nor one that a plugin made whole', async () => {
    const { caller } = await start({ route: { responseBody: [] } as never })
    upstream.onRequest = () => answer(200, [], Buffer.alloc(BIG, 'x'))
    caller.socket.pause()
    await caller.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await pause(1500)
    caller.socket.resume()
    expect((await caller.readFinal()).body.length).toBe(BIG)
  })

  it('a caller that takes a whole answer slowly, but takes it, is not cut at the idle timeout', async () => {
    const { caller } = await start({ timeouts: { idle_ms: 2500 }, route: { responseBody: [] } as never })
    upstream.onRequest = () => answer(200, [], Buffer.alloc(24 << 20, 'x'))
    caller.discard = true
    await caller.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    // A little every now and then, longer than the idle timeout in all. The kernel may take a second of its own to see that a window that
    // was shut is open again (the persist timer of RFC 9293 §3.8.6.1), so the timeout is well above that.
    for (let i = 0; i < 10; i++) {
      caller.socket.pause()
      await pause(330)
      caller.socket.resume()
      await until(() => caller.count > i << 20, 'the next megabyte', 6000)
    }
    await until(() => caller.count > 24 << 20, 'the rest')
    expect(caller.over).toBe(false)
  })

  it('one that takes nothing is cut at the idle timeout, and the backend is not blamed', async () => {
    const { gateway, caller } = await start({ timeouts: { idle_ms: 300 } })
    upstream.onRequest = () => answer(200, [], Buffer.alloc(64 << 20, 'x'))
    caller.socket.pause()
    await caller.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => gateway.records.length === 1, 'the end of the exchange')
    expect(gateway.records[0]).toMatchObject({ code: 'CALLER_LEFT', status: 200 })
    caller.destroy()
  })

  it("a caller that is behind does not run the backend's idle clock", async () => {
    const { gateway, caller } = await start({ backend: { idle_ms: 200 } })
    const parts = Array.from({ length: 600 }, () => Buffer.alloc(16_000, 'x'))
    upstream.onRequest = () => Buffer.concat([bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked(parts)])
    caller.socket.pause()
    await caller.send(request('GET', '/'))
    await pause(600)
    caller.socket.resume()
    const got = await caller.readFinal()
    expect([got.complete, got.body.length]).toEqual([true, 600 * 16_000])
    expect(gateway.records[0]!.code).toBeNull()
  })
})

describe('slow backends', () => {
  it('that do not take an upload are to blame, not the caller', async () => {
    const { caller } = await start({ backend: { idle_ms: 300 }, timeouts: { idle_ms: 300 } })
    upstream.onConnection = (peer) => void peer.socket.pause()
    await Promise.race([caller.send(request('POST', '/', [], Buffer.alloc(32 << 20))), pause(500)])
    expect((await caller.readFinal()).status).toBe(504)
  })
})

describe('slow uploads', () => {
  it('are the fault of the caller, not of the backend', async () => {
    const { gateway, caller } = await start({ backend: { idle_ms: 150 }, timeouts: { idle_ms: 600 } })
    await caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345')
    await pause(400)
    await caller.send('67890')
    expect((await caller.readFinal()).status).toBe(200)
    await caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345')
    expect((await caller.readFinal()).status).toBe(408)
    expect(gateway.backend.state()[0]).toMatchObject({ in_flight: 0, idle: 0 })
  })

  it('whose answer already flows keep their connection while either side moves', async () => {
    const { caller } = await start({ timeouts: { idle_ms: 300 } })
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (let i = 0; i < 8; i++) {
        await pause(100)
        await peer.send('1\r\nx\r\n')
      }
      await peer.send('0\r\n\r\n')
    }
    await caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345')
    const got = await caller.readFinal()
    expect([got.complete, got.body.toString()]).toEqual([true, 'xxxxxxxx'])
  })

  it('that turn out broken while the answer flows end the exchange with the backend, and the answer is cut', async () => {
    const { gateway, caller } = await start()
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
    }
    await caller.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n')
    await until(() => caller.unread.includes('x\r\n'), 'the first chunk')
    await caller.send('nonsense\r\n')
    expect((await caller.readFinal()).complete).toBe(false)
    await upstream.peer.untilOver()
    expect(gateway.backend.state()[0]).toMatchObject({ in_flight: 0, connections: 0 })
  })
})

describe('connections of callers', () => {
  it('an empty line behind a body is no request: the connection may idle on', async () => {
    const { caller } = await start({ timeouts: { request_headers_ms: 200, idle_ms: 700 } })
    await caller.send(request('POST', '/', [], 'x'), '\r\n')
    expect((await caller.readFinal()).status).toBe(200)
    await pause(400)
    expect(caller.unread.toString()).toBe('')
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).status).toBe(200)
    await caller.untilOver()
    expect(caller.unread.toString()).toBe('')
  })

  it('one byte more is one: it has its time', async () => {
    const { caller } = await start({ timeouts: { request_headers_ms: 200, idle_ms: 5000 } })
    await caller.send('\r\nG')
    expect((await caller.readFinal()).status).toBe(408)
  })

  it('what stands behind an upgrade that was not taken is no request', async () => {
    const { gateway, caller } = await start()
    upstream.onRequest = () => answer(426, [], 'no')
    const ask = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
    await caller.send(request('GET', '/', ask), 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await caller.readFinal()).status).toBe(426)
    await caller.untilOver()
    expect([caller.unread.toString(), upstream.requests.length, gateway.records.length]).toEqual(['', 1, 1])
  })

  it('much of it before the backend switches does not stop the tunnel', async () => {
    const { caller } = await start()
    const words = Buffer.alloc(200_000, 'abcdefg')
    upstream.onRequest = async (_, peer) => {
      await pause(150)
      await peer.send('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    }
    const ask = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
    void caller.send(request('GET', '/', ask), words)
    expect((await caller.readFinal()).status).toBe(101)
    expect((await upstream.peer.read(words.length)).equals(words)).toBe(true)
    caller.destroy()
  })
})

describe('tunnels', () => {
  const ask = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
  const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'

  it('outlive the time a backend has for its first answer', async () => {
    const { caller } = await start({ backend: { response_headers_ms: 200 } })
    upstream.onRequest = () => SWITCH
    await caller.send(request('GET', '/', ask))
    expect((await caller.readFinal()).status).toBe(101)
    for (let i = 0; i < 5; i++) {
      await pause(100)
      await upstream.peer.send('.')
      await caller.expectBytes('.')
    }
    caller.destroy()
  })

  it('lose nothing of what a backend says while hooks look at its 101', async () => {
    const hook = { plugin: 'slow', index: 0, onError: 'closed', run: () => pause(100), failed: () => {} }
    const { caller } = await start({ route: { plugins: ['slow'], response: [hook] } as never })
    upstream.onRequest = async (_, peer) => {
      await peer.send(SWITCH, 'one ')
      await pause(30)
      await peer.send('two ')
      await pause(30)
      await peer.send('three')
    }
    await caller.send(request('GET', '/', ask))
    expect((await caller.readFinal()).status).toBe(101)
    await caller.expectBytes('one two three')
    caller.destroy()
  })

  it('a caller that left before the tunnel stood leaves no connection behind', async () => {
    const hook = { plugin: 'slow', index: 0, onError: 'closed', run: () => pause(150), failed: () => {} }
    const { gateway, caller } = await start({ route: { plugins: ['slow'], response: [hook] } as never })
    upstream.onRequest = () => SWITCH
    await caller.send(request('GET', '/', ask))
    await upstream.connection()
    await pause(50)
    caller.reset()
    await upstream.peer.untilOver(1000)
    expect(gateway.backend.state()[0]!.connections).toBe(0)
  })

  it('a backend that ends its direction still hears the caller', async () => {
    const { gateway, caller } = await start()
    upstream.onRequest = async (_, peer) => {
      await peer.send(SWITCH, 'bye')
      peer.finish()
    }
    await caller.send(request('GET', '/', ask))
    expect((await caller.readFinal()).status).toBe(101)
    await caller.expectBytes('bye')
    await caller.untilOver()
    await caller.send('last words')
    await upstream.peer.expectBytes('last words')
    caller.finish()
    await until(() => gateway.records.length === 1 && gateway.listener.connections === 0, 'the end of the tunnel')
    expect(gateway.backend.state()[0]!.connections).toBe(0)
  })

  it('are over once', async () => {
    let done = 0
    const hook = { plugin: 'count', index: 0, onError: 'closed', run: () => void done++, failed: () => {} }
    const { gateway, caller } = await start({ route: { plugins: ['count'], done: [hook] } as never })
    upstream.onRequest = () => SWITCH
    await caller.send(request('GET', '/', ask))
    expect((await caller.readFinal()).status).toBe(101)
    caller.destroy()
    await until(() => gateway.listener.connections === 0 && gateway.backend.state()[0]!.connections === 0, 'the end of the tunnel')
    expect([done, gateway.records.length]).toEqual([1, 1])
  })
})

describe('answers that say too much', () => {
  it('informational ones have an end', async () => {
    const { gateway, caller } = await start()
    upstream.onRequest = async (_, peer) => {
      for (let i = 0; i < 2000 && !peer.over; i++) await peer.send('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n')
    }
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).status).toBe(502)
    await until(() => gateway.backend.state()[0]!.connections === 0, 'the end of the connection')
  })

  it('a 204 with a body is the last of its connection', async () => {
    const { caller } = await start()
    upstream.onRequest = (got) => (got.target === '/204' ? 'HTTP/1.1 204 No Content\r\nContent-Length: 38\r\n\r\n' : answer(200, [], 'ok'))
    await caller.send(request('GET', '/204'))
    expect((await caller.readFinal()).status).toBe(204)
    await upstream.peer.untilOver()
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).body.toString()).toBe('ok')
    expect(upstream.peers.length).toBe(2)
  })

  it('what outgrows its reader ends the connection in the middle of what was received', async () => {
    const { gateway, caller } = await start({ route: { responseBody: [], maxBodyBytes: 10 } as never })
    upstream.onRequest = async (_, peer) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      await pause(30)
      await peer.send(Buffer.concat(Array.from({ length: 50 }, () => bytes('5\r\nabcde\r\n'))))
    }
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).status).toBe(502)
    expect(gateway.records[0]).toMatchObject({ code: 'INVALID_ANSWER' })
    await until(() => gateway.backend.state()[0]!.connections === 0, 'the end of the connection')
  })
})
