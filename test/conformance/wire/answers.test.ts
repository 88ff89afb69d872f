/**
 * Every raw answer of the corpus, through weir and past undici, nginx and HAProxy: weir never passes on as whole what one of them refuses,
 * never another body, and never an answer nobody asked for.
 */
import { once } from 'node:events'
import net from 'node:net'
import { Client } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from '../../blackbox/scripted.ts'
import { describeWith } from '../../servers.ts'
import { type Thin, thin } from '../../wire/thin.ts'
import { answers, type RawAnswer } from './answers.ts'
import { haproxy, nginx, type Running } from './oracles.ts'

/** What came through, whole; null when it was refused or cut. */
interface Taken {
  readonly status: number
  /** latin1 */
  readonly body: string
}

const POISON = 'poison'

/** Answers a request for `/<i>/…` with the raw answer of that number; `/<i>/end` ends the connection behind it, `/<i>/keep` does not. */
async function rawUpstream(): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString('latin1')
      const asked = /^(?:GET|HEAD) \/(\w+)\/(end|keep) [^]*?\r\n\r\n/.exec(text)
      if (asked === null) return
      text = text.slice(asked[0].length)
      const raw = asked[1] === 'ok' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' : answers[Number(asked[1])]!.raw
      socket.write(raw, 'latin1')
      if (asked[2] === 'end') socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

let upstream: net.Server
let upstreamPort: number
let gateway: Thin
let weir: (Taken | null)[]

beforeAll(async () => {
  upstream = await rawUpstream()
  upstreamPort = (upstream.address() as net.AddressInfo).port
  gateway = await thin(upstreamPort, { backend: { response_headers_ms: 1500, idle_ms: 1500 } })
  weir = await eachOf((one, i) => throughProxy(gateway.port, one, i))
}, 60_000)
afterAll(async () => {
  await gateway?.close()
  await new Promise((done) => upstream.close(done))
})

/** All answers, a few at a time. */
async function eachOf(take: (one: RawAnswer, i: number) => Promise<Taken | null>): Promise<(Taken | null)[]> {
  const taken: (Taken | null)[] = []
  let next = 0
  async function work(): Promise<void> {
    for (let i = next++; i < answers.length; i = next++) taken[i] = await take(answers[i]!, i)
  }
  await Promise.all(Array.from({ length: 16 }, work))
  return taken
}

async function throughProxy(port: number, { method }: RawAnswer, i: number): Promise<Taken | null> {
  const peer = await connect({ port })
  try {
    await peer.send(`${method} /${i}/end HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
    const got = await peer.readFinal(method, 5000)
    if (!got.complete || got.status === 502 || got.status === 504) return null
    return { status: got.status, body: got.body.toString('latin1') }
  } catch {
    return null
  } finally {
    peer.destroy()
  }
}

async function throughUndici({ method }: RawAnswer, i: number): Promise<Taken | null> {
  const client = new Client(`http://127.0.0.1:${upstreamPort}`, { headersTimeout: 3000, bodyTimeout: 3000, maxHeaderSize: 65_536 })
  try {
    const got = await client.request({ path: `/${i}/end`, method })
    return { status: got.statusCode, body: Buffer.from(await got.body.arrayBuffer()).toString('latin1') }
  } catch {
    return null
  } finally {
    await client.destroy()
  }
}

type Oracle = 'undici' | 'nginx' | 'haproxy'

/** Where weir passes on what another refuses, and why it may: the id matches. */
const exceptions: readonly { readonly oracle: Oracle; readonly id: RegExp; readonly why: string }[] = [
  { oracle: 'undici', id: /^Content-Length: "(\\t| )5(\\t| )"$/, why: 'white space around a value is no part of it (RFC 9110 5.5)' },
  { oracle: 'undici', id: /^chunks: trailers that frame$/, why: 'trailer fields that must not be there are dropped, not merged (RFC 9110 6.5.1)' },
  { oracle: 'haproxy', id: /^chunks: trailers that frame$/, why: 'the same' },
  { oracle: 'undici', id: /100\b.*, then 200$/, why: 'a client must be able to read a 100 it did not ask for (RFC 9110 15.2)' },
  { oracle: 'nginx', id: /^100 with Content-Length: 0, then 200$/, why: 'a 1xx has no body (RFC 9112 6.3), and 0 bytes are none: both readings end at the same byte' },
]

function excused(oracle: Oracle, id: string): boolean {
  return exceptions.some((exception) => exception.oracle === oracle && exception.id.test(id))
}

function moreLenient(oracle: Oracle, theirs: readonly (Taken | null)[]): string[] {
  return answers.filter(({ id }, i) => weir[i] !== null && theirs[i] === null && !excused(oracle, id)).map(({ id }) => id)
}

function otherwise(theirs: readonly (Taken | null)[]): string[] {
  const differs = (i: number): boolean => weir[i] !== null && theirs[i] !== null && (weir[i]!.status !== theirs[i]!.status || weir[i]!.body !== theirs[i]!.body)
  return answers.flatMap(({ id }, i) => (differs(i) ? [`${id}: ${JSON.stringify(weir[i])} and ${JSON.stringify(theirs[i])}`] : []))
}

function stale(oracle: Oracle, theirs: readonly (Taken | null)[]): string[] {
  return exceptions.filter((exception) => exception.oracle === oracle && !answers.some(({ id }, i) => exception.id.test(id) && weir[i] !== null && theirs[i] === null)).map(({ id }) => String(id))
}

it('every case has its own name', () => {
  expect(answers.length).toBeGreaterThanOrEqual(150)
  expect(new Set(answers.map(({ id }) => id)).size).toBe(answers.length)
})

describe('weir', () => {
  const taken = (id: string): Taken | null => weir[answers.findIndex((one) => one.id === id)]!

  it('takes what is plainly right', () => {
    for (const id of ['line "HTTP/1.1 200 OK"', 'Content-Length: "5"', 'Transfer-Encoding: "chunked"', 'until the end', 'HTTP/1.0 until the end', 'HTTP/1.0 kept alive', 'chunks: an extension', 'chunks: a trailer', '103, then 200', '100 twice, then 200']) expect(taken(id), id).toEqual({ status: 200, body: 'hello' })
    expect(taken('204 No Content')).toEqual({ status: 204, body: '' })
    expect(taken('HEAD: with a length')).toEqual({ status: 200, body: '' })
  })

  it('passes on nothing that broke off', () => {
    for (const id of ['a body shorter than its length', 'chunks: no last', 'chunks: half a chunk', 'chunks: nothing', 'chunks: no empty line at the end', 'chunks: half an empty line at the end', 'half a head', 'nothing', '103, then nothing']) expect(taken(id), id).toBeNull()
  })

  it('is not shaken by any of it', () => {
    expect(gateway.complaints).toEqual([])
    expect(weir.filter((one) => one?.body.includes(POISON))).toEqual([])
    expect(gateway.backend.state()[0]).toMatchObject({ in_flight: 0, connections: 0 })
  })

  it('what stands behind an answer never answers the next request', async () => {
    const poisoned = [...answers.keys()].filter((i) => answers[i]!.raw.includes(POISON))
    expect(poisoned.length).toBeGreaterThan(5)
    const peer = await connect({ port: gateway.port })
    for (const i of poisoned) {
      const { method, id } = answers[i]!
      await peer.send(`${method} /${i}/keep HTTP/1.1\r\nHost: a.test\r\n\r\n`)
      expect((await peer.readFinal(method)).body.toString(), id).not.toContain(POISON)
      await peer.send('GET /ok/keep HTTP/1.1\r\nHost: a.test\r\n\r\n')
      expect((await peer.readFinal()).body.toString(), `behind ${id}`).toBe('ok')
    }
    peer.destroy()
  })
})

describe('undici', () => {
  let undici: (Taken | null)[]
  beforeAll(async () => void (undici = await eachOf(throughUndici)), 60_000)

  it('takes nothing else', () => expect(otherwise(undici)).toEqual([]))
  it('refuses nothing that weir passes on', () => expect(moreLenient('undici', undici)).toEqual([]))
  it('the exceptions are needed', () => expect(stale('undici', undici)).toEqual([]))
})

for (const [name, start] of [['nginx', nginx], ['haproxy', haproxy]] as const) {
  describeWith(name, name, (program) => {
    let running: Running
    let theirs: (Taken | null)[]
    beforeAll(async () => {
      running = await start(program, upstreamPort)
      theirs = await eachOf((one, i) => throughProxy(running.port, one, i))
    }, 60_000)
    afterAll(() => running?.stop())

    it('takes nothing else', () => expect(otherwise(theirs)).toEqual([]))
    it('refuses nothing that weir passes on', () => expect(moreLenient(name, theirs)).toEqual([]))
    it('the exceptions are needed', () => expect(stale(name, theirs)).toEqual([]))
  })
}
