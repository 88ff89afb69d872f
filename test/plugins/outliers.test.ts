/** `drift` with `outliers.model`: an isolation forest of scikit-learn (test/fixtures/outliers/make.py), whose own labels are the oracle, and backends that are functions. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Answer, type Exchange, type Leg, type Send } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { tfs } from '../../gateway/payload/tfs.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import drift from '../../plugins/drift.ts'
import { FakeClock } from '../fake_clock.ts'
import { configOf, onnx, type Stage, stage } from '../models/setup.ts'
import { normals, numbers, profileOf, times } from '../monitor/drift/profiles.ts'
import { HOUR, MONDAY } from '../monitor/drift/world.ts'
import { type Bench, HandFlow, pluginTest, type RequestInit, type Setup } from '../plugin_test.ts'

interface Golden {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly number[])[]
  readonly scores: readonly number[]
  readonly labels: readonly (1 | -1)[]
}

const folder = join(import.meta.dirname, '../fixtures/outliers')
const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Golden
const OUTLIERS = golden.labels.filter((label) => label === -1).length
const ID = '01890a5d-ac96-774b-bcce-b302099a8057'

const z = normals(3)
const profile = profileOf(Object.fromEntries(golden.columns.map((name, c) => [name, numbers(times(2000, () => golden.rows[0]![c]! + z()))])), 2000)

function bench(model: object, setup: Setup = {}): Promise<Bench> {
  return pluginTest(drift, { profile: 'p.json', window: '1h', alarm_budget: 1, compare: [], outliers: { model: { backend: 'forest', sample: '100%', ...model } } }, { format: rows, profile, clock: new FakeClock(MONDAY), ...setup })
}

const record = (row: readonly number[]) => Object.fromEntries(golden.columns.map((name, c) => [name, row[c]!]))
const ok = (body: unknown): Answer => new Answer(200, ['content-type', 'application/json'], Buffer.from(JSON.stringify(body)))
const one = { body: JSON.stringify(record(golden.rows[0]!)) }
/** Answers with this score for one row. */
const says = (score: unknown, name = 'score'): Send => () => ok({ [name]: score })

const counts = (on: Bench) => ({
  outliers: on.metric('weir_drift_outlier_model_rows_total', { verdict: 'outlier' }), inliers: on.metric('weir_drift_outlier_model_rows_total', { verdict: 'inlier' }),
  scored: on.metric('weir_drift_outlier_model_total', { outcome: 'scored' }), skipped: on.metric('weir_drift_outlier_model_total', { outcome: 'skipped' }), failed: on.metric('weir_drift_outlier_model_total', { outcome: 'failed' }),
})

const turns = async (n = 50) => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('an isolation forest', () => {
  let models: Stage
  const config = onnx('forest', join(folder, 'model.onnx'), { columns: [...golden.columns] })
  beforeAll(async () => {
    models = await stage(configOf(null, { forest: config }))
  })
  afterAll(() => models.close())

  async function scored(setup: Setup, requests: readonly RequestInit[], options: object = {}): Promise<ReturnType<typeof counts>> {
    const { send } = models.models.backend(config as never)
    const on = await bench(options, { backends: { forest: send }, ...setup })
    for (const [i, request] of requests.entries()) {
      await on.run(request)
      await expect.poll(() => counts(on).scored + counts(on).failed).toBe(i + 1)
    }
    const found = counts(on)
    await on.close()
    return found
  }

  const all = { outliers: OUTLIERS, inliers: golden.rows.length - OUTLIERS, skipped: 0, failed: 0 }
  const json = (body: unknown): RequestInit => ({ headers: ['content-type', 'application/json'], body: JSON.stringify(body) })

  test('has both in its golden rows', () => {
    expect(OUTLIERS).toBeGreaterThan(5)
    expect(golden.rows.length - OUTLIERS).toBeGreaterThan(25)
    expect(golden.scores.map((score) => (score < 0 ? -1 : 1))).toEqual(golden.labels)
  })

  test('as scikit-learn labels them: row by row, and all in one request', async () => {
    expect(await scored({}, golden.rows.map((row) => json({ ...record(row), user: 'somebody' })))).toEqual({ ...all, scored: golden.rows.length })
    expect(await scored({}, [json(golden.rows.map(record))])).toEqual({ ...all, scored: 1 })
  })

  test.each([
    ['mlflow', mlflow, { dataframe_split: { columns: golden.columns, data: golden.rows } }],
    ['mlflow of records', mlflow, { dataframe_records: golden.rows.map(record) }],
    ['kserve_v1', kserveV1, { instances: golden.rows }],
    ['tfs', tfs, { inputs: golden.rows }],
    // Asks for what only the model of the route has, and calls what it has otherwise.
    ['oip', oip, { id: 'a', outputs: [{ name: 'churn' }], inputs: [{ name: 'X', datatype: 'FP32', shape: [golden.rows.length, 3], data: golden.rows.flat() }] }],
  ] as const)('of %s', async (_name, format, body) => {
    expect(await scored({ format }, [json(body)])).toEqual({ ...all, scored: 1 })
  })

  test('by another threshold and output, on the other side', async () => {
    const limit = [...golden.scores].sort((a, b) => a - b)[19]! + 1e-6
    const below = golden.scores.filter((score) => score < limit).length
    expect(await scored({}, [json(golden.rows.map(record))], { threshold: limit })).toMatchObject({ outliers: below })
    expect(await scored({}, [json(golden.rows.map(record))], { output: 'label', below: false })).toMatchObject({ outliers: golden.rows.length - OUTLIERS })
  })
})

describe('the question', () => {
  test('comes after the answer, which waits for nothing, and at most four are under way', async () => {
    const asked: { x: Exchange; leg: Leg; answer: (with_: Answer) => void }[] = []
    const on = await bench({}, { backends: { forest: (x, leg) => new Promise((resolve) => asked.push({ x, leg, answer: resolve })) } })
    const x = on.exchange(one)
    expect((await on.run(one)).body).toBe('main')
    for (let i = 0; i < 5; i++) await on.run(one)
    expect(asked).toHaveLength(4)
    expect(counts(on)).toMatchObject({ scored: 0, skipped: 2, failed: 0 })
    asked.shift()!.answer(ok({ score: -1 }))
    await turns()
    expect(counts(on)).toMatchObject({ scored: 1, outliers: 1 })
    await on.run(one)
    expect(asked).toHaveLength(4)
    expect(asked[0]!.leg).not.toBe(x.leg)
    await on.close()
    // Nobody waits any more, and what ends now counts nowhere.
    expect(asked.map(({ leg }) => leg.cancelled?.code)).toEqual(['DRAINING', 'DRAINING', 'DRAINING', 'DRAINING'])
    for (const { answer } of asked) answer(ok({ score: -1 }))
    await turns()
    expect(counts(on)).toMatchObject({ scored: 1, failed: 0, outliers: 1 })
  })

  test('is no traffic of the route: rows, hooks and answers are counted once', async () => {
    const seen: string[] = []
    const on = await bench({ columns: ['age', 'amount'] }, {
      backends: {
        forest: (x) => {
          seen.push(`${x.method} ${x.target} ${x.headers.join()} ${(x.body as Buffer).toString()} ${x.requestId}`)
          return ok({ score: 1 })
        },
      },
    })
    await on.run({ target: '/score?a=1', headers: ['host', 'models.test', 'authorization', 'Bearer secret', 'content-type', 'application/json'], body: '{"amount":1,"user":"somebody","age":2}' })
    await turns()
    expect(seen).toEqual(['POST /score?a=1 host,models.test,x-request-id,request-1,content-type,application/json {"amount":1,"age":2} request-1'])
    expect(counts(on)).toEqual({ scored: 1, inliers: 1, outliers: 0, skipped: 0, failed: 0 })
    expect(on.metric('weir_drift_rows_total')).toBe(1)
    await on.close()
  })

  test('is asked of the sample, of requests that were answered', async () => {
    // The share of the ids before this one, by the first 53 bits of its SHA-256.
    const place = Number(BigInt(`0x${createHash('sha256').update(ID).digest('hex').slice(0, 16)}`) >> 11n) / 2 ** 53
    for (const [sample, scored] of [[100 * place + 0.001, 1], [100 * place - 0.001, 0]]) {
      const on = await bench({ sample }, { backends: { forest: says(1) } })
      await on.run(one)
      await turns()
      expect(counts(on)).toMatchObject({ scored, skipped: 0, failed: 0 })
      await on.close()
    }
    const on = await bench({}, { backends: { main: () => new Answer(400, [], null), forest: says(1) } })
    await on.run(one)
    await turns()
    expect(counts(on)).toMatchObject({ scored: 0, skipped: 0, failed: 0 })
    await on.close()
  })

  test('is not asked of a model that is not there', async () => {
    const on = await bench({}, { backends: { forest: says(1) }, available: { forest: () => false } })
    await on.run(one)
    await turns()
    expect(counts(on)).toMatchObject({ scored: 0, skipped: 1 })
    await on.close()
  })

  test.each<readonly [string, Send]>([
    ['an error', () => Promise.reject(new WeirError('RESET'))],
    ['a throw', () => { throw new TypeError('no') }],
    ['a status', () => new Answer(503, [], Buffer.from('{"score":1}'))],
    ['no body', () => new Answer(200, [], null)],
    ['no JSON', () => new Answer(200, [], Buffer.from('{'))],
    ['text', says('high')],
    ['null', says(null)],
    ['two rows for one', () => ok([{ score: 1 }, { score: 1 }])],
    ['a list', says([1, 2])],
    ['a stream', () => new Answer(200, ['content-type', 'text/event-stream'], new HandFlow())],
  ])('is answered by %s: counted, told once, and nothing else', async (_name, forest) => {
    const on = await bench({}, { backends: { forest } })
    for (let i = 0; i < 3; i++) {
      expect((await on.run(one)).body).toBe('main')
      await turns()
    }
    expect(counts(on)).toEqual({ scored: 0, skipped: 0, failed: 3, outliers: 0, inliers: 0 })
    expect(on.log.filter(({ level }) => level !== 'debug')).toMatchObject([{ level: 'warn', message: 'the outlier model gave no scores', fields: { backend: 'forest' } }])
    await on.close()
  })

  test('is answered without the output that was named', async () => {
    const on = await bench({ output: 'depth' }, { backends: { forest: says(1) } })
    await on.run(one)
    await turns()
    expect(counts(on)).toMatchObject({ failed: 1 })
    expect(on.log.at(-1)!.fields['error']).toBe('the answer has no output "depth"; it has score')
    await on.close()
  })

  test.each(['scores', 'score', 'decision_function', 'anything'])('`%s` is found by its name, or is the first', async (name) => {
    const on = await bench({}, { backends: { forest: () => ok(name === 'anything' ? { anything: -1, other: 1 } : { label: 1, [name]: -1 }) } })
    await on.run(one)
    await turns()
    expect(counts(on)).toMatchObject({ outliers: 1 })
    await on.close()
  })

  test('of a body that nobody can read is not asked', async () => {
    let asked = 0
    const on = await bench({}, { backends: { forest: () => ok({ score: asked++ }) } })
    await on.run({ body: '{' })
    await turns()
    expect(asked).toBe(0)
    expect(counts(on)).toMatchObject({ failed: 1 })
    await on.close()
  })
})

describe('the share', () => {
  /** An hour with two requests a minute, until it is judged. */
  async function hour(on: Bench, set: (i: number) => void): Promise<void> {
    for (let i = 0; i < 120; i++) {
      set(i)
      await on.run({ body: JSON.stringify(record(golden.rows[i % 30]!)) })
      await turns(3)
      await on.clock.tick(HOUR / 120)
    }
    await on.clock.tick(3_000)
  }

  function state(on: Bench): { outlier_model: { window: unknown; usual: unknown; alarm: { reason: string } | null } } {
    return on.route.admin.get('drift')!['GET /state']!.handle({ method: 'GET', query: new URLSearchParams(), body: undefined }) as ReturnType<typeof state>
  }

  test('as usual is no alarm, five times the usual is one, once, with its numbers; and a reload remembers', async () => {
    let score = 1
    const setup = { keep: new KeepStore(), clock: new FakeClock(MONDAY), backends: { forest: (() => ok({ score })) as Send } }
    const on = await bench({ usual: '5%' }, setup)
    await hour(on, (i) => (score = i % 20 === 0 ? -1 : 1))
    expect(on.alarms).toEqual([])
    expect(state(on).outlier_model).toMatchObject({ backend: 'forest', window: { outliers: 6, scored: 120 }, usual: { outliers: 100, scored: 2000 }, alarm: null })
    await hour(on, (i) => (score = i % 4 === 0 ? -1 : 1))
    await hour(on, (i) => (score = i % 4 === 0 ? -1 : 1))
    expect(on.alarms).toMatchObject([{ time: MONDAY + 2 * HOUR, kind: 'outlier', feature: '', statistic: 'outlier_share' }])
    expect(on.alarms[0]!.score).toBeCloseTo(30 / 120, 2)
    expect(on.alarms[0]!.reason).toMatch(/"forest" takes (29|30|31) of (119|120|121) scored rows .* for outliers, usually 100 of 2000 \(5 %\); p /)
    expect(state(on).outlier_model.alarm!.reason).toBe(on.alarms[0]!.reason)
    expect(on.metric('weir_drift_alarms')).toBe(1)
    await on.close()
    const again = await bench({ usual: '5%' }, setup)
    await hour(again, (i) => (score = i % 4 === 0 ? -1 : 1))
    expect(again.alarms).toEqual([])
    await again.close()
  })

  test('without a model nothing is there: no hooks, no part of the state', async () => {
    const on = await pluginTest(drift, { profile: 'p.json', window: '1h' }, { format: rows, profile, clock: new FakeClock(MONDAY) })
    expect(on.route.done).toBe(null)
    expect(state(on).outlier_model).toBe(undefined)
    await on.close()
  })
})
