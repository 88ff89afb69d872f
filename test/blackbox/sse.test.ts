/** Streams: what the upstream has sent the caller has, before anything more is sent. No delays, no buffers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bytes, chunk, chunked, request } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { startWeir, type Weir } from './weir.ts'

let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  upstream = await Upstream.listen()
  weir = await startWeir(`
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", response_headers: 400ms, idle: 600ms }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`)
})
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
})

const STREAM = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n'

/** Asks and gives both ends while the upstream's script runs in lockstep with the caller. */
async function inLockstep(script: (peer: Peer, caller: Peer) => Promise<void>, ask: string | Buffer = request('GET', '/')): Promise<Peer> {
  const caller = await weir.connect()
  upstream.onConnection = async (peer) => {
    await peer.readRequest()
    await script(peer, caller)
  }
  await caller.send(ask)
  return caller
}

describe('52: streams', () => {
  it('52: the head arrives before there is a body', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n')
      await caller.until(() => caller.heard.includes('\r\n\r\n'), 'the head')
      await peer.send(chunked(['data: 1\n\n']))
    })
    expect(await caller.readFinal()).toMatchObject({ status: 200, complete: true, body: Buffer.from('data: 1\n\n') })
    caller.destroy()
  })

  it('52: each chunk arrives before the next one is sent', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send(STREAM, 'X-Accel-Buffering: yes\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (let i = 0; i < 50; i++) {
        await peer.send(chunk(`data: ${i}\n\n`))
        await caller.until(() => caller.heard.includes(`data: ${i}\n\n`), `event ${i}`)
      }
      await peer.send(chunked([]))
    })
    const got = await caller.readFinal('GET', 10_000)
    expect(got.complete).toBe(true)
    expect(got.chunks.map(String)).toEqual(Array.from({ length: 50 }, (_, i) => `data: ${i}\n\n`))
    caller.destroy()
  })

  it('52: each byte does, also of half a chunk and of half a length', async () => {
    for (const framing of ['Transfer-Encoding: chunked', 'Content-Length: 20']) {
      const caller = await inLockstep(async (peer, caller) => {
        await peer.send(STREAM, framing, '\r\n\r\n', framing.startsWith('T') ? '14\r\n' : '')
        for (let i = 0; i < 20; i++) {
          await peer.send(String.fromCharCode(65 + i))
          await caller.until(() => caller.heard.split('\r\n\r\n').slice(1).join().includes(String.fromCharCode(65 + i)), `byte ${i}`)
        }
        if (framing.startsWith('T')) await peer.send('\r\n0\r\n\r\n')
      })
      expect((await caller.readFinal('GET', 5000)).body.toString()).toBe('ABCDEFGHIJKLMNOPQRST')
      caller.destroy()
      await upstream.fresh()
    }
  })

  it('52: a stream that the end delimits is one too', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send('HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
      for (let i = 0; i < 10; i++) {
        await peer.send(`data: ${i}\n\n`)
        await caller.until(() => caller.heard.includes(`data: ${i}\n\n`), `event ${i}`)
      }
      peer.finish()
    })
    expect(await caller.readFinal()).toMatchObject({ complete: true, framing: 'chunked' })
    caller.destroy()
  })

  it('52: and to HTTP/1.0', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n')
      for (let i = 0; i < 10; i++) {
        await peer.send(chunk(`data: ${i}\n\n`))
        await caller.until(() => caller.heard.includes(`data: ${i}\n\n`), `event ${i}`)
      }
      await peer.send(chunked([]))
    }, 'GET / HTTP/1.0\r\n\r\n')
    expect(await caller.readFinal()).toMatchObject({ complete: true, framing: 'close', body: Buffer.from(Array.from({ length: 10 }, (_, i) => `data: ${i}\n\n`).join('')) })
  })

  it('52: chunks of an upload arrive before the next one is sent', async () => {
    const caller = await weir.connect()
    const seen = new Promise<Peer>((done) => (upstream.onConnection = done))
    await caller.send(request('POST', '/', ['Transfer-Encoding: chunked']))
    const peer = await seen
    await peer.readHead()
    for (let i = 0; i < 20; i++) {
      await caller.send(chunk(`part ${i};`))
      expect((await peer.readChunk()).toString()).toBe(`part ${i};`)
    }
    await caller.send(chunked([]))
    expect(await peer.readChunk()).toHaveLength(0)
    await peer.send('HTTP/1.1 204 No Content\r\n\r\n')
    expect((await caller.readFinal('POST')).status).toBe(204)
    caller.destroy()
  })

  it('52: heartbeats keep a stream longer than any timeout, silence ends it', async () => {
    const caller = await inLockstep(async (peer) => {
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n')
      for (let i = 0; i < 6; i++) {
        await pause(250)
        await peer.send(chunk(':\n\n'))
      }
    })
    const got = await caller.readFinal('GET', 5000)
    expect(got.complete).toBe(false)
    expect(got.chunks).toHaveLength(6)
  })

  it('52: a caller that leaves stops the stream', async () => {
    let stopped = false
    const caller = await inLockstep(async (peer) => {
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n')
      while (await peer.send(chunk('data: x\n\n'))) await pause(5)
      stopped = true
    })
    await caller.until(() => caller.count > 500, 'some events')
    caller.destroy()
    await expect.poll(() => stopped, { timeout: 1000 }).toBe(true)
  })

  it('52: a slow reader slows the stream down and loses nothing', async () => {
    const part = chunk(Buffer.alloc(16 << 10, 'e'))
    const count = 6000
    let sent = 0
    const before = await weir.residentMiB()
    const caller = await inLockstep(async (peer) => {
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n')
      for (; sent < count; sent++) if (!(await peer.send(part))) return
      await peer.send(chunked([]))
    })
    caller.socket.pause()
    caller.discard = true
    await pause(500)
    const stalled = sent
    await pause(100)
    expect(sent).toBe(stalled)
    expect(sent * part.length).toBeLessThan(40 << 20)
    expect((await weir.residentMiB()) - before).toBeLessThan(48)
    caller.socket.resume()
    const size = count * (16 << 10)
    await caller.until(() => caller.count > size, 'all of it', 10_000)
    expect(sent).toBe(count)
    caller.destroy()
  })

  it('52: two callers do not wait for each other', async () => {
    upstream.onRequest = async ({ target }, peer) => {
      if (target !== '/open') return bytes('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      await peer.send(STREAM, 'Transfer-Encoding: chunked\r\n\r\n', chunk('data: x\n\n'))
      return undefined
    }
    const streaming = await weir.connect()
    await streaming.send(request('GET', '/open'))
    await streaming.until(() => streaming.heard.includes('data: x'), 'the event')
    expect((await weir.exchange(request('GET', '/other'))).status).toBe(200)
    expect(streaming.over).toBe(false)
    streaming.destroy()
  })
})
