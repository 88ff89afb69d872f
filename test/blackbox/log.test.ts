/** A log over sockets, from the caller to the lines in a folder: one record for every exchange, whatever became of it, and no secret on the disk. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { answer, chunk, request } from './message.ts'
import { type Peer, Upstream } from './scripted.ts'
import { freePort, MAIN, startWeir, type Weir } from './weir.ts'

const SECRET = 'c0ffee-4111-1111-1111-1111'

let folder: string
let upstream: Upstream
let weir: Weir

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-log-'))
  upstream = await Upstream.listen()
  weir = await startWeir(`
state: ${folder}/state
sinks:
  lake: { jsonl: ${folder}/lake, rotate: 1s, spool: { segment_age: 100ms } }
backends:
  up: { url: "http://127.0.0.1:${upstream.port}", idle: 400ms }
  nobody: { url: "http://127.0.0.1:${await freePort()}" }
  other: { answer: { status: 200, json: { score: 0 } } }
routes:
  - { name: nobody, match: { path: /nobody }, backend: nobody, plugins: [{ log: { sink: lake } }] }
  - { name: saved, match: { path: /saved }, backend: nobody, plugins: [{ log: { sink: lake } }, { fallback: { to: [other] } }] }
  - { name: limited, match: { path: /limited }, backend: up, plugins: [{ log: { sink: lake } }, { rate_limit: { per_second: 1, burst: 1 } }] }
  - { name: failures, match: { path: "/failures/**" }, backend: up, plugins: [{ log: { sink: lake, when: "status >= 500" } }] }
  - { name: half, match: { path: /half }, backend: up, plugins: [{ log: { sink: lake, sample: 50% } }] }
  - name: secret
    match: { path: /secret }
    backend: up
    plugins:
      - log:
          sink: lake
          max_body: 1KiB
          headers: { request: [authorization, x-tier], response: [set-cookie] }
          redact: { paths: ["$.user.card", "output.card"], headers: [authorization, set-cookie], query: [token] }
  - { name: all, match: { path: "/**" }, backend: up, format: rows, plugins: [{ log: { sink: lake } }] }
`)
}, 30_000)
beforeEach(() => upstream.fresh())
afterAll(async () => {
  await weir?.stop()
  await upstream?.close()
  rmSync(folder, { recursive: true, force: true })
})

type Line = Readonly<Record<string, unknown>>

/** Files below a folder that may be moved while it is read. */
function contents(at: string): Buffer[] {
  const found = readdirSync(at, { recursive: true, withFileTypes: true })
  return found.filter((entry) => entry.isFile()).map((entry) => {
    try {
      return readFileSync(join(entry.parentPath, entry.name))
    } catch {
      return Buffer.alloc(0)
    }
  })
}

function lines(): Line[] {
  try {
    return contents(join(folder, 'lake')).flatMap((data) => data.toString().split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Line))
  } catch {
    return []
  }
}

/** The records of a request id, once there is one. */
async function recordsOf(id: string, count = 1): Promise<Line[]> {
  const own = (): Line[] => lines().filter((line) => line['request_id'] === id)
  await expect.poll(own, { timeout: 8000, interval: 50 }).toHaveLength(count)
  return own()
}

let asked = 0
const nextId = (): string => `log-${asked++}`
const ask = (id: string, path: string, body = '{"age":3}', more: readonly string[] = []): Buffer => request('POST', path, [`X-Request-Id: ${id}`, 'Content-Type: application/json', ...more], body)

describe('every outcome is one record', () => {
  it('an answer', async () => {
    const id = nextId()
    upstream.onRequest = () => answer(200, ['Content-Type: application/json'], '{"score":0.5}')
    expect((await weir.exchange(ask(id, '/score?x=1'), 'POST')).status).toBe(200)
    const [record] = await recordsOf(id)
    expect(record).toMatchObject({
      route: 'all', backend: 'up', method: 'POST', target: '/score?x=1', status: 200, reason: '', attempts: 1, format: 'rows',
      request: { age: 3 }, request_type: 'application/json', request_length: 9, request_truncated: false, response: { score: 0.5 }, sent: null,
    })
    expect(Math.abs(Date.parse(record!['time'] as string) - Date.now())).toBeLessThan(60_000)
  })

  it('an error of the backend, one of weir, a fallback, a refusal', async () => {
    const [failed, refused, saved, first, limited] = [nextId(), nextId(), nextId(), nextId(), nextId()]
    upstream.onRequest = () => answer(500, ['Content-Type: application/json'], '{"no":1}')
    expect((await weir.exchange(ask(failed, '/score'), 'POST')).status).toBe(500)
    expect((await weir.exchange(ask(refused, '/nobody'), 'POST')).status).toBe(503)
    expect((await weir.exchange(ask(saved, '/saved'), 'POST')).status).toBe(200)
    await weir.exchange(ask(first, '/limited'), 'POST')
    expect((await weir.exchange(ask(limited, '/limited'), 'POST')).status).toBe(429)
    expect((await recordsOf(failed))[0]).toMatchObject({ status: 500, reason: '', response: { no: 1 } })
    expect((await recordsOf(refused))[0]).toMatchObject({ status: 503, reason: 'CONNECT_FAILED', response: { code: 'CONNECT_FAILED' } })
    expect((await recordsOf(saved))[0]).toMatchObject({ status: 200, backend: 'other', fallback: 'nobody;connect', response: { score: 0 } })
    expect((await recordsOf(limited))[0]).toMatchObject({ status: 429, reason: 'RATE_LIMITED', attempts: 0 })
  })

  /** The upstream's script runs in lockstep with the caller. */
  async function inLockstep(id: string, script: (peer: Peer, caller: Peer) => Promise<void>): Promise<Peer> {
    const caller = await weir.connect()
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      await script(peer, caller)
    }
    await caller.send(ask(id, '/'))
    return caller
  }

  it('a caller that left before, and in the middle', async () => {
    const [before, middle] = [nextId(), nextId()]
    await inLockstep(before, async (peer, caller) => {
      caller.destroy()
      await peer.untilOver()
    })
    expect((await recordsOf(before))[0]).toMatchObject({ status: 499, reason: 'CALLER_LEFT', request: { age: 3 }, response: null })
    await upstream.fresh()
    await inLockstep(middle, async (peer, caller) => {
      await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', chunk('one'))
      await caller.until(() => caller.heard.includes('one'), 'the first part')
      caller.destroy()
      await peer.untilOver()
    })
    expect((await recordsOf(middle))[0]).toMatchObject({ status: 200, reason: 'CALLER_LEFT', response_length: -1, response_truncated: true, response: { base64: Buffer.from('one').toString('base64') } })
  })

  it('an answer that was cut', async () => {
    const id = nextId()
    const caller = await inLockstep(id, async (peer, caller) => {
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none')
      await caller.until(() => caller.heard.includes('one'), 'the first part')
      peer.reset()
    })
    expect((await caller.readFinal('POST')).complete).toBe(false)
    caller.destroy()
    expect((await recordsOf(id))[0]).toMatchObject({ status: 200, reason: 'RESET', response_length: -1, response_truncated: true })
  })
})

describe('which', () => {
  it('failures alone', async () => {
    const [fine, failed] = [nextId(), nextId()]
    upstream.onRequest = ({ target }) => answer(target.endsWith('bad') ? 502 : 200, [], '{}')
    await weir.exchange(ask(fine, '/failures/good'), 'POST')
    await weir.exchange(ask(failed, '/failures/bad'), 'POST')
    expect((await recordsOf(failed))[0]).toMatchObject({ status: 502, request: { age: 3 } })
    expect(lines().filter((line) => line['request_id'] === fine)).toEqual([])
  })

  it('the half whose SHA-256 is below one half: the first bit of it is 0', async () => {
    const { createHash } = await import('node:crypto')
    upstream.onRequest = () => answer(200, [], '{}')
    const ids = Array.from({ length: 40 }, (_, i) => `half-${i}`)
    for (const id of ids) await weir.exchange(ask(id, '/half'), 'POST')
    const expected = ids.filter((id) => createHash('sha256').update(id).digest()[0]! < 128)
    const kept = (): unknown[] => lines().filter((line) => line['route'] === 'half').map((line) => line['request_id'])
    await expect.poll(kept, { timeout: 8000, interval: 50 }).toHaveLength(expected.length)
    expect(kept().toSorted()).toEqual(expected.toSorted())
  })
})

describe('what must not be kept', () => {
  it('reaches neither the lake nor the spool', async () => {
    const bodies: [body: string | Buffer, fields: string[]][] = [
      [`{"user":{"card":"${SECRET}","n":1}}`, []],
      [gzipSync(`{"user":{"card":"${SECRET}"}}`), ['Content-Encoding: gzip']],
      [`{"user":{"card":"${SECRET}"`, []],
      [`card=${SECRET}`, []],
      [`{"user":{"card":"${SECRET}"},"long":"${'x'.repeat(2000)}"}`, []],
    ]
    upstream.onRequest = () => answer(200, [`Set-Cookie: ${SECRET}`, 'Content-Type: application/json'], `{"card":"${SECRET}","ok":true}`)
    const ids = bodies.map(() => nextId())
    for (const [i, [body, fields]] of bodies.entries()) {
      const got = await weir.exchange(request('POST', `/secret?token=${SECRET}&u=1`, [`X-Request-Id: ${ids[i]!}`, `Authorization: ${SECRET}`, 'X-Tier: gold', ...fields], body), 'POST')
      // The caller and the backend see everything.
      expect([got.body.toString(), got.head.one('set-cookie')]).toEqual([`{"card":"${SECRET}","ok":true}`, SECRET])
      expect([upstream.requests.at(-1)!.head.one('authorization'), upstream.requests.at(-1)!.body]).toEqual([SECRET, Buffer.from(body)])
    }
    const records = await Promise.all(ids.map(async (id) => (await recordsOf(id))[0]!))
    expect(records[0]).toMatchObject({
      target: '/secret?token=%5Bredacted%5D&u=1', request: { user: { card: '[redacted]', n: 1 } }, response: { card: '[redacted]', ok: true }, flags: [],
      request_headers: { authorization: '[redacted]', 'x-tier': 'gold' }, response_headers: { 'set-cookie': '[redacted]' },
    })
    expect(records[1]).toMatchObject({ request: { user: { card: '[redacted]' } }, request_encoding: '' })
    for (const record of records.slice(2)) expect(record).toMatchObject({ request: { base64: '' }, request_truncated: true, flags: ['unredactable'] })
    const marks = [Buffer.from(SECRET), Buffer.from(gzipSync(`{"user":{"card":"${SECRET}"}}`).subarray(10, 30))]
    for (const data of contents(folder)) for (const mark of marks) expect(data.includes(mark)).toBe(false)
  })
})

it('what was logged goes out again, and the answers are the same', async () => {
  upstream.onRequest = ({ body }) => answer(200, ['Content-Type: application/json'], `{"echo":${body.length}}`)
  const ids = [nextId(), nextId(), nextId()]
  for (const [i, id] of ids.entries()) await weir.exchange(ask(id, '/replayed', `{"n":${10 ** i}}`), 'POST')
  for (const id of ids) await recordsOf(id)
  const outcome = await new Promise<{ code: number; out: string }>((resolve) => {
    const words = ['replay', join(folder, 'lake'), '--route', 'all', '--to', `http://127.0.0.1:${upstream.port}`, '--where', 'path == "/replayed"', '--json']
    execFile(process.execPath, [MAIN, ...words], (error, out) => resolve({ code: error === null ? 0 : Number(error.code), out }))
  })
  expect(JSON.parse(outcome.out)).toMatchObject({ sent: 3, same: 3, different: 0 })
  expect(outcome.code).toBe(0)
}, 30_000)

it('every record that was accepted is accounted for', async () => {
  await expect.poll(async () => (await weir.metrics()).sum('weir_records_pending'), { timeout: 8000 }).toBe(0)
  const metrics = await weir.metrics()
  const accepted = metrics.sum('weir_records_accepted_total')
  expect(accepted).toBeGreaterThan(0)
  expect(metrics.sum('weir_records_delivered_total') + metrics.sum('weir_records_dropped_total')).toBe(accepted)
  expect(metrics.sum('weir_log_records_total', { outcome: 'accepted' })).toBe(accepted)
})
