/** The hook before the last byte: what it wrote is there when the caller has the whole answer, and not before it is whole. */
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, chunk, chunked, request } from './message.ts'
import { type Peer, Upstream } from './scripted.ts'
import { freePort, startWeir, type Weir } from './weir.ts'

let folder: string
let file: string
let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'weir-finish-'))
  file = path.join(folder, 'told')
  upstream = await Upstream.listen()
  const use = JSON.stringify(fileURLToPath(new URL('tell_finish.ts', import.meta.url)))
  const tell = (name: string, more: string): string => `{ use: ${use}, options: { file: ${JSON.stringify(file)}, name: ${name}, ${more} } }`
  const plain = tell('a', 'reply: /never, throws: false')
  weir = await startWeir(`
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", idle: 400ms }
  nobody: { url: "http://127.0.0.1:${await freePort()}" }
  other: { answer: { status: 200, body: "instead" } }
routes:
  - { name: nobody, match: { path: /nobody }, backend: nobody, plugins: [${plain}] }
  - { name: saved, match: { path: /saved }, backend: nobody, plugins: [${plain}, { fallback: { to: [other] } }] }
  - name: two
    match: { path: "/two/**" }
    backend: up
    plugins: [${tell('a', 'reply: /never, throws: true')}, ${tell('b', 'reply: /two/turned, throws: false')}]
  - { name: all, match: { path: "/**" }, backend: up, plugins: [${plain}] }
`)
})
beforeEach(async () => {
  await upstream.fresh()
  await writeFile(file, '')
})
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
  rmSync(folder, { recursive: true, force: true })
})

type Told = [target: string, hook: string, status: number, what: string]

const told = (): Told[] => readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Told)
const hooks = (): string[] => told().map(([, hook]) => hook)
/** `done` may come after the caller has everything. */
const untilDone = (): Promise<unknown> => expect.poll(hooks, { timeout: 3000, interval: 5 }).toContain('a done')

/** Asks, and looks at what was told at the very moment the whole answer is there. */
async function ask(data: Buffer, method = 'GET'): Promise<{ readonly status: number; readonly body: string; readonly complete: boolean; readonly atEnd: Told[] }> {
  const peer = await weir.connect()
  await peer.send(data)
  const got = await peer.readFinal(method)
  const atEnd = told()
  peer.destroy()
  return { status: got.status, body: got.body.toString(), complete: got.complete, atEnd }
}

describe('finish has run when the caller has the whole answer', () => {
  it('in one piece', async () => {
    upstream.onRequest = () => answer(200, [], 'whole')
    const { status, body, atEnd } = await ask(request('POST', '/', [], 'in'), 'POST')
    expect([status, body, atEnd[0]?.slice(0, 3)]).toEqual([200, 'whole', ['/', 'a finish', 200]])
    await untilDone()
    expect(hooks()).toEqual(['a finish', 'a done'])
  })

  it.each([
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['304', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'],
    ['an answer to HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['an empty one', 'GET', answer(200)],
    ['an empty chunked one', 'GET', Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), chunked([])])],
  ])('without a body: %s', async (_name, method, bytes) => {
    upstream.onRequest = () => bytes
    const { atEnd } = await ask(request(method, '/'), method)
    expect(atEnd.map(([, hook]) => hook)).toContain('a finish')
    await untilDone()
    expect(hooks()).toEqual(['a finish', 'a done'])
  })

  it('an error of the backend, and one of weir', async () => {
    upstream.onRequest = () => answer(500, [], 'no')
    expect((await ask(request('GET', '/'))).atEnd[0]).toEqual(['/', 'a finish', 500, expect.any(String)])
    await untilDone()
    await writeFile(file, '')
    expect((await ask(request('GET', '/nobody'))).atEnd[0]).toEqual(['/nobody', 'a finish', 503, expect.stringMatching(/ bytes$/)])
    await untilDone()
    expect(told()[1]).toEqual(['/nobody', 'a done', 503, 'CONNECT_FAILED'])
  })

  it('the answer of a fallback', async () => {
    const { body, atEnd } = await ask(request('GET', '/saved'))
    expect([body, atEnd[0]]).toEqual(['instead', ['/saved', 'a finish', 200, '7 bytes']])
    await untilDone()
  })
})

/** The upstream's script runs in lockstep with the caller. */
async function inLockstep(script: (peer: Peer, caller: Peer) => Promise<void>): Promise<Peer> {
  const caller = await weir.connect()
  upstream.onConnection = async (peer) => {
    await peer.readRequest()
    await script(peer, caller)
  }
  await caller.send(request('GET', '/'))
  return caller
}

describe('and not before', () => {
  it.each([
    ['of a stated length', 'Content-Length: 6\r\n\r\n', 'one', 'two'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n', chunk('one'), Buffer.concat([chunk('two'), chunked([])])],
  ])('a stream %s', async (_name, framing, first, last) => {
    let between: Told[] | null = null
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send('HTTP/1.1 200 OK\r\n', framing, first)
      await caller.until(() => caller.heard.includes('one'), 'the first part')
      between = told()
      await peer.send(last)
    })
    const got = await caller.readFinal()
    const atEnd = told()
    expect([got.body.toString(), got.complete, between]).toEqual(['onetwo', true, []])
    expect(atEnd[0]).toEqual(['/', 'a finish', 200, 'flow'])
    caller.destroy()
    await untilDone()
    expect(hooks()).toEqual(['a finish', 'a done'])
  })
})

describe('done alone', () => {
  it('for an answer that is cut', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none')
      await caller.until(() => caller.heard.includes('one'), 'the first part')
      peer.reset()
    })
    expect((await caller.readFinal()).complete).toBe(false)
    await untilDone()
    expect(told()).toEqual([['/', 'a done', 200, 'RESET']])
    caller.destroy()
  })

  it('for one that stalls', async () => {
    const caller = await inLockstep(async (peer) => void (await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none')))
    expect((await caller.readFinal()).complete).toBe(false)
    await untilDone()
    expect(told()).toEqual([['/', 'a done', 200, 'IDLE_TIMEOUT']])
    caller.destroy()
  })

  it('for a caller that left in the middle', async () => {
    const caller = await inLockstep(async (peer, caller) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('one'))
      await caller.until(() => caller.heard.includes('one'), 'the first part')
      caller.destroy()
      await peer.untilOver()
    })
    await untilDone()
    expect(told()).toEqual([['/', 'a done', 200, 'CALLER_LEFT']])
    expect(caller.over).toBe(true)
  })

  it('for one that left before the answer', async () => {
    await inLockstep(async (peer, caller) => {
      caller.destroy()
      await peer.untilOver()
    })
    await untilDone()
    expect(told()).toEqual([['/', 'a done', 0, 'CALLER_LEFT']])
  })

  it('for an upgrade, when the tunnel is over', async () => {
    const ask = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
    upstream.onRequest = (_, peer) => void peer.send('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
    const caller = await weir.connect()
    await caller.send(request('GET', '/', ask))
    expect((await caller.readFinal()).status).toBe(101)
    expect(told()).toEqual([])
    caller.finish()
    upstream.peer.finish()
    await untilDone()
    expect(told()).toEqual([['/', 'a done', 101, '']])
    caller.destroy()
  })
})

describe('of several plugins', () => {
  it('runs in reverse, and a throw stops neither the others nor the answer', async () => {
    upstream.onRequest = () => answer(200, [], 'whole')
    const { body } = await ask(request('GET', '/two/x'))
    expect(body).toBe('whole')
    await untilDone()
    expect(hooks()).toEqual(['b finish', 'a finish', 'b done', 'a done'])
    expect((await weir.metrics()).sum('weir_plugin_errors_total', { plugin: 'tell_finish' })).toBeGreaterThan(0)
  })

  it('runs for those before the one that replied', async () => {
    expect(await ask(request('GET', '/two/turned'))).toMatchObject({ status: 429, body: 'no' })
    await untilDone()
    expect(hooks()).toEqual(['a finish', 'b done', 'a done'])
  })
})
