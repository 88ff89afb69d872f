/** Fallback over sockets: a first backend that fails in every way a stream can, a second one that answers. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, chunk, chunked, request } from './message.ts'
import { pause, type Peer, Upstream } from './scripted.ts'
import { expectProblem, freePort, startWeir, type Weir } from './weir.ts'
import { DONE, HEARTBEAT, openai } from '../gateway/streams.ts'

const SECOND = openai.role + openai.second + openai.finish + DONE
const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'

let first: Upstream
let second: Upstream
let weir: Weir

beforeAll(async () => {
  first = await Upstream.listen()
  second = await Upstream.listen()
  weir = await startWeir(`
access_log: stdout
backends:
  first: { url: "http://127.0.0.1:${first.port}", response_headers: 500ms, idle: 500ms }
  second: { url: "http://127.0.0.1:${second.port}" }
  nobody: { url: "http://127.0.0.1:${await freePort()}" }
  dead: { urls: ["http://127.0.0.1:${await freePort()}", "http://127.0.0.1:${await freePort()}"], ejection: { consecutive: 1, base: 60s, max: 60s, max_percent: 100 } }
  constant: { answer: { json: { score: 0.5 } } }
routes:
  - name: buffer
    match: { path: "/buffer/**" }
    backend: first
    plugins: [{ fallback: { to: [second], on: [timeout, connect, reset, 5xx, invalid], stream: buffer } }]
  - name: chain
    match: { path: "/chain" }
    backend: first
    plugins: [{ fallback: { to: [nobody, constant] } }]
  - { name: dead, match: { path: /dead }, backend: dead, plugins: [{ fallback: { to: [second] } }] }
  - { name: dead_alone, match: { path: /dead_alone }, backend: dead }
  - { name: beside, match: { path: /beside }, backend: nobody, plugins: [{ fallback: { to: [dead, constant] } }] }
  - name: pass
    match: { path: "/**" }
    backend: first
    plugins: [{ fallback: { to: [second], on: [timeout, connect, reset, 5xx, invalid, 429, "400:context_length_exceeded"] } }]
`)
})
beforeEach(async () => {
  await Promise.all([first.fresh(), second.fresh()])
  second.onRequest = async (_request, peer) => {
    await peer.send(HEAD, chunked([SECOND]))
  }
})
afterAll(async () => {
  await weir?.stop()
  await Promise.all([first?.close(), second?.close()])
})

/** What the first backend does with every request. */
function answers(script: (peer: Peer) => unknown): void {
  first.onConnection = async (peer) => {
    await peer.readRequest()
    await script(peer)
  }
}

const ask = (path = '/'): Promise<Awaited<ReturnType<Weir['exchange']>>> => weir.exchange(request('POST', path, ['Content-Type: application/json'], '{"stream":true}'), 'POST', 5000)

/** The second backend answered, whole, once, and the answer says why. */
async function expectSecond(reason: string, path = '/'): Promise<void> {
  const got = await ask(path)
  expect([got.status, got.complete, got.body.toString()]).toEqual([200, true, SECOND])
  expect([got.head.one('x-weir-backend'), got.head.one('x-weir-fallback'), got.head.one('x-weir-attempts')]).toEqual(['second', `first;${reason}`, '2'])
  expect([first.peers.length, second.requests.length, second.requests[0]!.body.toString()]).toEqual([1, 1, '{"stream":true}'])
}

const streaming = (...parts: string[]) => (peer: Peer): Promise<boolean> => peer.send(HEAD, ...parts.map((part) => chunk(part)))

describe('a stream that fails before it carries content', () => {
  it.each<[string, string, (peer: Peer) => unknown]>([
    ['reset', 'reset before the head', (peer) => peer.reset()],
    ['timeout', 'silence', () => undefined],
    ['5xx', 'a 503', (peer) => peer.send(answer(503, ['Content-Type: text/event-stream'], openai.error))],
    ['429', 'a 429', (peer) => peer.send(answer(429, ['Retry-After: 20']))],
    ['reset', 'a head and a reset', async (peer) => (await streaming()(peer), await pause(20), peer.reset())],
    ['reset', 'a head and the end of the connection', async (peer) => (await streaming()(peer), await pause(20), peer.finish())],
    ['timeout', 'a head and silence', streaming()],
    ['reset', 'a role and a reset', async (peer) => (await streaming(openai.role)(peer), await pause(20), peer.reset())],
    ['timeout', 'a role and silence', streaming(openai.role)],
    ['invalid', 'an error event under a 200', streaming(openai.error)],
    ['invalid', 'an error behind a heartbeat and a role', streaming(HEARTBEAT, openai.role, openai.error)],
    ['invalid', 'a first event that is no JSON', streaming('data: {"choices":[{"delta":{"con\n\n')],
    ['invalid', 'the end of the body behind the role', async (peer) => peer.send(HEAD, chunked([openai.role]))],
    ['invalid', 'an error in one segment, of known length', (peer) => peer.send(answer(200, ['Content-Type: text/event-stream'], openai.error))],
    ['400:context_length_exceeded', 'a 400 that says why', (peer) => peer.send(answer(400, ['Content-Type: application/json'], '{"error":{"code":"context_length_exceeded"}}'))],
    ['400:context_length_exceeded', 'such a 400, in pieces', (peer) => peer.sendCut(answer(400, ['Content-Type: application/json'], '{"error":{"code":"context_length_exceeded"}}'), [20, 90, 100])],
  ])('%s: %s', async (reason, _what, script) => {
    answers(script)
    await expectSecond(reason)
  })

  it('another 400 is the caller\'s', async () => {
    answers((peer) => peer.send(answer(400, ['Content-Type: application/json'], '{"error":{"code":"content_filter"}}')))
    const got = await ask()
    expect([got.status, got.body.toString(), got.head.list('x-weir-fallback')]).toEqual([400, '{"error":{"code":"content_filter"}}', []])
    expect(second.requests).toHaveLength(0)
  })

  it('whatever the cuts of its bytes', async () => {
    const bytes = Buffer.from(HEAD + chunk(HEARTBEAT + openai.role).toString() + chunk(openai.error).toString() + chunked([DONE]).toString())
    for (let seed = 1; seed <= 12; seed++) {
      const cuts = Array.from({ length: 6 }, (_, i) => (seed * 7919 * (i + 1)) % bytes.length).toSorted((a, b) => a - b)
      answers((peer) => peer.sendCut(bytes, cuts))
      await expectSecond('invalid')
      await Promise.all([first.fresh(), second.fresh()])
      second.onRequest = async (_request, peer) => void (await peer.send(HEAD, chunked([SECOND])))
    }
  })
})

describe('a stream that carries content', () => {
  it('goes on as it comes: each event is there before the next one is sent', async () => {
    const caller = await weir.connect()
    answers(async (peer) => {
      await peer.send(HEAD, chunk(HEARTBEAT), chunk(openai.role))
      await pause(30)
      expect(caller.count).toBe(0)
      await peer.send(chunk(openai.token))
      await caller.until(() => caller.heard.includes('Hello'), 'the first token')
      expect(caller.heard).toContain(HEARTBEAT)
      for (let i = 0; i < 40; i++) {
        await peer.send(chunk(`data: ${i};\n\n`))
        await caller.until(() => caller.heard.includes(`data: ${i};`), `event ${i}`)
      }
      await peer.send(chunked([openai.finish, DONE]))
    })
    await caller.send(request('POST', '/', [], '{}'))
    const got = await caller.readFinal('POST', 10_000)
    expect([got.complete, got.head.list('x-weir-fallback'), got.head.one('x-weir-backend')]).toEqual([true, [], 'first'])
    expect(got.body.toString()).toBe(`${HEARTBEAT}${openai.role}${openai.token}${Array.from({ length: 40 }, (_, i) => `data: ${i};\n\n`).join('')}${openai.finish}${DONE}`)
    expect(second.requests).toHaveLength(0)
    caller.destroy()
  })

  it.each<[string, (peer: Peer) => unknown]>([
    ['a reset', (peer) => peer.reset()],
    ['the end of the connection', (peer) => peer.finish()],
    ['silence', () => undefined],
  ])('cut behind it by %s it is never made whole', async (_what, script) => {
    answers(async (peer) => {
      await streaming(openai.role, openai.token)(peer)
      await pause(50)
      await script(peer)
    })
    const got = await ask()
    expect([got.status, got.complete, got.body.toString()]).toEqual([200, false, openai.role + openai.token])
    expect(second.requests).toHaveLength(0)
  })

  it('a caller who leaves while it is held stops it, and nobody else is asked', async () => {
    answers(streaming(openai.role))
    const caller = await weir.connect()
    await caller.send(request('POST', '/', [], '{}'))
    const peer = await first.connection()
    await pause(50)
    caller.destroy()
    await peer.untilOver(1000)
    await pause(50)
    expect(second.peers).toHaveLength(0)
  })
})

describe('stream: buffer', () => {
  it.each<[string, string, (peer: Peer) => unknown]>([
    ['reset', 'a reset after tokens', async (peer) => (await streaming(openai.role, openai.token)(peer), await pause(20), peer.reset())],
    ['timeout', 'silence after tokens', streaming(openai.role, openai.token)],
    ['invalid', 'a broken chunk after tokens', streaming(openai.role, openai.token, 'data: {"choi\n\n', DONE)],
    ['invalid', 'an error after tokens', streaming(openai.token, openai.error)],
    ['invalid', 'no end of the message', (peer) => peer.send(HEAD, chunked([openai.role, openai.token]))],
  ])('%s: %s', async (reason, _what, script) => {
    answers(script)
    await expectSecond(reason, '/buffer/x')
  })

  it('a whole stream is the caller\'s, byte for byte', async () => {
    const text = HEARTBEAT + openai.role + openai.token + openai.finish + openai.usage + DONE
    answers(async (peer) => {
      await peer.send(HEAD)
      await peer.sendCut(chunked([text]), [10, 100, 200])
    })
    const got = await ask('/buffer/x')
    expect([got.complete, got.body.toString(), got.head.one('x-weir-backend'), got.head.list('x-weir-fallback')]).toEqual([true, text, 'first', []])
  })
})

describe('a chain', () => {
  it('ends in a constant', async () => {
    answers((peer) => peer.send(answer(503)))
    const got = await ask('/chain')
    expect([got.status, got.body.toString(), got.head.one('x-weir-backend'), got.head.one('x-weir-fallback'), got.head.one('x-weir-attempts')]).toEqual([200, '{"score":0.5}', 'constant', 'first;5xx', '2'])
  })

  it('is in the metrics and in the access log', async () => {
    const count = async (): Promise<number> => (await weir.metrics()).sum('weir_fallback_total', { route: 'chain', from: 'nobody', to: 'constant', reason: 'connect' })
    const before = await count()
    answers((peer) => peer.send(answer(500)))
    await ask('/chain')
    await weir.untilMetric(before + 1, 'weir_fallback_total', { route: 'chain', from: 'nobody', to: 'constant', reason: 'connect' })
    await expect.poll(() => weir.stdout.split('\n').some((line) => line.includes('"backend":"constant"') && line.includes('"fallback":"first;5xx"'))).toBe(true)
  })

  it('passes over backends without an endpoint to ask, first in the chain or later', async () => {
    const asked = async (path: string): Promise<readonly (string | undefined)[]> => {
      const { head } = await ask(path)
      return [head.one('x-weir-backend'), head.one('x-weir-fallback'), head.one('x-weir-attempts')]
    }
    expect([await asked('/dead'), await asked('/dead')]).toEqual([['second', 'dead;connect', '2'], ['second', 'dead;connect', '2']])
    // Both endpoints are out now.
    expect([await asked('/dead'), await asked('/dead')]).toEqual([['second', 'dead;ejected', '1'], ['second', 'dead;ejected', '1']])
    expect(await asked('/beside')).toEqual(['constant', 'nobody;connect', '1'])
    expect((await weir.metrics()).sum('weir_fallback_skipped_total', { route: 'beside', target: 'dead', reason: 'ejected' })).toBe(1)
    await expect.poll(() => weir.stdout.includes('"fallback:skipped:dead"')).toBe(true)
    expectProblem(await ask('/dead_alone'), 503, 'NO_ENDPOINT')
  })

  it('all fail: the first failure is reported, and nothing stays open', async () => {
    answers((peer) => peer.send(answer(503, ['X-Why: first'], 'deploying')))
    second.onRequest = () => answer(500, [], 'second')
    const got = await ask()
    expect([got.status, got.body.toString(), got.head.one('x-why'), got.head.one('x-weir-backend'), got.head.list('x-weir-fallback')]).toEqual([503, 'deploying', 'first', 'first', []])
    expect((await weir.metrics()).sum('weir_fallback_exhausted_total', { route: 'pass' })).toBe(1)
    await weir.untilMetric(0, 'weir_backend_in_flight')
  })
})
