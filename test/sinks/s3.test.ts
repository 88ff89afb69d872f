import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { parquetReadObjects } from 'hyparquet'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { S3SinkConfig } from '../../config/config.ts'
import type { LogRecord } from '../../gateway/records/record.ts'
import type { SinkState } from '../../gateway/records/sink.ts'
import { addressOf } from '../../gateway/records/sinks/bucket.ts'
import { MAX_OBJECTS, S3Sink } from '../../gateway/records/sinks/s3.ts'
import { MAX_COLUMNS } from '../../gateway/records/sinks/typed.ts'
import { body, record } from '../records/made.ts'
import { describeWith, freePort } from '../servers.ts'
import { FakeClock } from '../fake_clock.ts'
import { startReceiver } from './receiver.ts'
import { ACCESS_KEY, S3Server, SECRET_KEY, startWeather, type Weather } from './s3_server.ts'
import { type Deps, deps, filesIn, rowsIn, spool } from './setup.ts'

const delivery = { timeout_ms: 10_000, backoff_ms: 100, max_backoff_ms: 30_000, connections: 4 }
const HOUR = 3_600_000
const TIME = 1_700_000_000_000

/** The server refuses requests of another time than its own. */
const today = (): Deps => deps(new FakeClock(Date.now()))
const rows = (id: number, request: unknown, change: Partial<LogRecord> = {}) => record(id, { format: 'rows', request: body(JSON.stringify(request)), response: body('{"score":0.5}'), ...change })

const config = (change: Partial<S3SinkConfig>): S3SinkConfig => ({
  kind: 's3', name: 'bucket', bucket: 'bucket-1', prefix: '', region: 'us-east-1', endpoint: '', access_key: ACCESS_KEY, secret_key: SECRET_KEY, session_token: '', format: 'parquet', rotate_ms: 60_000, spool, delivery, ...change,
})

test.each([
  [{ endpoint: '', region: 'eu-central-1' }, 'https://lake.s3.eu-central-1.amazonaws.com'],
  [{ endpoint: '', region: 'cn-north-1' }, 'https://lake.s3.cn-north-1.amazonaws.com.cn'],
  [{ endpoint: '', bucket: 'my.lake' }, 'https://s3.us-east-1.amazonaws.com/my.lake'],
  [{ endpoint: 'http://127.0.0.1:9000' }, 'http://127.0.0.1:9000/lake'],
  [{ endpoint: 'https://host/storage/v1/s3' }, 'https://host/storage/v1/s3/lake'],
])('the bucket of %o is at %s', (change, address) => expect(addressOf(config({ bucket: 'lake', ...change }))).toBe(address))

describe('answers', () => {
  const error = (code: string) => `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`
  test.each<[number, string, Record<string, string>, string]>([
    [503, error('SlowDown'), {}, 'the S3 server answered 503 SlowDown to PUT'],
    [500, '', {}, 'the S3 server answered 500 to PUT'],
    [403, error('AccessDenied'), {}, 'the S3 server answered 403 AccessDenied to PUT: the credentials may not do this in the bucket "bucket-1": allow s3:PutObject below the prefix'],
    [403, error('RequestTimeTooSkewed'), {}, 'the S3 server answered 403 RequestTimeTooSkewed to PUT: the clocks of this machine and of the server differ by more than 15 minutes'],
    [403, error('InvalidAccessKeyId'), {}, 'the S3 server answered 403 InvalidAccessKeyId to PUT: check `access_key`'],
    [400, error('ExpiredToken'), {}, 'the S3 server answered 400 ExpiredToken to PUT: check `session_token`'],
    [301, error('PermanentRedirect'), { 'x-amz-bucket-region': 'eu-west-1' }, 'the S3 server answered 301 PermanentRedirect to PUT: the bucket "bucket-1" is not in the region "us-east-1"; set `region` to eu-west-1'],
    [404, 'not S3 at all', {}, 'the S3 server answered 404 to PUT: check the bucket "bucket-1" and `endpoint`'],
  ])('%i %s is an error that says what to do', async (status, text, headers, message) => {
    const receiver = await startReceiver()
    receiver.answer = (_request, response) => void response.writeHead(status, headers).end(text)
    const sink = new S3Sink(config({ endpoint: receiver.url }), deps())
    await expect(sink.probe()).rejects.toThrow(new Error(message))
    await sink.close()
    await receiver.stop()
  })

  test('nothing is put before the state that tells of it is committed', async () => {
    const receiver = await startReceiver()
    const sink = new S3Sink(config({ endpoint: receiver.url }), deps())
    await sink.open(null)
    const announced = await sink.deliver([record(1), record(2)])
    expect(announced).toMatchObject({ delivered: 0, rejected: 0, error: null, state: { kind: 's3', seq: 0, records: 2 } })
    expect((announced.state!['keys'] as string[])[0]).toMatch(/^route=score\/date=2023-11-14\/hour=22\/part-[0-9a-f]{8}-1\.parquet$/)
    expect(receiver.received).toEqual([])
    await sink.close()
    await receiver.stop()
  })

  test('the state stays below 32 KiB, whatever names and hours a delivery has', async () => {
    const sink = new S3Sink(config({ endpoint: 'http://127.0.0.1:1' }), deps())
    const { state } = await sink.deliver(Array.from({ length: MAX_OBJECTS + 50 }, (_, i) => record(i, { route: 'r'.repeat(200), time: TIME + i * HOUR })))
    expect(state!['records']).toBe(MAX_OBJECTS)
    expect(JSON.stringify(state).length).toBeLessThan(32 << 10)
    await sink.close()
  })

  test.each([null, {}, { kind: 'parquet', folder: '/x', id: 'a', seq: 1 }, { kind: 's3', place: 'bucket-1/', id: '../x', seq: 1, records: 0, keys: [] }, { kind: 's3', place: 'bucket-1/', id: 'aa', seq: 1, records: 0, keys: [1] }])('a state that is none of its own, %o, is none', async (state) => {
    const sink = new S3Sink(config({ endpoint: 'http://127.0.0.1:1' }), deps())
    await sink.open(state)
    expect((await sink.deliver([record(1)])).state).toMatchObject({ seq: 0, records: 1 })
    await sink.close()
  })
})

describeWith('versitygw', 's3 against the Versity S3 Gateway', (program) => {
  let server: S3Server
  const open: S3Sink[] = []
  beforeAll(async () => void (server = await S3Server.start(program)), 30_000)
  afterEach(async () => {
    for (const sink of open.splice(0)) await sink.close()
  })
  afterAll(() => server.stop())

  const make = (change: Partial<S3SinkConfig>, own = today()): S3Sink => {
    const sink = new S3Sink(config({ endpoint: server.endpoint, ...change }), own)
    open.push(sink)
    return sink
  }

  /** As the shipper does it: what is announced is committed, and the same records come again. @returns the state that is committed last */
  async function ship(sink: S3Sink, records: readonly LogRecord[], state: SinkState | null = null): Promise<SinkState | null> {
    await sink.open(state)
    let last = state
    for (let at = 0; at < records.length; ) {
      const { delivered, rejected, state: next, error } = await sink.deliver(records.slice(at))
      expect(error).toBeNull()
      at += delivered + rejected
      last = next ?? last
    }
    return last
  }

  const objects = (bucket: string) => filesIn(server.folderOf(bucket)).map((file) => file.replace(/[0-9a-f]{8}-/, 'ID-'))

  async function readParquet(folder: string): Promise<Record<string, unknown>[]> {
    const all: Record<string, unknown>[] = []
    for (const file of filesIn(folder).filter((name) => name.endsWith('.parquet'))) {
      const bytes = readFileSync(join(folder, file))
      all.push(...(await parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer })))
    }
    return all
  }

  test('Parquet by route, day and hour, read back', async () => {
    const bucket = server.makeBucket()
    await ship(make({ bucket, prefix: "logs/a=b!'(x)*" }), [rows(1, { a: 1 }), rows(2, { a: 2 }, { time: TIME + HOUR }), rows(3, { b: 'x' }, { route: 'rank' })])
    const at = "logs/a=b!'(x)*"
    expect(objects(bucket)).toEqual([`${at}/route=rank/date=2023-11-14/hour=22/part-ID-1.parquet`, `${at}/route=score/date=2023-11-14/hour=22/part-ID-1.parquet`, `${at}/route=score/date=2023-11-14/hour=23/part-ID-1.parquet`])
    expect((await readParquet(server.folderOf(bucket))).map(({ record_id, input_a, input_b }) => [record_id, input_a, input_b])).toEqual([['3', undefined, 'x'], ['1', 1, undefined], ['2', 2, undefined]])
  })

  test('lines of JSON, compressed', async () => {
    const bucket = server.makeBucket()
    await ship(make({ bucket, format: 'jsonl' }), [record(1), record(2)])
    expect(objects(bucket)).toEqual(['route=score/date=2023-11-14/hour=22/part-ID-1.jsonl.gz'])
    expect(rowsIn(server.folderOf(bucket))).toMatchObject([{ record_id: '1', route: 'score', request: { x: 1 } }, { record_id: '2', response: { y: 2 } }])
  })

  test('deliveries follow each other, over restarts', async () => {
    const bucket = server.makeBucket()
    const state = await ship(make({ bucket }), [record(1)])
    await ship(make({ bucket }), [record(2)], state)
    expect(objects(bucket)).toEqual([1, 2].map((n) => `route=score/date=2023-11-14/hour=22/part-ID-${n}.parquet`))
    expect((await readParquet(server.folderOf(bucket))).map(({ record_id }) => record_id)).toEqual(['1', '2'])
  })

  test('what columns a route had is known after a restart, however many', async () => {
    const bucket = server.makeBucket()
    const wide = Object.fromEntries(Array.from({ length: MAX_COLUMNS - 10 }, (_, i) => [`a_rather_long_name_of_a_feature_${i}`, i]))
    const state = await ship(make({ bucket }), [rows(1, { ...wide, x: 1 })])
    await ship(make({ bucket }), [rows(2, { x: 'text' })], state)
    const [, second] = await readParquet(server.folderOf(bucket))
    expect(second).toMatchObject({ record_id: '2' })
    expect(Object.keys(second!).filter((name) => name.startsWith('input_a_rather'))).toHaveLength(MAX_COLUMNS - 10)
    // The column of numbers stays one.
    expect(second!['input_x']).toBeNull()
  }, 60_000)

  test('more objects than one delivery takes are the next delivery', async () => {
    const bucket = server.makeBucket()
    await ship(make({ bucket, format: 'jsonl' }), Array.from({ length: MAX_OBJECTS + 1 }, (_, i) => record(i, { time: TIME + i * HOUR })))
    const files = objects(bucket)
    expect(files.filter((file) => file.endsWith('ID-1.jsonl.gz'))).toHaveLength(MAX_OBJECTS)
    expect(files.filter((file) => file.endsWith('ID-2.jsonl.gz'))).toHaveLength(1)
  }, 60_000)

  test('a probe leaves nothing behind', async () => {
    const bucket = server.makeBucket()
    await make({ bucket }).probe()
    // The server's own folder.
    expect(readdirSync(server.folderOf(bucket)).filter((name) => name !== '.sgwtmp')).toEqual([])
  })

  test.each<[string, Partial<S3SinkConfig>, string]>([
    ['secret', { secret_key: 'wrong' }, '403 SignatureDoesNotMatch to PUT: check `secret_key`'],
    ['access key', { access_key: 'wrong' }, '404 XAdminUserNotFound to PUT: check `access_key`'],
    ['bucket', { bucket: 'nowhere' }, '404 NoSuchBucket to PUT: there is no bucket "nowhere" here'],
    ['region', { region: 'eu-west-1' }, '400 AuthorizationHeaderMalformed to PUT: the bucket "bucket-1" is not in the region "eu-west-1"'],
  ])('a wrong %s is said in the error of the probe and of the delivery, and nothing is given up', async (_what, change, message) => {
    if (change.bucket === undefined) server.makeBucket()
    const sink = make({ format: 'jsonl', ...change })
    await expect(sink.probe()).rejects.toThrow(message)
    const { state } = await sink.deliver([record(1)])
    expect(state).toMatchObject({ records: 1 })
    await expect(sink.deliver([record(1)])).rejects.toThrow(message)
  })

  test('a clock that is wrong', async () => {
    await expect(make({}, deps()).probe()).rejects.toThrow('the clocks of this machine and of the server differ')
  })

  test('a server that is not there', async () => {
    await expect(make({ endpoint: `http://127.0.0.1:${await freePort()}` }).probe()).rejects.toThrow('ECONNREFUSED')
  })

  test('a server that is killed and comes back: everything is there once', async () => {
    const bucket = server.makeBucket()
    const sink = make({ bucket, format: 'jsonl' })
    let state = await ship(sink, [record(1)])
    await server.kill()
    state = (await sink.deliver([record(2)])).state!
    await expect(sink.deliver([record(2)])).rejects.toThrow()
    await server.run()
    await ship(make({ bucket, format: 'jsonl' }), [record(2), record(3)], state)
    expect(rowsIn(server.folderOf(bucket)).map(({ record_id }) => record_id).toSorted()).toEqual(['1', '2', '3'])
  }, 30_000)

  describe('exactly once', () => {
    let weather: Weather
    beforeAll(async () => void (weather = await startWeather(server.port)))
    afterAll(() => weather.stop())

    /** What a life of the sink does: how many records it is given, what the network does, whether it commits, how many of the oldest are given up before. */
    const life = fc.record({
      records: fc.integer({ min: 1, max: 8 }), fates: fc.array(fc.constantFrom('whole' as const, 'lost' as const, 'cut' as const), { maxLength: 4 }),
      dies: fc.boolean(), dropped: fc.constantFrom(0, 0, 0, 1, 3),
    })

    test('whenever it or the network dies, whatever is given up meanwhile', async () => {
      await fc.assert(fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 8 }), fc.constantFrom('jsonl' as const, 'parquet' as const), async (lives, format) => {
        const bucket = server.makeBucket()
        // Two routes and three hours: deliveries have several objects.
        let waiting = Array.from({ length: 12 }, (_, i) => record(100 + i, { route: i % 2 === 0 ? 'a' : 'b', time: TIME + (i % 3) * HOUR }))
        const delivered: string[] = []
        let committed: SinkState | null = null
        const attempt = async (sink: S3Sink, count: number, dies: boolean): Promise<boolean> => {
          const given = waiting.slice(0, count)
          const outcome = await sink.deliver(given).catch(() => null)
          if (outcome === null || dies) return false
          committed = outcome.state ?? committed
          delivered.push(...given.slice(0, outcome.delivered).map(({ record_id }) => record_id))
          waiting = waiting.slice(outcome.delivered)
          return true
        }
        for (const { records, fates, dies, dropped } of lives) {
          waiting = waiting.slice(dropped)
          if (waiting.length === 0) break
          weather.fates = [...fates]
          const sink = make({ bucket, format, endpoint: weather.endpoint })
          await sink.open(committed)
          if (await attempt(sink, records, false)) await attempt(sink, records, dies)
        }
        weather.fates = []
        const more = waiting.length > 0
        const last = make({ bucket, format, endpoint: weather.endpoint })
        await last.open(committed)
        while (waiting.length > 0) expect(await attempt(last, 5, false)).toBe(true)
        const folder = server.folderOf(bucket)
        const found = format === 'jsonl' ? rowsIn(folder) : await readParquet(folder)
        const ids = found.map(({ record_id }) => record_id as string).toSorted()
        // What was given up after it had been put unheard goes with the next delivery; when there is none it stays.
        if (more) expect(ids).toEqual(delivered)
        else expect([...new Set(ids)]).toEqual(expect.arrayContaining(delivered))
      }), { numRuns: 40 })
    }, 120_000)
  })
})
