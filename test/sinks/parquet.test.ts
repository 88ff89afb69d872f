import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ParquetSinkConfig } from '../../config/config.ts'
import type { LogRecord } from '../../gateway/records/record.ts'
import type { SinkState } from '../../gateway/records/sink.ts'
import { ParquetSink } from '../../gateway/records/sinks/parquet.ts'
import { MAX_COLUMNS } from '../../gateway/records/sinks/typed.ts'
import { body, record } from '../records/made.ts'
import { describeWithFound } from '../servers.ts'
import { type Deps, deps, filesIn, type Scratch, scratch, spool } from './setup.ts'

let folder: Scratch
beforeEach(() => void (folder = scratch()))
afterEach(() => folder.remove())

const config = (change: Partial<ParquetSinkConfig> = {}): ParquetSinkConfig => ({ kind: 'parquet', name: 'lake', path: folder.path, rotate_ms: 60_000, max_rows: 100_000, columns: true, spool, ...change })
const TIME = 1_700_000_000_000
const HOUR = 3_600_000

async function rowsOf(file: string): Promise<Record<string, unknown>[]> {
  const bytes = readFileSync(join(folder.path, file))
  return parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer, utf8: false })
}

/** Every row of every file, in the order of the names of files. */
async function lake(): Promise<Record<string, unknown>[]> {
  const all: Record<string, unknown>[] = []
  for (const file of filesIn(folder.path)) all.push(...(await rowsOf(file)))
  return all.toSorted((a, b) => Number(a['record_id']) - Number(b['record_id']))
}

async function written(records: readonly LogRecord[], change: Partial<ParquetSinkConfig> = {}, own: Deps = deps()): Promise<Record<string, unknown>[]> {
  const sink = new ParquetSink(config(change), own)
  await sink.open(null)
  expect(await sink.deliver(records)).toMatchObject({ delivered: records.length, rejected: 0, error: null })
  return lake()
}

/** Files are synced, and others start Python: on a busy machine that takes a while. */
const PATIENCE = 90_000
/** A record of a route that speaks `rows`. */
const rows = (id: number, request: unknown, response: unknown = { score: 0.5 }, change: Partial<LogRecord> = {}) => record(id, { format: 'rows', request: body(JSON.stringify(request)), response: body(JSON.stringify(response)), ...change })
/** What the columns of one record hold, without those that hold nothing. */
const typed = (row: Record<string, unknown>) => Object.fromEntries(Object.entries(row).filter(([name, value]) => /^(input|output|rows)/.test(name) && value !== null && value !== undefined))

describe('files', () => {
  test('lie by route, day and hour', async () => {
    await written([record(1), record(2, { time: TIME + HOUR }), record(3, { route: 'rank' })])
    expect(filesIn(folder.path).map((file) => file.replace(/[0-9a-f]{8}-/, 'ID-'))).toEqual(['route=rank/date=2023-11-14/hour=22/part-ID-1.parquet', 'route=score/date=2023-11-14/hour=22/part-ID-1.parquet', 'route=score/date=2023-11-14/hour=23/part-ID-1.parquet'])
  })

  test('hold the record: one row each', async () => {
    const [row] = await written([record('r1', { request_headers: ['X-A', '1', 'x-a', '2'], sent: body(Buffer.from([0xff, 0x00]), { length: 9, truncated: true, encoding: 'gzip', type: 'application/octet-stream' }), flags: ['a', 'b'] })], { columns: false })
    expect(row).toEqual({
      record_id: 'r1', inference_id: 'inference r1', request_id: 'request r1', time: new Date(TIME), backend: 'v1', arm: 'a', model: 'cancer', version: '2', method: 'POST', target: '/score?x=1',
      status: 200, reason: '', flags: ['a', 'b'], attempts: 2, fallback: 'v1;timeout', duration_ms: 12.25, backend_ms: 11.5, format: 'oip',
      request_headers: { 'x-a': '1, 2' }, response_headers: {},
      request: '{"x":1}', request_bytes: null, request_type: 'application/json', request_encoding: '', request_length: 7n, request_truncated: false,
      sent: null, sent_bytes: new Uint8Array([0xff, 0x00]), sent_type: 'application/octet-stream', sent_encoding: 'gzip', sent_length: 9n, sent_truncated: true,
      response: '{"y":2}', response_bytes: null, response_type: 'application/json', response_encoding: '', response_length: 7n, response_truncated: false,
    })
  })

  test('of many rows have several row groups, all of them read back', async () => {
    const found = await written(Array.from({ length: 45_000 }, (_, i) => rows(i, i % 7 === 0 ? { a: i, [`k${i % 3}`]: i } : { a: i })))
    expect(found).toHaveLength(45_000)
    for (const i of [0, 6, 7, 19_999, 20_000, 39_999, 40_000, 44_999]) {
      expect(found[i]).toMatchObject({ record_id: String(i), input_a: i })
      expect(found[i]![`input_k${i % 3}`] ?? null).toBe(i % 7 === 0 ? i : null)
    }
  }, PATIENCE)
})

describe('typed columns', () => {
  test('of one row are scalars and lists, by name', async () => {
    const [row] = await written([rows(1, { age: 41, amount: 12.5, country: 'DE', vip: true, nothing: null, embedding: [1, 2.5] }, { score: 0.25, label: 'ok' })])
    expect(typed(row!)).toEqual({ rows: 1, input_age: 41, input_amount: 12.5, input_country: 'DE', input_vip: true, input_embedding: [1, 2.5], output_score: 0.25, output_label: 'ok' })
    expect(row).not.toHaveProperty('input_nothing')
  })

  test('of several rows are lists with one item a row', async () => {
    const [row] = await written([rows(1, [{ age: 1, v: [1, 2] }, { age: null, v: [3, 4] }], [{ score: 0.1 }, { score: 0.2 }])])
    expect(typed(row!)).toEqual({ rows: 2, input_age_rows: [1, null], input_v_rows: [[1, 2], [3, 4]], output_score_rows: [0.1, 0.2] })
  })

  test('of tensors have their type: integers stay integers', async () => {
    const request = { inputs: [{ name: 'id', datatype: 'INT64', shape: [1], data: [9007199254740992] }, { name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }, { name: 'n', datatype: 'UINT8', shape: [1, 1], data: [7] }] }
    const answer = { model_name: 'm', outputs: [{ name: 'p', datatype: 'FP64', shape: [1], data: [0.5] }] }
    const text = JSON.stringify(request).replace('9007199254740992', '9007199254740993')
    const [row] = await written([record(1, { format: 'oip', request: body(text), response: body(JSON.stringify(answer)) })])
    expect(typed(row!)).toEqual({ rows: 1, input_id: 9007199254740993n, input_x: [1, 2, 3], input_n: 7n, output_p: 0.5 })
  })

  test.each([['in the logged fields', true], ['nowhere', false]])('of binary tensors, the length of whose JSON is %s', async (_where, logged) => {
    const head = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }, { name: 's}"{', datatype: 'INT32', shape: [1], data: [3] }] })
    const tensors = Buffer.alloc(8)
    tensors.writeFloatLE(1.5, 0)
    tensors.writeFloatLE(-2.5, 4)
    const [row] = await written([record(1, { format: 'oip', request: body(Buffer.concat([Buffer.from(head), tensors]), { type: 'application/octet-stream' }), request_headers: logged ? ['Inference-Header-Content-Length', String(head.length)] : [] })])
    expect(typed(row!)).toMatchObject({ rows: 1, input_x: [1.5, -2.5], input_s___: 3n })
    expect(row).toMatchObject({ request: null, request_bytes: expect.any(Uint8Array) })
  })

  test('hold the features that were used, not the ones that were sent, where a plugin added some', async () => {
    const [row] = await written([rows(1, { user: 'u' }, { score: 1 }, { sent: body('{"user":"u","age":3}') })])
    expect(typed(row!)).toEqual({ rows: 1, input_user: 'u', input_age: 3, output_score: 1 })
  })

  test('come out of compressed bodies too', async () => {
    const [row] = await written([rows(1, {}, {}, { request: body(gzipSync('{"a":1}'), { encoding: 'gzip' }) })])
    expect(typed(row!)).toMatchObject({ rows: 1, input_a: 1 })
  })

  test('what does not fit the type of its column stands in a column of texts', async () => {
    const found = await written([rows(1, { x: 1 }), rows(2, { x: 'one' }), rows(3, { x: [1, 2] }), rows(4, { x: true }), rows(5, [{ x: 5 }, { x: 6 }]), rows(6, [{ x: 'a"b' }, { x: 'c' }])])
    expect(found.map(typed)).toMatchObject([{ input_x: 1 }, { input_x_text: 'one' }, { input_x_text: '[1,2]' }, { input_x_text: 'true' }, { input_x_rows: [5, 6] }, { input_x_text: '["a\\"b","c"]' }])
    expect(found.every((row) => row['request'] !== null)).toBe(true)
  })

  test('an integer that a double cannot hold stands in a column of texts, exactly', async () => {
    const found = await written([rows(1, { id: 5 }), record(2, { format: 'rows', request: body('{"id":12345678901234567890}') }), record(3, { format: 'rows', request: body('{"id":9007199254740993}') })])
    expect(found.map(typed)).toMatchObject([{ input_id: 5 }, { input_id_text: '12345678901234567890' }, { input_id_text: '9007199254740993' }])
  })

  test.each([
    ['not JSON', { request: body('no') }],
    ['a part of one', { request: body('{"a":1}', { truncated: true }) }],
    ['of a route without a format', { format: '' }],
    ['of a format that is not decoded', { format: 'openai' }],
    ['of a format nobody knows', { format: 'constructor' }],
    ['absent', { request: null }],
    ['not what its coding says', { request: body('{"a":1}', { encoding: 'gzip' }) }],
    ['a lie about its shape', { format: 'oip', request: body('{"inputs":[{"name":"a","datatype":"FP32","shape":[3],"data":[1]}]}') }],
  ])('a request that is %s has none, and its record is there', async (_what, change) => {
    const [row] = await written([rows(1, { a: 1 }, { score: 1 }, change)])
    expect(row).toMatchObject({ record_id: '1', rows: null })
    expect(row).not.toHaveProperty('input_a')
  })

  test('answers that are errors have none', async () => {
    const [row] = await written([rows(1, { a: 1 }, { error: 'x' }, { status: 503 })])
    expect(typed(row!)).toEqual({ rows: 1, input_a: 1 })
  })

  test('stay the same in later files, of a later process too', async () => {
    await written([rows(1, { x: 1, s: 'a' })])
    for (const file of filesIn(folder.path)) rmSync(join(folder.path, file))
    const found = await written([rows(2, { s: 7, y: true })])
    expect(found[0]).toMatchObject({ input_x: null, input_s: null, input_s_text: '7', input_y: true })
    expect(Object.keys(found[0]!).filter((name) => name.startsWith('input'))).toEqual(['input_x', 'input_s', 'input_s_text', 'input_y'])
  })

  test('what a file of known columns holds that nobody can read is learnt anew', async () => {
    await written([rows(1, { x: 1 })])
    writeFileSync(join(folder.path, 'route=score/.columns.json'), '[{"side":"inp')
    expect((await written([rows(2, { x: 'text' })])).at(-1)).toMatchObject({ input_x: 'text' })
  })

  test('names that differ in case, or meet names of the table, are told apart', async () => {
    const [row] = await written([rows(1, { Age: 1, age: 2, 'a b;c': 3, '': 4, x: 1, x_rows: 5 })])
    expect(typed(row!)).toMatchObject({ input_Age: 1, input_age_2: 2, input_a_b_c: 3, input: 4, input_x_rows: 5 })
    const found = await written([rows(2, [{ x: 1 }, { x: 2 }])])
    expect(found.at(-1)).toMatchObject({ input_x_rows_2: [1, 2] })
  })

  test('ten thousand names of a caller are no ten thousand columns', async () => {
    const own = deps()
    const found = await written(Array.from({ length: 100 }, (_, i) => rows(i, Object.fromEntries(Array.from({ length: 100 }, (__, j) => [`k${i * 100 + j}`, j])))), {}, own)
    expect(Object.keys(found[0]!).filter((name) => /^(input|output)_/.test(name))).toHaveLength(MAX_COLUMNS)
    expect(found.every((row) => row['request'] !== null)).toBe(true)
    expect(own.lines.join()).toContain('more columns than a file takes')
  })

  test('any JSON object comes back, value by value, in its column or its text', async () => {
    const value = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.string(), fc.boolean(), fc.constant(null))
    await fc.assert(fc.asyncProperty(fc.array(fc.dictionary(fc.constantFrom('a', 'b', 'c'), value, { minKeys: 1 }), { minLength: 1, maxLength: 10 }), async (objects) => {
      rmSync(folder.path, { recursive: true, force: true })
      const found = await written(objects.map((object, i) => rows(i, object)))
      objects.forEach((object, i) => {
        for (const [name, one] of Object.entries(object)) {
          const [own, text] = [found[i]![`input_${name}`] ?? null, found[i]![`input_${name}_text`] ?? null]
          if (one === null) expect([own, text].filter((cell) => cell !== null && cell !== 'null')).toEqual([])
          else if (own === null) expect(text).toBe(String(Object.is(one, -0) ? 0 : one))
          else expect(own).toEqual(Object.is(one, -0) ? 0 : one)
        }
      })
    }), { numRuns: 25 })
  }, PATIENCE)
})

describe('exactly once', () => {
  test('whenever the process dies', async () => {
    const step = fc.record({ count: fc.integer({ min: 1, max: 6 }), hours: fc.integer({ min: 1, max: 3 }), dies: fc.boolean() })
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
      rmSync(folder.path, { recursive: true, force: true })
      let committed: SinkState | null = null
      let next = 0
      let sink = new ParquetSink(config(), deps())
      committed = (await sink.open(committed)) ?? committed
      for (const { count, hours, dies } of steps) {
        const { state } = await sink.deliver(Array.from({ length: count }, (_, i) => rows(next + i, { a: i }, {}, { time: TIME + ((next + i) % hours) * HOUR })))
        if (dies) {
          sink = new ParquetSink(config(), deps())
          await sink.open(committed)
        } else {
          committed = state!
          next += count
        }
      }
      expect((await lake()).map((row) => row['record_id']).toSorted()).toEqual(Array.from({ length: next }, (_, i) => String(i)).toSorted())
    }), { numRuns: 25 })
  }, PATIENCE)

  test('a delivery that breaks off leaves nothing, and is made again', async () => {
    const sink = new ParquetSink(config(), deps())
    await sink.open(null)
    writeFileSync(join(folder.path, 'route=rank'), '')
    await expect(sink.deliver([record(1), record(2, { route: 'rank' })])).rejects.toThrow()
    rmSync(join(folder.path, 'route=rank'))
    await sink.deliver([record(1), record(2, { route: 'rank' })])
    expect((await lake()).map((row) => row['record_id']).toSorted()).toEqual(['1', '2'])
  })

  test('a sink whose state was lost, or that shares the folder, keeps its hands off what others delivered', async () => {
    const sink = new ParquetSink(config(), deps())
    await sink.open(null)
    await sink.deliver([record(1)])
    const other = new ParquetSink(config(), deps())
    const committed = await other.open(null)
    await other.deliver([record(2)])
    // It dies before the commit: its own record comes again, and that of the first stays.
    const again = new ParquetSink(config(), deps())
    await again.open(committed!)
    expect((await lake()).map((row) => row['record_id'])).toEqual(['1'])
    await again.deliver([record(2)])
    expect((await lake()).map((row) => row['record_id']).toSorted()).toEqual(['1', '2'])
  })

  test('a probe writes and removes a file', async () => {
    await new ParquetSink(config({ path: join(folder.path, 'new') }), deps()).probe()
    expect(filesIn(join(folder.path, 'new'))).toEqual([])
  })
})

/** A Python with duckdb and pyarrow. */
function lakePython(): string | null {
  const python = process.env['WEIR_TEST_PYTHON']
  if (python === undefined) return null
  try {
    execFileSync(python, ['-c', 'import duckdb, pyarrow'], { stdio: 'ignore' })
    return python
  } catch {
    return null
  }
}

describeWithFound(lakePython(), 'duckdb and pyarrow in the Python of WEIR_TEST_PYTHON', 'read by DuckDB and pyarrow', (python) => {
  const read = (...queries: string[]) => JSON.parse(execFileSync(python, [join(import.meta.dirname, 'lake.py'), folder.path, ...queries], { encoding: 'utf8', maxBuffer: 1 << 26 })) as { duckdb: unknown[][]; arrow: Record<string, unknown>[]; schema: Record<string, string> }

  test('the record, its types and its partition', async () => {
    await written([record('a', { request_headers: ['X-A', '1'], sent: body(Buffer.from([0xff, 0x00])) }), record('b', { time: TIME + HOUR, flags: [], request: null })])
    const { duckdb, arrow, schema } = read(
      "SELECT record_id, time, status, flags, request_headers['x-a'], request->>'x', sent_bytes, sent, request_length, route, date, hour, duration_ms FROM {lake} ORDER BY record_id",
      'SELECT count(*), min(time), typeof(any_value(time)) FROM {lake}',
    )
    expect(duckdb[0]).toEqual([
      ['a', '2023-11-14T22:13:20+00:00', 200, ['retried'], '1', '1', { hex: 'ff00' }, null, 7, 'score', '2023-11-14', expect.anything(), 12.25],
      ['b', '2023-11-14T23:13:20+00:00', 200, [], null, null, null, null, null, 'score', '2023-11-14', expect.anything(), 12.25],
    ])
    expect(duckdb[1]).toEqual([[2, '2023-11-14T22:13:20+00:00', 'TIMESTAMP WITH TIME ZONE']])
    expect(schema).toMatchObject({ record_id: 'string', time: 'timestamp[ms, tz=UTC]', status: 'int32', flags: expect.stringContaining('list<'), request_headers: expect.stringContaining('map<string, string'), request_bytes: 'binary', request_length: 'int64', request_truncated: 'bool', duration_ms: 'double' })
    expect(arrow.map((row) => [row['record_id'], row['request'], row['sent_bytes'], row['route'], row['flags']])).toEqual([['a', '{"x":1}', { hex: 'ff00' }, 'score', ['retried']], ['b', null, null, 'score', []]])
  }, PATIENCE)

  test('typed columns by SQL, of one row and of several, over files of different columns', async () => {
    const sink = new ParquetSink(config(), deps())
    await sink.open(null)
    await sink.deliver([rows(1, { age: 41, country: 'DE' }), rows(2, { age: 17, country: 'FR' })])
    await sink.deliver([rows(3, [{ age: 1, country: 'IT' }, { age: 2, country: null }], [{ score: 0.1 }, { score: 0.9 }]), rows(4, { age: null, weight: 70.5, v: [1, 2, 3] })])
    const { duckdb, arrow } = read(
      'SELECT record_id, input_age, input_country, output_score, rows FROM {lake} WHERE input_age IS NOT NULL ORDER BY record_id',
      'SELECT record_id, unnest(coalesce(input_age_rows, [input_age])) AS age, unnest(coalesce(output_score_rows, [output_score])) AS score FROM {lake} ORDER BY record_id, age NULLS LAST',
      "SELECT input_weight, input_v FROM {lake} WHERE record_id = '4'",
      'SELECT avg(input_age) FROM {lake}',
    )
    expect(duckdb[0]).toEqual([['1', 41, 'DE', 0.5, 1], ['2', 17, 'FR', 0.5, 1]])
    expect(duckdb[1]).toEqual([['1', 41, 0.5], ['2', 17, 0.5], ['3', 1, 0.1], ['3', 2, 0.9], ['4', null, 0.5]])
    expect(duckdb[2]).toEqual([[70.5, [1, 2, 3]]])
    expect(duckdb[3]).toEqual([[29]])
    expect(arrow).toHaveLength(4)
  }, PATIENCE)

  test('nested lists, integers of tensors, NaN and nulls within lists', async () => {
    const tensors = (id: number, shape: number[], data: unknown[]) => record(id, { format: 'oip', request: body(JSON.stringify({ inputs: [{ name: 'x', datatype: 'INT64', shape, data }] })) })
    await written([tensors(1, [2, 2], [1, 2, 3, 4]), tensors(2, [1, 2], [5, 6]), rows(3, [{ y: [1.5, null] }, { y: [2.5, 3.5] }], {}, { route: 'other' })])
    const { duckdb } = read("SELECT input_x_rows, input_x FROM {lake} WHERE record_id < '3' ORDER BY record_id", "SELECT input_y_rows FROM {lake} WHERE record_id = '3'")
    expect(duckdb[0]).toEqual([[[[1, 2], [3, 4]], null], [null, [5, 6]]])
    expect(duckdb[1]).toEqual([[[[1.5, null], [2.5, 3.5]]]])
  }, PATIENCE)

  test('20,001 records are 20,001 rows', async () => {
    await written(Array.from({ length: 20_001 }, (_, i) => rows(i, { a: i, s: `s${i % 100}` })))
    const { duckdb } = read('SELECT count(*), count(DISTINCT record_id), sum(input_a), count(DISTINCT input_s), sum(length(request)) FROM {lake}')
    // Sum of 0 … 20,000.
    expect(duckdb[0]![0]).toMatchObject([20_001, 20_001, 200_010_000, 100, expect.anything()])
  }, PATIENCE)
})
