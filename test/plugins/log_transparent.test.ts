/** A logged route and a plain one in front of the same backend: the same bytes both ways, at the same moments, whatever comes. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { LogRecord, Records } from '../../gateway/plugin.ts'
import log from '../../plugins/log.ts'
import { answer, bytes, chunk, chunked, type Field, request } from '../blackbox/message.ts'
import { connect, Upstream } from '../blackbox/scripted.ts'
import { pluginTest } from '../plugin_test.ts'
import { thin, type Thin } from '../wire/thin.ts'

const MAX_BODY = 700

let upstream: Upstream
let plain: Thin
let logged: Thin
let kept: LogRecord[] = []
const records: Records = {
  append: (record) => kept.push(structuredClone(record)) > 0,
  room: () => null,
}

/** The hooks of a log on a route that is otherwise plain. */
async function withLog(options: object): Promise<Thin> {
  const { route } = await pluginTest(log, { sink: 'lake', max_body: MAX_BODY, ...options }, { records: { lake: records } })
  const { plugins, slots, request, response, finish, done } = route
  return thin(upstream.port, { route: { plugins, slots, request, response, finish, done } })
}

beforeAll(async () => {
  upstream = await Upstream.listen()
  plain = await thin(upstream.port)
  logged = await withLog({ headers: { request: ['x-a'], response: ['x-b'] }, redact: { query: ['token'] } })
})
beforeEach(() => {
  kept = []
})
afterAll(async () => {
  await plain?.close()
  await logged?.close()
  await upstream?.close()
})

/** What passes between the caller and one gateway, and between that and the backend. */
interface Passage {
  readonly sent: Buffer
  readonly cuts: readonly number[]
  readonly method: string
  readonly answer: Buffer
  /** Where the answer is cut into segments. */
  readonly pauses: readonly number[]
  /** The backend resets instead of sending the last byte. */
  readonly breaks: boolean
}

/** Bytes at both ends. */
async function pass(port: number, { sent, cuts, method, answer: reply, pauses, breaks }: Passage): Promise<{ readonly back: Buffer; readonly body: Buffer; readonly trailers: readonly Field[]; readonly complete: boolean; readonly there: Buffer; readonly asked: Buffer }> {
  await upstream.fresh()
  upstream.onRequest = async (_request, peer) => {
    await peer.sendCut(breaks ? reply.subarray(0, -1) : reply, pauses)
    if (breaks) peer.reset()
  }
  const caller = await connect({ port })
  await caller.sendCut(sent, cuts)
  const got = await caller.readFinal(method)
  caller.destroy()
  const asked = upstream.requests[0]!
  // Where chunks end is for segments to decide, and the machine.
  return { back: undated(got.head.raw), body: got.body, trailers: got.trailers, complete: got.complete, there: undated(asked.head.raw), asked: asked.body }
}

/** The ids that weir makes, and the second, differ from one request to the next. */
function undated(data: Buffer): Buffer {
  return bytes(data.toString('latin1').replace(/(x-request-id|date): [^\r]*/gi, '$1: -'))
}

const token = fc.stringMatching(/^[a-z0-9]{1,12}$/)
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array)),
  fc.json().map((text) => Buffer.from(text)),
  fc.array(token, { maxLength: 8 }).map((words) => Buffer.from(words.map((word) => `data: ${word}\n\n`).join(''))),
)
/** A body with its framing, and its content. */
const framed = fc.record({ content: payload, gzip: fc.boolean(), chunks: fc.option(fc.array(fc.nat(1500), { maxLength: 4 }), { nil: null }) }).map(({ content, gzip, chunks }) => {
  const body = gzip ? gzipSync(content) : content
  const lines = gzip ? ['Content-Encoding: gzip'] : []
  if (chunks === null) return { body, lines: [...lines, `Content-Length: ${body.length}`], wire: body }
  const cuts = [0, ...chunks.filter((cut) => cut < body.length).sort((a, b) => a - b), body.length]
  const parts = cuts.slice(1).map((cut, i) => body.subarray(cuts[i]!, cut)).filter((part) => part.length > 0)
  return { body, lines: [...lines, 'Transfer-Encoding: chunked'], wire: chunked(parts, ['X-Sum: 1']) }
})
const status = fc.constantFrom(200, 200, 201, 400, 404, 500, 503)

const passage = fc
  .record({ method: fc.constantFrom('POST', 'PUT', 'GET'), path: token, query: token, head: token, ask: framed, status, reply: framed, type: fc.constantFrom('application/json', 'text/event-stream', 'text/plain'), cuts: fc.array(fc.nat(400), { maxLength: 3 }), pauses: fc.array(fc.nat(400), { maxLength: 3 }), breaks: fc.boolean() })
  .map((one) => {
    const bare = one.method === 'GET'
    const head = [`${one.method} /${one.path}?token=${one.query} HTTP/1.1`, 'Host: weir.test', `X-A: ${one.head}`, ...(bare ? [] : one.ask.lines), '', ''].join('\r\n')
    const sent = Buffer.concat([bytes(head), bare ? Buffer.alloc(0) : one.ask.wire])
    const back = Buffer.concat([bytes([`HTTP/1.1 ${one.status} Scripted`, `Content-Type: ${one.type}`, `X-B: ${one.head}`, ...one.reply.lines, '', ''].join('\r\n')), one.reply.wire])
    const inside = (at: readonly number[], length: number): number[] => [...new Set(at.filter((cut) => cut > 0 && cut < length))].sort((a, b) => a - b)
    const breaks = one.breaks && one.reply.wire.length > 1
    return {
      ...one, bare,
      passage: { sent, cuts: inside(one.cuts, sent.length), method: one.method, answer: back, pauses: inside(one.pauses, back.length), breaks } satisfies Passage,
    }
  })

describe('bytes', () => {
  it('are the same with and without a log, and the record has them', async () => {
    await fc.assert(
      fc.asyncProperty(passage, async (one) => {
        const without = await pass(plain.port, one.passage)
        kept = []
        const withIt = await pass(logged.port, one.passage)
        expect(withIt).toEqual(without)
        await expect.poll(() => kept.length).toBe(1)
        const [record] = kept
        expect(record).toMatchObject({ status: without.back.length === 0 ? 0 : Number(without.back.toString('latin1', 9, 12)), method: one.method, target: `/${one.path}?token=%5Bredacted%5D`, request_headers: ['x-a', one.head] })
        expectKept(record!.request, one.bare ? null : one.ask.body)
        if (without.complete) expectKept(record!.response, without.body)
        else expect(record!.reason).not.toBe('')
      }),
      { numRuns: 150 },
    )
  }, 60_000)
})

function expectKept(kept: LogRecord['request'], body: Buffer | null): void {
  // An empty body is none.
  if (body === null || body.length === 0) return expect(kept?.length ?? 0).toBe(0)
  expect(kept).toMatchObject({ length: body.length, truncated: body.length > MAX_BODY })
  expect(Buffer.from(kept!.bytes).equals(body.subarray(0, MAX_BODY))).toBe(true)
}

describe('moments', () => {
  it('each event is with the caller before the next one is sent', async () => {
    await upstream.fresh()
    const caller = await connect({ port: logged.port })
    const seen: string[] = []
    upstream.onConnection = async (peer) => {
      await peer.readRequest()
      await peer.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (let i = 0; i < 5; i++) {
        await peer.send(chunk(`data: ${i}\n\n`))
        await caller.until(() => caller.heard.includes(`data: ${i}\n\n`), `event ${i}`)
        seen.push(`event ${i}, ${kept.length} records`)
      }
      await peer.send(chunked([]))
    }
    await caller.send(request('GET', '/'))
    expect((await caller.readFinal()).complete).toBe(true)
    expect(seen).toEqual([0, 1, 2, 3, 4].map((i) => `event ${i}, 0 records`))
    expect(kept[0]!.response!.bytes).toHaveLength(5 * 'data: 0\n\n'.length)
    caller.destroy()
  })

  it('each piece of an upload is with the backend before the next one is sent', async () => {
    await upstream.fresh()
    const caller = await connect({ port: logged.port })
    upstream.onConnection = async (peer) => {
      await peer.readHead()
      for (let i = 0; i < 3; i++) {
        await caller.send(`part${i}`)
        await peer.until(() => peer.heard.includes(`part${i}`), `part ${i}`)
      }
      await peer.send(answer(200, [], 'ok'))
    }
    await caller.send('POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 15\r\n\r\n')
    expect((await caller.readFinal('POST')).body.toString()).toBe('ok')
    expect(Buffer.from(kept[0]!.request!.bytes).toString()).toBe('part0part1part2')
    caller.destroy()
  })
})
