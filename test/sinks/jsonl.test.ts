import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { JsonlSinkConfig } from '../../config/config.ts'
import { lineOf } from '../../gateway/records/sinks/envelope.ts'
import { JsonlSink, MAX_OPEN } from '../../gateway/records/sinks/jsonl.ts'
import type { SinkState } from '../../gateway/records/sink.ts'
import { FakeClock } from '../fake_clock.ts'
import { body, record } from '../records/made.ts'
import { deps, filesIn, rowsIn, type Scratch, scratch, spool, textIn } from './setup.ts'

let folder: Scratch
beforeEach(() => void (folder = scratch()))
afterEach(() => folder.remove())

const config = (change: Partial<JsonlSinkConfig> = {}): JsonlSinkConfig => ({ kind: 'jsonl', name: 'lines', path: folder.path, gzip: false, max_file_bytes: 1 << 20, rotate_ms: 60_000, spool, ...change })
const idsIn = (path: string) => rowsIn(path).map((row) => row['record_id'])
/** 2023-11-14T22:13:20Z, as `date -u -d @1700000000` says. */
const TIME = 1_700_000_000_000
const HOUR = 3_600_000

describe('a line', () => {
  test('holds the record, its bodies as JSON', () => {
    const line = lineOf(record('r1', { request_headers: ['X-A', '1', 'x-a', '2'], response: body('{"score": 0.5}', { type: 'application/json; charset=utf-8' }) }))
    expect(line.endsWith('}\n')).toBe(true)
    expect(JSON.parse(line)).toEqual({
      record_id: 'r1', inference_id: 'inference r1', request_id: 'request r1', time: '2023-11-14T22:13:20.000Z', route: 'score', backend: 'v1', arm: 'a', model: 'cancer', version: '2', method: 'POST', target: '/score?x=1',
      status: 200, reason: '', flags: ['retried'], attempts: 2, fallback: 'v1;timeout', duration_ms: 12.25, backend_ms: 11.5, format: 'oip',
      request_headers: { 'x-a': '1, 2' }, response_headers: {},
      request: { x: 1 }, request_type: 'application/json', request_encoding: '', request_length: 7, request_truncated: false, request_base64: false,
      sent: null,
      response: { score: 0.5 }, response_type: 'application/json; charset=utf-8', response_encoding: '', response_length: 14, response_truncated: false, response_base64: false,
    })
  })

  test('a body that is JSON stands as it was written: large integers, spelling, order, duplicate keys', () => {
    const written = '{"b":12345678901234567890,"a":1.50,"a":1e3,"s":"\\u00e9\\n"}'
    expect(lineOf(record(1, { request: body(written) }))).toContain(`"request":${written}`)
  })

  test('it is one line, however the body is laid out', () => {
    const line = lineOf(record(1, { request: body('{\r\n  "a": [1,\n 2],\n  "s": "x\\ny"\n}\n') }))
    expect(line.indexOf('\n')).toBe(line.length - 1)
    expect(JSON.parse(line)).toMatchObject({ request: { a: [1, 2], s: 'x\ny' }, request_base64: false })
  })

  test.each([
    ['no JSON', body('a,b\n1,2\n'), 'YSxiCjEsMgo='],
    ['NaN, which JSON has not', body('{"x":NaN}'), 'eyJ4IjpOYU59'],
    ['no UTF-8', body(Buffer.from([0x22, 0xff, 0x22])), 'Iv8i'],
    ['a part of one', body('[1,2]', { truncated: true, length: 100 }), 'WzEsMl0='],
    ['nothing', body(''), ''],
    ['a byte order mark', body('\ufeff{}'), '77u/e30='],
  ])('%s stands as base64', (_what, request, base64) => {
    expect(JSON.parse(lineOf(record(1, { request })))).toMatchObject({ request: { base64 }, request_base64: true, request_length: request.length, request_truncated: request.truncated })
  })

  test('a body that looks like one of these is told from them', () => {
    expect(JSON.parse(lineOf(record(1, { request: body('{"base64":"AA=="}') })))).toMatchObject({ request: { base64: 'AA==' }, request_base64: false })
  })

  test('names like __proto__ are names, and what is no time is 1970', () => {
    const line = lineOf(record(1, { request_headers: ['__proto__', 'x'], time: Number.NaN }))
    expect(line).toContain('"request_headers":{"__proto__":"x"}')
    expect(JSON.parse(line)).toMatchObject({ time: '1970-01-01T00:00:00.000Z' })
  })

  test('any body comes back as it was', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.json().map((text) => Buffer.from(text))), (bytes) => {
      const line = lineOf(record(1, { request: body(Buffer.from(bytes)) }))
      const row = JSON.parse(line) as Record<string, unknown>
      expect(line.split('\n')).toHaveLength(2)
      if (row['request_base64'] === true) expect(Buffer.from((row['request'] as { base64: string }).base64, 'base64')).toEqual(Buffer.from(bytes))
      else expect(row['request']).toEqual(JSON.parse(Buffer.from(bytes).toString()))
    }))
  })
})

describe('files', () => {
  test('lie by route, day and hour, and are open to readers at once', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    const { delivered, rejected, error } = await sink.deliver([record(1), record(2, { time: TIME + HOUR }), record(3, { route: 'rank' }), record(4)])
    expect({ delivered, rejected, error }).toEqual({ delivered: 4, rejected: 0, error: null })
    const files = filesIn(folder.path)
    expect(files.map((file) => file.replace(/[0-9a-f]{8}-/, 'boot-'))).toEqual(['rank/dt=2023-11-14/hour=22/boot-3.jsonl', 'score/dt=2023-11-14/hour=22/boot-1.jsonl', 'score/dt=2023-11-14/hour=23/boot-2.jsonl'])
    expect(textIn(join(folder.path, files[1]!)).split('\n').slice(0, -1).map((line) => (JSON.parse(line) as { record_id: string }).record_id)).toEqual(['1', '4'])
  })

  test('go on until they are old, then another one begins', async () => {
    const { clock, ...rest } = deps()
    const sink = new JsonlSink(config(), { clock, ...rest })
    await sink.open(null)
    await sink.deliver([record(1)])
    await sink.deliver([record(2)])
    clock.advance(59_999)
    expect(await sink.rotate(false)).toBeUndefined()
    expect(filesIn(folder.path)).toHaveLength(1)
    clock.advance(1)
    expect(await sink.rotate(false)).toMatchObject({ open: {} })
    await sink.deliver([record(3)])
    expect(filesIn(folder.path)).toHaveLength(2)
    expect(idsIn(folder.path)).toEqual(['1', '2', '3'])
  })

  test('are no larger than they may be; a record that is larger has a file of its own', async () => {
    const one = Buffer.byteLength(lineOf(record(1)))
    const sink = new JsonlSink(config({ max_file_bytes: 2 * one }), deps())
    await sink.open(null)
    await sink.deliver([record(1)])
    await sink.deliver([2, 3, 4, 5].map((id) => record(id)))
    await sink.deliver([record(6, { request: body(JSON.stringify('x'.repeat(3 * one))) }), record(7)])
    const sizes = filesIn(folder.path).map((file) => textIn(join(folder.path, file)).split('\n').length - 1)
    expect(sizes).toEqual([2, 2, 1, 1, 1])
    expect(idsIn(folder.path)).toEqual(['1', '2', '3', '4', '5', '6', '7'])
  })

  test('are compressed when they are closed', async () => {
    const { clock, ...rest } = deps()
    const sink = new JsonlSink(config({ gzip: true }), { clock, ...rest })
    await sink.open(null)
    await sink.deliver([record(1), record(2)])
    expect(filesIn(folder.path)[0]).toMatch(/\.jsonl$/)
    clock.advance(60_000)
    await sink.rotate(false)
    expect(filesIn(folder.path)).toHaveLength(1)
    expect(filesIn(folder.path)[0]).toMatch(/\.jsonl\.gz$/)
    expect(idsIn(folder.path)).toEqual(['1', '2'])
  })

  test('that cannot be compressed stay as they are', async () => {
    const own = deps()
    const sink = new JsonlSink(config({ gzip: true }), own)
    await sink.open(null)
    await sink.deliver([record(1)])
    // A folder where the compressed file would be.
    mkdirSync(join(folder.path, `${filesIn(folder.path)[0]!}.gz`))
    expect(await sink.rotate(true)).toMatchObject({ open: {} })
    expect(idsIn(folder.path)).toEqual(['1'])
    expect(own.lines.join()).toContain('stays uncompressed')
    expect(readdirSync(folder.path, { recursive: true }).filter((name) => String(name).endsWith('.tmp'))).toEqual([])
  })

  test('of very many routes do not make the state large', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    const routes = Array.from({ length: 300 }, (_, i) => record(i, { route: `route-${'x'.repeat(50)}-${i}` }))
    const { state } = await sink.deliver(routes)
    expect(Object.keys((state as { open: object }).open)).toHaveLength(MAX_OPEN)
    expect(JSON.stringify(state).length).toBeLessThan(32 * 1024)
    await sink.deliver(routes)
    expect(idsIn(folder.path).toSorted()).toEqual([...routes, ...routes].map((one) => one.record_id).toSorted())
  })

  test('of routes with strange names stay within the folder', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    await sink.deliver([record(1, { route: '../../etc' }), record(2, { route: '' }), record(3, { route: 'é/b' })])
    expect(filesIn(folder.path).map((file) => file.split('/')[0])).toEqual(['_.._.._etc', '_', '__b'])
  })

  test('a file that somebody took is left to them: nothing is lost, another one begins', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    await sink.deliver([record(1)])
    const [file] = filesIn(folder.path)
    renameSync(join(folder.path, file!), join(folder.path, 'taken.jsonl'))
    await expect(sink.deliver([record(2)])).rejects.toThrow('moved or cut')
    await sink.deliver([record(2)])
    truncateSync(join(folder.path, filesIn(folder.path).find((one) => one.startsWith('score'))!), 0)
    await expect(sink.deliver([record(3)])).rejects.toThrow('moved or cut')
    await sink.deliver([record(3)])
    expect(idsIn(folder.path).toSorted()).toEqual(['1', '3'])
  })
})

describe('exactly once', () => {
  /** A sink, a shipper that commits or dies, and what must lie in the folder. */
  async function run(steps: readonly Step[], gzip: boolean): Promise<void> {
    const place = join(folder.path, String(runs++))
    const settings = config({ path: place, gzip, max_file_bytes: 2000, rotate_ms: 1000 })
    const clock = new FakeClock()
    let committed: SinkState | null = null
    let next = 0
    let sink = new JsonlSink(settings, deps(clock))
    const start = async () => {
      sink = new JsonlSink(settings, deps(clock))
      committed = (await sink.open(committed)) ?? committed
    }
    await start()
    for (const { count, hours, dies, rotates } of steps) {
      const batch = Array.from({ length: count }, (_, i) => record(next + i, { time: TIME + ((next + i) % hours) * HOUR, route: (next + i) % 3 === 0 ? 'rank' : 'score' }))
      const { state } = await sink.deliver(batch)
      if (!dies) {
        committed = state ?? committed
        next += count
      }
      if (rotates && !dies) {
        clock.advance(700)
        const rotated = await sink.rotate(false)
        // The process may die between what is done to the files and the commit of it.
        if (count % 2 === 0) committed = rotated ?? committed
        else if (rotated !== undefined) await start()
      }
      if (dies) await start()
    }
    await start()
    committed = (await sink.rotate(true)) ?? committed
    expect(idsIn(place).toSorted()).toEqual(Array.from({ length: next }, (_, i) => String(i)).toSorted())
    if (gzip) expect(filesIn(place).filter((file) => !file.endsWith('.gz'))).toEqual([])
  }
  interface Step {
    readonly count: number
    readonly hours: number
    readonly dies: boolean
    readonly rotates: boolean
  }
  let runs = 0

  test.each([false, true])('whenever the process dies (gzip: %s)', async (gzip) => {
    const step = fc.record({ count: fc.integer({ min: 1, max: 12 }), hours: fc.integer({ min: 1, max: 4 }), dies: fc.boolean(), rotates: fc.boolean() })
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 8 }), (steps) => run(steps, gzip)), { numRuns: 40 })
  }, 90_000)

  test('a delivery that breaks off leaves nothing, and is made again', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    await sink.deliver([record(1)])
    // The second file of the delivery cannot be made: its folder is a file.
    writeFileSync(join(folder.path, 'rank'), '')
    await expect(sink.deliver([record(2), record(3, { time: TIME + HOUR }), record(4, { route: 'rank' })])).rejects.toThrow()
    rmSync(join(folder.path, 'rank'))
    await sink.deliver([record(2), record(3, { time: TIME + HOUR }), record(4, { route: 'rank' })])
    expect(idsIn(folder.path).toSorted()).toEqual(['1', '2', '3', '4'])
  })

  test('a sink whose state was lost, or that shares the folder, keeps its hands off what others delivered', async () => {
    const sink = new JsonlSink(config(), deps())
    await sink.open(null)
    await sink.deliver([record(1)])
    const other = new JsonlSink(config(), deps())
    const committed = await other.open(null)
    await other.deliver([record(2)])
    // It dies before the commit: its own record comes again, and that of the first stays.
    const again = new JsonlSink(config(), deps())
    await again.open(committed!)
    expect(idsIn(folder.path)).toEqual(['1'])
    await again.deliver([record(2)])
    expect(idsIn(folder.path).toSorted()).toEqual(['1', '2'])
  })

  test('a delivery that broke off and is not made again is not in the closed file', async () => {
    const { clock, ...rest } = deps()
    const sink = new JsonlSink(config(), { clock, ...rest })
    await sink.open(null)
    await sink.deliver([record(1)])
    writeFileSync(join(folder.path, 'rank'), '')
    await expect(sink.deliver([record(2), record(3, { route: 'rank' })])).rejects.toThrow()
    clock.advance(60_000)
    await sink.rotate(false)
    rmSync(join(folder.path, 'rank'))
    expect(idsIn(folder.path)).toEqual(['1'])
  })

  test('the state of another kind of sink, or another folder, does no harm', async () => {
    const other = join(folder.path, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'a.jsonl'), 'kept')
    const sink = new JsonlSink(config(), deps())
    await sink.open({ kind: 'parquet', folder: other, seq: 4, open: { 'a.jsonl': 0 } })
    await sink.deliver([record(1)])
    expect(readFileSync(join(other, 'a.jsonl'), 'utf8')).toBe('kept')
    const moved = new JsonlSink(config({ path: join(folder.path, 'new') }), deps())
    await moved.open({ kind: 'jsonl', folder: other, id: 'a1', seq: 4, open: { 'a.jsonl': 2 } })
    expect(readFileSync(join(other, 'a.jsonl'), 'utf8')).toBe('ke')
  })

  test('a journal that somebody wrote removes nothing outside the folder', async () => {
    const inside = join(folder.path, 'lake')
    mkdirSync(inside)
    writeFileSync(join(folder.path, 'precious'), 'x')
    writeFileSync(join(inside, '.weir-lines-a1.json'), JSON.stringify({ seq: 1, files: ['../precious', '/etc/hosts', 'a/../../precious', 7] }))
    await new JsonlSink(config({ path: inside }), deps()).open({ kind: 'jsonl', folder: inside, id: 'a1', seq: 0, open: {} })
    expect(existsSync(join(inside, '.weir-lines-a1.json'))).toBe(false)
    expect(statSync(join(folder.path, 'precious')).size).toBe(1)
  })
})

describe('probe', () => {
  test('writes and removes a file', async () => {
    await new JsonlSink(config({ path: join(folder.path, 'new') }), deps()).probe()
    expect(filesIn(join(folder.path, 'new'))).toEqual([])
  })

  test('says why it cannot', async () => {
    writeFileSync(join(folder.path, 'file'), '')
    await expect(new JsonlSink(config({ path: join(folder.path, 'file') }), deps()).probe()).rejects.toThrow()
  })
})
