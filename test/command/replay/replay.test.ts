/** `weir replay` against a server of node:http: what it sends, what it finds, and the exit code. Files as the sinks write them, and others'. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ReplayOrder } from '../../../gateway/command/orders.ts'
import { replay } from '../../../gateway/command/replay.ts'
import type { Report } from '../../../gateway/command/replay/report.ts'
import type { LoggedBody, LogRecord } from '../../../gateway/records/record.ts'
import { lineOf } from '../../../gateway/records/sinks/envelope.ts'
import { ParquetSink } from '../../../gateway/records/sinks/parquet.ts'
import { deps, spool } from '../../sinks/setup.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

let folder: string
let server: Server
let origin: string
let seen: Seen[] = []
/** By target. */
let answers: Record<string, { readonly status?: number; readonly body: string }> = {}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'weir-replay-'))
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      seen.push({ method: request.method!, url: request.url!, headers: request.headers, body: Buffer.concat(chunks).toString('latin1') })
      const { status = 200, body } = answers[request.url!] ?? { body: '{"score":0.5}' }
      if (status === 0) request.socket.destroy()
      else response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  seen = []
  answers = {}
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})

const body = (text: string | Buffer, more: Partial<LoggedBody> = {}): LoggedBody => ({ bytes: Buffer.from(text), length: Buffer.from(text).length, truncated: false, type: 'application/json', encoding: '', ...more })

let made = 0
function record(more: Partial<LogRecord> = {}): LogRecord {
  const n = made++
  return {
    record_id: `01890a5d-ac96-774b-8cce-${String(n).padStart(12, '0')}`, inference_id: '01890a5d-ac96-774b-bcce-b302099a8057', request_id: `request-${n}`, time: 1_700_000_000_000 + n, route: 'fraud',
    backend: 'up', arm: '', model: '', version: '', method: 'POST', target: '/score', status: 200, reason: '', flags: [], attempts: 1, fallback: '', duration_ms: 4, backend_ms: 3, format: 'rows',
    request_headers: [], response_headers: [], request: body('{"age": 3.0}'), sent: null, response: body('{"score":0.5}'), ...more,
  }
}

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const jsonl = (name: string, records: readonly LogRecord[]): string => file(name, records.map(lineOf).join(''))

/** Runs the command. @returns exit code, what it wrote, and its report */
async function run(path: string, more: Partial<ReplayOrder> = {}): Promise<{ readonly code: number; readonly out: string; readonly error: string; readonly report: Report }> {
  let [out, error] = ['', '']
  const order: ReplayOrder = { file: path, route: 'fraud', to: origin, config: null, rate: null, speed: null, where: null, limit: Infinity, connections: 1, exact: false, tolerance: 1e-6, json: true, ...more }
  const code = await replay(order, { env: {}, version: '0', out: (text) => (out += text), error: (text) => (error += text), on: () => undefined })
  return { code, out, error, report: (order.json && out !== '' ? JSON.parse(out) : {}) as Report }
}

describe('records of a log', () => {
  it('go out as they came, and the same answers are the same', async () => {
    const records = [
      record({ request_headers: ['x-tier', 'gold', 'host', 'elsewhere'], target: '/score?u=%201' }),
      record({ request: body('{"big":12345678901234567890,"n":1.50}') }),
      record({ request: body(gzipSync('{"age":4}'), { encoding: 'gzip' }) }),
      record({ method: 'GET', request: null, target: '/models' }),
    ]
    const { code, report, error } = await run(jsonl('same.jsonl', records))
    expect([code, error]).toEqual([0, ''])
    expect(report).toMatchObject({ sent: 4, same: 4, different: 0, not_compared: 0, by_status: { 200: 4 } })
    expect(seen.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/score?u=%201', '{"age": 3.0}'], ['POST', '/score', '{"big":12345678901234567890,"n":1.50}'], ['POST', '/score', gzipSync('{"age":4}').toString('latin1')], ['GET', '/models', ''],
    ])
    expect(seen[0]!.headers).toMatchObject({ 'x-tier': 'gold', 'x-request-id': records[0]!.request_id, 'content-type': 'application/json', host: origin.slice('http://'.length) })
    expect(seen[2]!.headers['content-encoding']).toBe('gzip')
  })

  it('come from a Parquet lake the same', async () => {
    const path = join(folder, 'lake')
    const sink = new ParquetSink({ kind: 'parquet', name: 'lake', path, max_rows: 1000, columns: true, rotate_ms: 1000, spool }, deps())
    await sink.open(null)
    const records = [record({ request_headers: ['x-tier', 'gold'] }), record({ request: body(gzipSync('{"age":4}'), { encoding: 'gzip' }) }), record({ route: 'other' }), record({ response: body('{"score":0.7}') })]
    expect((await sink.deliver(records)).delivered).toBe(4)
    await sink.close()
    const { code, report } = await run(path)
    expect(report).toMatchObject({ sent: 3, same: 2, different: 1 })
    expect(code).toBe(1)
    expect(seen.map(({ body }) => body)).toEqual(['{"age": 3.0}', gzipSync('{"age":4}').toString('latin1'), '{"age": 3.0}'])
    expect(seen[0]!.headers).toMatchObject({ 'x-tier': 'gold', 'content-type': 'application/json', 'x-request-id': records[0]!.request_id })
    expect(seen[1]!.headers['content-encoding']).toBe('gzip')
  })

  it('that differ are told by kind, the first in full', async () => {
    answers = {
      '/status': { status: 503, body: '{}' }, '/number': { body: '{"score":[0.5,0.7]}' }, '/value': { body: '{"label":"b"}' }, '/more': { body: '{"score":0.5,"extra":1}' }, '/bytes': { body: 'other' }, '/gone': { status: 0, body: '' },
    }
    const records = [
      record({ target: '/status' }), record({ target: '/number', response: body('{"score":[0.5,0.6]}') }), record({ target: '/value', response: body('{"label":"a"}') }), record({ target: '/more' }),
      record({ target: '/bytes', response: body('text') }), record({ target: '/gone' }),
    ]
    const { code, report } = await run(jsonl('different.jsonl', records))
    expect(code).toBe(1)
    expect(report).toMatchObject({ sent: 6, same: 0, different: 6, by_kind: { status: 1, number: 1, value: 2, bytes: 1, failed: 1 } })
    expect(report.examples.map(({ kind, at, before, now }) => [kind, at, before, now])).toEqual([
      ['status', '', 200, 503], ['number', '$.score[1]', 0.6, 0.7], ['value', '$.label', 'a', 'b'], ['value', '$.extra', undefined, 1], ['bytes', '', 'text', 'other'], ['failed', '', 200, expect.stringMatching(/^network/)],
    ])
  })

  it('numbers may differ by the tolerance, unless it must be exact', async () => {
    answers = { '/score': { body: '{ "score": 0.5000001 }' } }
    const path = jsonl('near.jsonl', [record()])
    expect((await run(path)).code).toBe(0)
    expect((await run(path, { tolerance: 1e-9 })).report.by_kind).toEqual({ number: 1 })
    expect((await run(path, { exact: true })).report.by_kind).toEqual({ number: 1 })
    answers = { '/score': { body: '{ "score": 0.5 }' } }
    expect((await run(path)).code).toBe(0)
    expect((await run(path, { exact: true })).report.by_kind).toEqual({ bytes: 1 })
  })

  it('that cannot be sent or compared are counted', async () => {
    const records = [
      record({ request: body('{"a', { truncated: true, length: 100 }) }), record({ request: null }), record({ method: 'PATCH' }), record({ status: 101, method: 'GET', request: null }), record({ route: 'other' }),
      record({ response: body('{"sc', { truncated: true, length: -1 }) }), record({ status: 499, reason: 'CALLER_LEFT', response: null }), record({ response: null }),
    ]
    const { code, report } = await run(jsonl('odd.jsonl', records))
    expect(report).toMatchObject({ sent: 3, same: 0, different: 0, not_compared: 3, skipped: { 'the request was not logged whole': 2, 'a method that is not sent again': 1, 'an upgrade': 1, 'another route': 1 } })
    expect(code).toBe(0)
  })

  it('are chosen by a condition over the request and the answer, and by number', async () => {
    const path = jsonl('where.jsonl', [record({ target: '/a', request: body('{"age":3}') }), record({ target: '/b', status: 500 }), record({ target: '/c', request: body('{"age":5}') }), record({ target: '/d', request: body('{"age":7}') })])
    await run(path, { where: 'status == 200 && input.age > 4', limit: 1 })
    expect(seen.map(({ url }) => url)).toEqual(['/c'])
    await expect(run(path, { where: 'age >' })).rejects.toThrow(/--where/)
  })

  it('keep the spacing they had, or another', async () => {
    const spaced = [0, 150, 300].map((ms) => record({ time: 1_700_000_000_000 + ms }))
    const path = jsonl('spaced.jsonl', spaced)
    const took = async (more: Partial<ReplayOrder>): Promise<number> => {
      const from = performance.now()
      await run(path, more)
      return performance.now() - from
    }
    // Never earlier than it says; how much later is the machine's.
    expect(await took({ speed: 1 })).toBeGreaterThanOrEqual(299)
    expect(await took({ speed: 3 })).toBeGreaterThanOrEqual(99)
    expect(await took({ rate: 20 })).toBeGreaterThanOrEqual(99)
  })

  it('are told to people too', async () => {
    answers = { '/b': { status: 404, body: '{}' } }
    const { out } = await run(jsonl('told.jsonl', [record(), record({ target: '/b' })]), { json: false })
    expect(out).toContain('2 sent: 1 the same, 1 different, 0 with nothing to compare')
    expect(out).toContain('status: 200 × 1, 404 × 1')
    expect(out).toMatch(/latency before p50 4\.00 ms {2}p90 4\.00 ms {2}p99 4\.00 ms/)
    expect(out).toMatch(/status: POST \/b \(request-\d+\)\n {2}before 200\n {2}now {4}404/)
  })
})

describe('rows of a file', () => {
  const expected = ['{"age":3,"city":"Ulm"}', '{"age":4,"city":null}']

  it.each([
    ['CSV', 'rows.csv', 'age,city\n3,Ulm\n4,\n'],
    ['JSON Lines, as they stand', 'rows.jsonl', `${expected.join('\n')}\n`],
    ['JSON Lines, compressed', 'rows.jsonl.gz', gzipSync(`${expected.join('\n')}\n`)],
  ])('%s: each is a body', async (_name, name, content) => {
    const { code, report } = await run(file(name, content), { to: `${origin}/v1/score?x=1` })
    expect(seen.map(({ method, url, body, headers }) => [method, url, body, headers['content-type']])).toEqual(expected.map((body) => ['POST', '/v1/score?x=1', body, 'application/json']))
    expect([code, report]).toMatchObject([0, { sent: 2, not_compared: 2 }])
  })

  it('go to the path of the route', async () => {
    const config = file('weir.yaml', `listen: 127.0.0.1:${origin.split(':').at(-1)}\nbackends: { up: { url: "http://127.0.0.1:1" } }\nroutes: [{ name: fraud, match: { path: /v2/score }, backend: up }]\n`)
    const rows = file('config.csv', 'age\n3\n')
    expect((await run(rows, { to: null, config })).code).toBe(0)
    expect(seen.map(({ url }) => url)).toEqual(['/v2/score'])
    await expect(run(rows, { to: null, config, route: 'frad' })).rejects.toThrow('no route "frad"')
  })
})

describe('what cannot be used', () => {
  it.each([
    ['no such file', () => join(folder, 'none.jsonl'), 'no such file'],
    ['no JSON', () => file('bad.jsonl', '{"record_id":"1"}\nnonsense\n{}\n'), 'bad.jsonl:2'],
    ['rows without a path to go to', () => file('nowhere.csv', 'a\n1\n'), '--to'],
  ])('%s', async (_name, path, message) => {
    const { code, error } = await run(path())
    expect(code).toBe(2)
    expect(error).toContain(message)
  })

  it('a line that broke off at the end is left out and told', async () => {
    const { code, error, report } = await run(file('torn.jsonl', lineOf(record()) + lineOf(record()).slice(0, 50)))
    expect([code, report.sent]).toEqual([0, 1])
    expect(error).toContain('broke off')
  })

  it('an empty folder, and a file without requests of the route', async () => {
    mkdirSync(join(folder, 'empty'))
    expect((await run(join(folder, 'empty'))).code).toBe(2)
    const { error } = await run(jsonl('others.jsonl', [record({ route: 'other' })]))
    expect(error).toContain('nothing was sent')
  })
})
