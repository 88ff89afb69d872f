/**
 * Every raw request of the corpus, through weir and past node:http (strict), nginx and HAProxy: what weir forwards is unambiguous, and in
 * framing and Host weir is never the more lenient one.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codes } from '../../../gateway/errors.ts'
import { describeWith } from '../../servers.ts'
import { type Thin, thin } from '../../wire/thin.ts'
import { askAll, haproxy, nginx, type Outcome, type Recorded, recorder, type Recorder, type Running } from './oracles.ts'
import { requests } from './requests.ts'

const QUIET_MS = 150
const WIDTH = 32
const raw = requests.map((request) => Buffer.from(request.raw, 'latin1'))

let upstream: Recorder
let gateway: Thin
let weir: Outcome[]

beforeAll(async () => {
  upstream = await recorder()
  gateway = await thin(upstream.port, { timeouts: { request_headers_ms: 3000, idle_ms: 3000 } })
  weir = await askAll(gateway.port, raw, QUIET_MS, WIDTH)
}, 60_000)
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

type Oracle = 'node' | 'nginx' | 'haproxy'

/** Where weir takes more requests out of the same bytes than another does, and why it may. */
const exceptions: Readonly<Record<string, Partial<Record<Oracle, string>>>> = {
  'framing: Content-Length: "\\t5\\t"': { nginx: 'OWS around a value may be HTAB (RFC 9110 5.5, 5.6.3); nginx takes it for part of the value' },
  'framing: Transfer-Encoding: "\\tchunked\\t"': { nginx: 'the same', node: 'the same' },
  'host: GET "http://a.test?y"': { haproxy: 'an absolute-URI may have an empty path and a query (RFC 3986 4.3, RFC 9112 3.2.2)' },
}

/**
 * On a busy machine an answer can come later than the silence that ends a case. Cases that would count are asked once more, with patience.
 */
async function sure(oracle: Oracle, port: number, theirs: Outcome[], direct?: Recorder): Promise<Outcome[]> {
  const doubtful = requests.flatMap(({ id }, i) => (weir[i]!.recorded.length > theirs[i]!.recorded.length || exceptions[id]?.[oracle] !== undefined ? [i] : []))
  const again = doubtful.map((i) => raw[i]!)
  const [ours, others] = await Promise.all([askAll(gateway.port, again, 4 * QUIET_MS, 16), askAll(port, again, 4 * QUIET_MS, 16, direct)])
  for (const [k, i] of doubtful.entries()) {
    weir[i] = ours[k]!
    theirs[i] = others[k]!
  }
  return theirs
}

/** Requests of framing and Host out of which weir took more than the other. */
function moreLenient(oracle: Oracle, theirs: readonly Outcome[]): string[] {
  return requests
    .filter(({ area, id }, i) => (area === 'framing' || area === 'host') && weir[i]!.recorded.length > theirs[i]!.recorded.length && exceptions[id]?.[oracle] === undefined)
    .map(({ id }) => id)
}

/** Bodies that weir forwards are what the other read; up to the first that one of them did not read at all. */
function otherBodies(theirs: readonly Outcome[]): string[] {
  return requests
    .filter((_, i) => weir[i]!.recorded.some((seen, k) => differs(seen, theirs[i]!.recorded[k])))
    .map(({ id }) => id)
}

function differs(seen: Recorded, other: Recorded | undefined): boolean {
  return other !== undefined && other.body !== null && (other.body.slice(0, 500) !== seen.body || other.method !== seen.method)
}

/** Exceptions that name no difference any more. */
function staleExceptions(oracle: Oracle, theirs: readonly Outcome[]): string[] {
  return Object.keys(exceptions).filter((id) => exceptions[id]![oracle] !== undefined && !requests.some((request, i) => request.id === id && weir[i]!.recorded.length > theirs[i]!.recorded.length))
}

it('the corpus is as large as it should be, and every case has its own name', () => {
  expect(requests.length).toBeGreaterThanOrEqual(500)
  expect(new Set(requests.map(({ id }) => id)).size).toBe(requests.length)
})

describe('weir', () => {
  it('forwards nothing that could be understood in two ways', () => {
    for (const [i, { id }] of requests.entries()) {
      for (const seen of weir[i]!.recorded) {
        const names = seen.fields.filter((_, k) => k % 2 === 0).map((name) => name.toLowerCase())
        const count = (name: string): number => names.filter((other) => other === name).length
        expect(count('host'), id).toBe(1)
        expect(count('content-length') + count('transfer-encoding'), id).toBeLessThanOrEqual(1)
        for (const name of ['keep-alive', 'proxy-connection', 'upgrade', 'expect', 'trailer', 'content_length', 'transfer_encoding']) expect(count(name), `${id}: ${name}`).toBe(0)
        expect(seen.url, id).toMatch(/^(\/|\*$)/)
      }
    }
  })

  it('answers what it refuses from its table, and closes', () => {
    const statuses = new Set<number>(Object.values(codes).map((entry) => entry.status))
    for (const [i, { id, area }] of requests.entries()) {
      const outcome = weir[i]!
      const last = outcome.statuses.at(-1)
      if (last === undefined || last === 200) continue
      expect(statuses.has(last), `${id}: ${last}`).toBe(true)
      // Unknown methods are forwarded and refused by the recorder; what has no ambiguity (417, a refused upgrade) need not end the connection.
      const harmless = area === 'expect' || area === 'upgrade' || /^line: "(get|Get|FOO) /.test(id)
      if (!harmless) expect(outcome.closed, id).toBe(true)
    }
  })

  it('is not shaken by any of it', () => {
    expect(gateway.complaints).toEqual([])
    expect(weir.filter(({ statuses, closed }) => closed && statuses.length === 0)).toEqual([])
  })

  it('takes what is plainly right', () => {
    const taken = (id: string): number => weir[requests.findIndex((request) => request.id === id)]!.recorded.length
    for (const id of ['framing: Content-Length: "5"', 'framing: Transfer-Encoding: "chunked"', 'host: Host: "a.test:8080"', 'host: Host: "[::1]:80"', 'target: GET "/x?a=b&c"', 'host: GET "http://a.test/x?y"', 'line: "GET /x HTTP/1.0"', 'field: "x: \xe9\xff"', 'expect: Expect: "100-continue"', 'trailer: one']) expect(taken(id), id).toBe(1)
    expect(taken('framing: a request behind no body')).toBe(2)
    expect(taken('framing: chunks: one byte chunks, with a request behind')).toBe(2)
  })
})

describe('node:http, strict', () => {
  let node: Outcome[]
  beforeAll(async () => void (node = await sure('node', upstream.port, await askAll(upstream.port, raw, QUIET_MS, WIDTH, upstream), upstream)), 60_000)

  it('reads the same bodies', () => expect(otherBodies(node)).toEqual([]))
  it('is not stricter in framing or Host', () => expect(moreLenient('node', node)).toEqual([]))
  it('the exceptions are needed', () => expect(staleExceptions('node', node)).toEqual([]))
})

for (const [name, start] of [['nginx', nginx], ['haproxy', haproxy]] as const) {
  describeWith(name, name, (program) => {
    let running: Running
    let theirs: Outcome[]
    beforeAll(async () => {
      running = await start(program, upstream.port)
      theirs = await sure(name, running.port, await askAll(running.port, raw, QUIET_MS, WIDTH))
    }, 60_000)
    afterAll(() => running?.stop())

    it('reads the same bodies', () => expect(otherBodies(theirs)).toEqual([]))
    it('is not stricter in framing or Host', () => expect(moreLenient(name, theirs)).toEqual([]))
    it('the exceptions are needed', () => expect(staleExceptions(name, theirs)).toEqual([]))
  })
}
