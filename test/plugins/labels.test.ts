import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Answer, reply, type Send } from '../../gateway/exchange.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { KeepStore } from '../../gateway/pipeline/host.ts'
import type { ServeRoute } from '../../gateway/plugin.ts'
import labels from '../../plugins/labels.ts'
import split from '../../plugins/split.ts'
import { FakeClock } from '../fake_clock.ts'
import { categories, profileOf } from '../monitor/drift/profiles.ts'
import { type Bench, pipelineTest, pluginTest, type Setup } from '../plugin_test.ts'

const MONDAY = Date.UTC(2026, 2, 2)
const HOUR = 3_600_000
const SECRET = 'a secret of enough letters'

const scored = (score: unknown): Send => () => reply(200, { score })
const bench = (options: object = {}, answer: Send = scored(0.9), setup: Setup = {}) =>
  pluginTest(labels, options, { format: rows, clock: new FakeClock(MONDAY), backends: { main: answer }, ...setup })
const ask = (one: Bench) => one.run({ headers: ['content-type', 'application/json'], body: '{"a":1}' })

/** As the listener does: `handle` first, `otherwise` when that is null. */
async function post(one: Bench, body: unknown, headers: string[] = ['content-type', 'application/json'], path = '/labels'): Promise<{ status: number; found: unknown }> {
  const route: ServeRoute = one.route.serve!.get(`POST ${path}`)![0]!.run
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const x = one.exchange({ headers, body: text })
  try {
    const answer = (await route.handle(Buffer.from(text), x)) ?? (await route.otherwise!(Buffer.from(text), x))
    return { status: answer.status, found: JSON.parse((answer.body as Buffer).toString()) }
  } catch (error) {
    return { status: (error as { status: number }).status, found: (error as Error).message }
  }
}

/** What the bench calls the inference id of its exchanges; all have the same one. */
const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
const none = { accepted: 0, unknown: 0, duplicate: 0, late: 0, invalid: [] }

describe('POST /labels', () => {
  test('one object, an array, lines', async () => {
    const one = await bench()
    await ask(one)
    expect(await post(one, { inference_id: ID, label: 1 })).toEqual({ status: 200, found: { ...none, accepted: 1 } })
    expect(await post(one, [{ inference_id: ID, label: 1 }, { inference_id: 'other', label: 0 }])).toEqual({ status: 200, found: { ...none, unknown: 1, duplicate: 1 } })
    expect(await post(one, `{"inference_id":"${ID}","label":1}\n\n{"inference_id":"x","label":1}\n`, ['content-type', 'application/x-ndjson'])).toEqual({ status: 200, found: { ...none, unknown: 1, duplicate: 1 } })
    expect([one.metric('weir_labels_total', { outcome: 'accepted' }), one.metric('weir_labels_total', { outcome: 'orphan' }), one.metric('weir_labels_total', { outcome: 'duplicate' })]).toEqual([1, 2, 2])
    await one.close()
  })

  test('a line that is no JSON stops no other', async () => {
    const one = await bench()
    await ask(one)
    const { status, found } = await post(one, `{"inference_id":"${ID}","label":1}\n{"inference_id":\n`, ['content-type', 'application/x-ndjson'])
    expect([status, found]).toEqual([200, { ...none, accepted: 1, invalid: [{ index: 1, reason: 'expected JSON' }] }])
    expect(one.metric('weir_labels_total', { outcome: 'invalid' })).toBe(1)
    await one.close()
  })

  test('what is wrong is told by its place; the rest counts', async () => {
    const one = await bench()
    await ask(one)
    const { status, found } = await post(one, [{ inference_id: ID, label: 2 }, 5, { label: 1 }, { inference_id: ID }, { inference_id: ID, label: 1, time: 'noon' }, { inference_id: ID, lable: 1 }, { inference_id: ID, label: 1, row: -1 }, { inference_id: ID, label: 1 }])
    expect(status).toBe(200)
    expect(found).toEqual({
      ...none,
      accepted: 1,
      invalid: [
        { index: 0, reason: 'label: expected 0 or 1, true or false, found 2' },
        { index: 1, reason: 'expected an object' },
        { index: 2, reason: 'expected inference_id or receipt' },
        { index: 3, reason: 'expected a label' },
        { index: 4, reason: 'time: expected ISO 8601, such as "2026-03-02T10:00:00Z"' },
        { index: 5, reason: 'unknown key "lable"; known are inference_id, receipt, label, row, time' },
        { index: 6, reason: 'row: expected a whole number from 0' },
      ],
    })
    const many = await post(one, Array.from({ length: 150 }, () => 0))
    expect(many.found).toMatchObject({ invalid_total: 150 })
    expect((many.found as { invalid: unknown[] }).invalid).toHaveLength(100)
    await one.close()
  })

  test('an unknown id is no error; no JSON is, and so is another type', async () => {
    const one = await bench()
    expect(await post(one, { inference_id: 'x', label: 1 })).toEqual({ status: 200, found: { ...none, unknown: 1 } })
    expect(await post(one, '{"inference_id":')).toMatchObject({ status: 400 })
    expect(await post(one, '1,2', ['content-type', 'text/csv'])).toMatchObject({ status: 415 })
    expect(await post(one, '{"inference_id":"x","label":1}', ['content-type', 'application/json; charset=utf-8'])).toMatchObject({ status: 200 })
    expect([one.metric('weir_labels_refused_total', { reason: 'body' }), one.metric('weir_labels_refused_total', { reason: 'type' })]).toEqual([1, 1])
    await one.close()
  })

  test('a token, where there is one', async () => {
    const one = await bench({ token: SECRET })
    const json = ['content-type', 'application/json']
    await ask(one)
    expect(await post(one, { inference_id: ID, label: 1 })).toMatchObject({ status: 403 })
    expect(await post(one, { inference_id: ID, label: 1 }, [...json, 'authorization', 'Bearer wrong wrong wrong'])).toMatchObject({ status: 403 })
    expect(await post(one, { inference_id: ID, label: 1 }, [...json, 'authorization', `Bearer ${SECRET}`])).toMatchObject({ status: 200 })
    expect(one.metric('weir_labels_refused_total', { reason: 'token' })).toBe(2)
    await one.close()
  })

  test('a body about predictions of another route is left to it', async () => {
    const one = await bench()
    await ask(one)
    const { handle } = one.route.serve!.get('POST /labels')![0]!.run
    const x = one.exchange({ headers: ['content-type', 'application/json'] })
    expect(handle(Buffer.from('[{"inference_id":"theirs","label":1}]'), x)).toBeNull()
    expect(handle(Buffer.from(`[{"inference_id":"theirs","label":1},{"inference_id":"${ID}","label":1}]`), x)).toBeInstanceOf(Answer)
    await one.close()
  })
})

describe('receipts', () => {
  test('an answer carries one, a label with it needs nothing else, also after a change of keys and on another instance', async () => {
    const one = await bench({ receipt: { secret: SECRET } })
    const { answer } = await ask(one)
    const receipt = answer.headers[answer.headers.indexOf('x-weir-receipt') + 1]!
    const other = await bench({ receipt: { secret: 'another secret of enough letters', previous: [SECRET] } })
    expect(await post(other, { receipt, label: 1 })).toEqual({ status: 200, found: { ...none, accepted: 1 } })
    expect(await post(other, { receipt, label: 1 })).toEqual({ status: 200, found: { ...none, duplicate: 1 } })
    expect(await post(other, { receipt: `${receipt.slice(0, -1)}_`, label: 1 })).toMatchObject({ found: { invalid: [{ index: 0, reason: 'receipt: not one that was given here' }] } })
    expect(await post(one, { receipt, label: 1 })).toMatchObject({ found: { accepted: 1 } })
    expect(one.metric('weir_labels_receipts_total', { outcome: 'sent' })).toBe(1)
    const without = await bench()
    expect(await post(without, { receipt, label: 1 })).toMatchObject({ found: { invalid: [{ reason: 'receipt: none are given here; send the id' }] } })
    const elsewhere = await bench({ receipt: { secret: SECRET } }, scored(0.5), { route: 'elsewhere' })
    expect(await post(elsewhere, { receipt, label: 1 })).toMatchObject({ found: { unknown: 1 } })
    for (const each of [one, other, without, elsewhere]) await each.close()
  })

  test('many scores get none', async () => {
    const one = await bench({ receipt: { secret: SECRET } }, () => reply(200, Array.from({ length: 65 }, () => ({ score: 0.5 }))))
    const { answer } = await ask(one)
    expect(answer.headers).not.toContain('x-weir-receipt')
    expect(one.metric('weir_labels_receipts_total', { outcome: 'too_long' })).toBe(1)
    await one.close()
  })

  test('the same field of the backend does not pass', async () => {
    const one = await bench({ receipt: { secret: SECRET } }, () => reply(200, { score: 0.5 }, ['X-Weir-Receipt', 'forged']))
    const { answer } = await ask(one)
    expect(answer.headers.filter((_, i) => i % 2 === 0).filter((name) => name.toLowerCase() === 'x-weir-receipt')).toHaveLength(1)
    expect(answer.headers).not.toContain('forged')
    await one.close()
  })
})

describe('predictions', () => {
  const outcomes = (one: Bench) => Object.fromEntries(['kept', 'repeated', 'invalid', 'beyond', 'unreadable', 'left_out'].map((outcome) => [outcome, one.metric('weir_labels_predictions_total', { outcome })]).filter(([, count]) => count !== 0))

  test('errors and unreadable answers are none', async () => {
    for (const [answer, found] of [
      [() => reply(500, { score: 0.5 }), {}], [scored('high'), { invalid: 1 }], [scored(1.2), { invalid: 1 }], [() => reply(200, 'text'), { unreadable: 1 }], [() => reply(200, { other: 1 }), { unreadable: 1 }],
    ] as [Send, object][]) {
      const one = await bench({}, answer)
      const { answer: passed } = await ask(one)
      expect(passed.headers).toBeDefined()
      expect(outcomes(one)).toEqual(found)
      await one.close()
    }
  })

  test('rows beyond max_rows, a repeated id, a sample', async () => {
    const one = await bench({ max_rows: 2 }, () => reply(200, [{ score: 0.1 }, { score: 0.2 }, { score: 0.3 }]))
    await ask(one)
    await ask(one)
    expect(outcomes(one)).toEqual({ kept: 2, repeated: 2, beyond: 2 })
    const sample = await bench({ sample: '0%' })
    await ask(sample)
    expect(outcomes(sample)).toEqual({ left_out: 1 })
    for (const each of [one, sample]) await each.close()
  })

  test('of two probabilities a row the last is that of the class (OIP)', async () => {
    const body = { model_name: 'm', outputs: [{ name: 'probabilities', datatype: 'FP64', shape: [2, 2], data: [0.9, 0.1, 0.2, 0.8] }] }
    const one = await bench({ prediction: 'output.probabilities', by: 'request_id' }, () => reply(200, body), { format: oip })
    await one.run({ headers: ['content-type', 'application/json'], body: '{"inputs":[{"name":"x","datatype":"FP64","shape":[2,1],"data":[1,2]}]}' })
    expect(await post(one, { request_id: 'request-1', label: [0, 1] })).toMatchObject({ found: { accepted: 2 } })
    await one.clock.tick(HOUR)
    expect(one.metric('weir_labels_quality', { statistic: 'auc' })).toBe(1)
    expect(one.metric('weir_labels_quality', { statistic: 'log_loss' })).toBeCloseTo((-Math.log(0.9) - Math.log(0.8)) / 2, 5)
    await one.close()
  })

  test('segments are the arms of a split', async () => {
    const one = await pipelineTest([[labels, { segments: { values: ['second'] } }], [split, { arms: { main: 0, second: 1 } }]] as never[], { format: rows, clock: new FakeClock(MONDAY), backends: { main: scored(0.9), second: scored(0.1) } })
    await ask(one)
    await post(one, { inference_id: ID, label: 0 })
    await one.clock.tick(HOUR)
    expect(one.metric('weir_labels_quality', { statistic: 'accuracy', segment: 'second' })).toBe(1)
    await one.close()
  })

  test('what waits, and what was counted, survives a reload', async () => {
    const [keep, clock] = [new KeepStore(), new FakeClock(MONDAY)]
    keep.begin()
    const first = await bench({}, scored(0.9), { keep, clock })
    keep.commit()
    await ask(first)
    keep.begin()
    const second = await bench({ min_labels: 50 }, scored(0.9), { keep, clock })
    keep.commit()
    await first.route.close()
    expect(await post(second, { inference_id: ID, label: 1 })).toMatchObject({ found: { accepted: 1 } })
    await clock.tick(HOUR)
    expect(second.metric('weir_labels_coverage', { age: '1h' })).toBe(1)
    await second.close()
  })
})

describe('alarms and the page', () => {
  const profile = profileOf({ a: categories({ x: 1 }), churn: categories({ 0: 800, 1: 200 }, { role: 'label' }) })

  async function full(options: object) {
    const one = await bench({ profile: 'churn.json', by: 'request_id', duplicates: 'last', ...options }, () => reply(200, Array.from({ length: 400 }, () => ({ score: 0.4 }))), { profile })
    await ask(one)
    return one
  }

  test('labels unlike training, quality below what was set', async () => {
    const one = await full({ alarms: { brier: { max: 0.2 } } })
    expect(await post(one, { request_id: 'request-1', label: Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 1 : 0)) })).toMatchObject({ found: { accepted: 400 } })
    await one.clock.tick(2 * HOUR)
    // By hand: (0.6² + 0.4²) / 2 = 0.26; 50 % of 400 against 20 %.
    expect(one.alarms).toMatchObject([
      { kind: 'label', feature: 'churn', statistic: 'share_ratio', time: MONDAY + HOUR, threshold: 1.5 },
      { kind: 'quality', feature: 'churn', statistic: 'brier', time: MONDAY + HOUR, threshold: 0.2 },
    ])
    expect(one.alarms[0]!.score).toBeCloseTo(2.5, 1)
    expect(one.alarms[1]!.score).toBeCloseTo(0.26, 5)
    await one.close()
  })

  test('GET /state', async () => {
    const one = await full({})
    await post(one, { request_id: 'request-1', label: [1, 0] })
    await one.clock.tick(HOUR)
    const route = one.route.admin.get('labels')!['GET /state']!
    const page = JSON.parse(JSON.stringify(route.merge!([route.handle({ method: 'GET', query: new URLSearchParams(), body: undefined })]))) as Record<string, never>
    expect(page).toMatchObject({
      kind: 'binary', leader: true, ids: { capacity: 1_000_000, waiting: 398, labelled: 2 }, labels: { n: 2, state: 'insufficient_data' },
      span: { from: '2026-03-01T01:00:00.000Z', to: '2026-03-02T01:00:00.000Z', predicted: 400, labelled: 2, share: 0.005, measures: { accuracy: { value: 0.5, n: 2 } }, estimated: { estimated_accuracy: { n: 400 } } },
      coverage_by_age: { '1h': { predicted: 400, labelled: 2 }, '1d': { predicted: 0, share: null } },
      windows: [{ from: '2026-03-02T00:00:00.000Z', closed: true, predicted: 400 }],
    })
    expect(one.metric('weir_labels_coverage', { age: '1h' })).toBe(0.005)
    await one.close()
  })

  test('only one thread tells', async () => {
    const other = await bench({}, scored(0.9), { thread: { index: 1, count: 2 }, share: (_key, bytes) => new SharedArrayBuffer(bytes) })
    expect(other.clock.pending).toBe(0)
    await other.close()
  })
})

describe('options', () => {
  test.each([
    [{ prediction: 'header.x' }, /column of the answer/],
    [{ kind: 'multiclass' }, /needs `classes`/],
    [{ classes: ['a', 'b'] }, /`classes` is for/],
    [{ kind: 'multiclass', classes: ['a', 'a'] }, /each once/],
    [{ kind: 'regression', positive: 'x' }, /for `kind: binary`/],
    [{ kind: 'regression', alarms: { auc: { min: 0.5 } } }, /regression has no auc; it has rmse/],
    [{ alarms: { auc: {} } }, /needs `min` or `max`/],
    [{ window: '10ms' }, /at least 1 s/],
    [{ span: '1m' }, /from one window/],
    [{ keep: '365d', window: '1h' }, /make the windows longer/],
    [{ kind: 'multiclass', classes: Array.from({ length: 64 }, (_, i) => `c${i}`), window: '6m', segments: { values: ['a', 'b', 'c', 'd'] } }, /MiB in every data thread/],
  ])('%j', async (options, complaint) => {
    await expect(bench(options)).rejects.toThrow(complaint)
  })

  test('a profile without the label', async () => {
    await expect(bench({ profile: 'a.json' }, scored(1), { profile: profileOf({ a: categories({ x: 1 }) }) })).rejects.toThrow('no column whose role is label')
    await expect(bench({ profile: 'a.json', label: 'a' }, scored(1), { profile: profileOf({ a: categories({ x: 1 }) }) })).rejects.toThrow('holds no labels of kind binary')
  })
})

describe('with `state`', () => {
  test('labels are joined over a restart, and quality is that of both processes', async () => {
    const state = mkdtempSync(join(tmpdir(), 'weir-labels-'))
    const clock = new FakeClock(MONDAY)
    try {
      const before = await bench({ min_labels: 2 }, scored(0.9), { clock, state })
      await ask(before)
      await before.close()
      expect(before.metric('weir_labels_snapshots_total', { outcome: 'saved' })).toBe(1)
      const after = await bench({ min_labels: 2 }, scored(0.9), { clock, state })
      expect(await post(after, { inference_id: ID, label: 1 })).toEqual({ status: 200, found: { ...none, accepted: 1 } })
      expect(await post(after, { inference_id: ID, label: 1 })).toEqual({ status: 200, found: { ...none, duplicate: 1 } })
      expect(after.metric('weir_labels_snapshots_total', { outcome: 'restored' })).toBe(2)
      await after.close()
      // Other thresholds are other windows; ids wait on.
      const other = await bench({ min_labels: 2, thresholds: [0.2] }, scored(0.9), { clock, state })
      expect(await post(other, { inference_id: ID, label: 1 })).toEqual({ status: 200, found: { ...none, duplicate: 1 } })
      expect([other.metric('weir_labels_snapshots_total', { outcome: 'restored' }), other.metric('weir_labels_snapshots_total', { outcome: 'not_restored' })]).toEqual([1, 1])
      await other.close()
    } finally {
      rmSync(state, { recursive: true })
    }
  })

  test('without it nothing is written', async () => {
    const one = await bench()
    await ask(one)
    await one.close()
    expect(one.metric('weir_labels_snapshots_total')).toBe(0)
  })
})
