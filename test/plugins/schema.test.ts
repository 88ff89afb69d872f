import { describe, expect, test } from 'vitest'
import { reply } from '../../gateway/exchange.ts'
import { schemaBytes } from '../../gateway/monitor/schema/monitor.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import fallback from '../../plugins/fallback.ts'
import schema from '../../plugins/schema.ts'
import split from '../../plugins/split.ts'
import { numeric, profileOf, texts, written } from '../monitor/schema/setup.ts'
import { type Bench, pipelineTest, pluginTest, type Setup } from '../plugin_test.ts'

const HOUR = 3_600_000
const profile = profileOf({ age: numeric(18, 90, 'INT'), plan: texts('basic', 'premium') })
const good = '{"age":40,"plan":"basic"}'
const bad = '{"age":null,"plan":"gold"}'
const both = 'FEATURE_TYPE_LOW_FRACTION_PRESENT;age, ENUM_TYPE_UNEXPECTED_STRING_VALUES;plan'

function bench(options: object = {}, setup: Setup = {}): Promise<Bench> {
  return pluginTest(schema, { profile: 'churn.json', ...options }, { format: rows, profile, ...setup })
}

/** [status, body, x-weir-schema] */
async function answered(on: Bench, body: string) {
  const { answer, body: text, x } = await on.run({ body })
  return [answer.status, text, answer.fields.get('x-weir-schema'), x.flags]
}

describe('a request', () => {
  test('observed: marked and counted, and nothing else', async () => {
    const one = await bench()
    expect(await answered(one, good)).toEqual([200, 'main', undefined, null])
    expect(await answered(one, bad)).toEqual([200, 'main', undefined, ['schema:FEATURE_TYPE_LOW_FRACTION_PRESENT;age+1']])
    expect(one.metric('weir_schema_requests_total', { verdict: 'valid' })).toBe(1)
    expect(one.metric('weir_schema_requests_total', { verdict: 'invalid' })).toBe(1)
    expect(one.metric('weir_schema_anomalies_total', { feature: 'plan', anomaly: 'ENUM_TYPE_UNEXPECTED_STRING_VALUES' })).toBe(1)
    await one.close()
  })

  test('tagged', async () => {
    const one = await bench({ mode: 'enforce' })
    expect(await answered(one, good)).toEqual([200, 'main', undefined, null])
    expect((await answered(one, bad)).slice(0, 3)).toEqual([200, 'main', both])
  })

  test('rejected, with a list of what is wrong', async () => {
    let asked = 0
    const one = await bench({ mode: 'enforce', action: 'reject' }, { backends: { main: () => (asked++, reply(200, 'main')) } })
    const [status, body, header] = await answered(one, bad)
    expect([status, header, asked]).toEqual([422, both, 0])
    expect(JSON.parse(body as string)).toEqual({
      error: '"age" in row 0: expected a value, found null; "plan" in row 0: expected one of "basic", "premium", found "gold"',
      code: 'SCHEMA',
      request_id: 'request-1',
      anomalies: [
        { anomaly: 'FEATURE_TYPE_LOW_FRACTION_PRESENT', feature: 'age', row: 0, expected: 'a value', found: 'null', rows: 1 },
        { anomaly: 'ENUM_TYPE_UNEXPECTED_STRING_VALUES', feature: 'plan', row: 0, expected: 'one of "basic", "premium"', found: '"gold"', rows: 1 },
      ],
    })
    expect(await answered(one, good)).toEqual([200, 'main', undefined, null])
  })

  test('a feature whose name no header can hold', async () => {
    const name = `${'x'.repeat(63)}😀, β`
    const one = await pluginTest(schema, { rules: { [name]: { max: 1 } }, mode: 'enforce' }, { format: rows })
    expect((await answered(one, JSON.stringify({ [name]: 2 })))[2]).toBe(`FLOAT_TYPE_BIG_FLOAT;${'x'.repeat(63)}%EF%BF%BD`)
  })

  test('a body that cannot be read is said so', async () => {
    const observed = await bench()
    expect(await answered(observed, '{"age":')).toEqual([200, 'main', undefined, ['schema:STATS_NOT_AVAILABLE']])
    expect(observed.metric('weir_schema_requests_total', { verdict: 'unreadable' })).toBe(1)
    const rejected = await bench({ mode: 'enforce', action: 'reject' })
    const [status, body] = await answered(rejected, '[1]')
    expect([status, JSON.parse(body as string)]).toMatchObject([422, { error: 'expected a body in the format of the route, found row 0: expected an object, found 1' }])
    const raw = await bench({ mode: 'enforce', action: 'reject' }, { format: oip })
    expect((await raw.run({ body: 'abcd', headers: ['inference-header-content-length', '0'] })).answer.status).toBe(422)
  })

  test('without a body there is nothing to check', async () => {
    const one = await bench({ mode: 'enforce', action: 'reject' })
    expect((await one.run({ method: 'GET' })).answer.status).toBe(200)
  })

  test('one tensor, whose columns the file names', async () => {
    const one = await bench({ mode: 'enforce', columns: ['tenure', 'age'], rules: { plan: { ignore: true } } }, { format: oip })
    const tensor = (values: number[]) => JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 2], data: values }] })
    expect(await answered(one, tensor([1e6, 40]))).toEqual([200, 'main', undefined, null])
    expect((await answered(one, tensor([1, 400])))[2]).toBe('INT_TYPE_BIG_INT;age')
  })
})

describe('with a fallback', () => {
  const backends = { main: () => reply(200, 'main'), simple: () => reply(200, 'simple'), other: () => reply(200, 'other') }
  const options = { profile: 'churn.json', mode: 'enforce', action: 'fallback' }

  test.each([['before', 0], ['behind', 1]])('%s it in the file: what is invalid never reaches the first target', async (_where, position) => {
    const plugins = [[schema, options], [fallback, { to: ['simple'], on: ['schema'] }]] as never[]
    const one = await pipelineTest(position === 0 ? plugins : plugins.toReversed(), { format: rows, profile, backends })
    expect((await answered(one, good)).slice(0, 3)).toEqual([200, 'main', undefined])
    expect((await answered(one, bad)).slice(0, 3)).toEqual([200, 'simple', both])
    expect((await one.run({ body: bad })).x.fallback).toBe('main;schema')
    expect(one.metric('weir_fallback_total', { from: 'main', to: 'simple', reason: 'schema' })).toBe(2)
  })

  test('the first target is the one a split chose', async () => {
    const one = await pipelineTest([[schema, options], [split, { arms: { other: 1 } }], [fallback, { to: ['simple'], on: ['schema'] }]] as never[], { format: rows, profile, backends })
    expect((await answered(one, good)).slice(0, 2)).toEqual([200, 'other'])
    expect((await answered(one, bad)).slice(0, 2)).toEqual([200, 'simple'])
  })

  test('one that does not list it leaves the answer as it is', async () => {
    const one = await pipelineTest([[schema, options], [fallback, { to: ['simple'] }]] as never[], { format: rows, profile, backends })
    expect((await answered(one, bad))[0]).toBe(422)
    expect((await (await bench({ mode: 'enforce', action: 'fallback' })).run({ body: bad })).answer.code).toBe('SCHEMA')
  })
})

describe('windows', () => {
  test('an alarm, the state of all threads, and what a reload keeps', async () => {
    const memory = new Map<string, SharedArrayBuffer>()
    const share = (key: string, bytes: number) => memory.get(key) ?? memory.set(key, new SharedArrayBuffer(bytes)).get(key)!
    const [leader, other] = [await bench({}, { thread: { index: 0, count: 2 }, share }), await bench({}, { thread: { index: 1, count: 2 }, share })]
    for (let i = 0; i < 100; i++) {
      await leader.run({ body: good })
      await other.run({ body: i < 40 ? bad : good })
    }
    await leader.clock.tick(HOUR + 16_000)
    await other.clock.tick(HOUR + 16_000)
    expect(other.alarms).toEqual([])
    expect(leader.alarms.map(({ feature, statistic, score }) => [feature, statistic, score])).toEqual([['age', 'null_share', 0.2], ['plan', 'unexpected_share', 0.2]])
    expect(leader.metric('weir_schema_alarms')).toBe(2)
    const state = leader.route.admin.get('schema')!['GET /state']!
    const request = { method: 'GET' as const, query: new URLSearchParams(), body: undefined }
    const parts = [leader, other].map((one) => one.route.admin.get('schema')!['GET /state']!.handle(request))
    expect(state.merge!(parts.toReversed())).toMatchObject({ window: { rows: 200 }, proposal: { age: { nulls: 22 }, plan: { values: ['basic', 'premium', 'gold'] } } })
    await leader.close()
    await other.close()
  })

  test('a profile or rules are needed, and bounds that leave something', async () => {
    await expect(pluginTest(schema, {})).rejects.toThrow('`profile` or `rules` is needed')
    await expect(pluginTest(schema, { rules: { a: { min: 2, max: 1 } } })).rejects.toThrow('"a" leave no value')
    await expect(pluginTest(schema, { rules: { a: {} }, window: '1s' })).rejects.toThrow('from 10 s to 7 days')
    await expect(pluginTest(schema, { rules: { a: {} }, rows: { min: 2, max: 1 } })).rejects.toThrow('`rows.min` is above')
  })

  test('memory of many features is bounded', async () => {
    const rules = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, {}]))
    // 4 windows of 10 counts of 4 bytes, 2 doubles and 4 texts of 64 bytes a feature, and 32 bytes each.
    expect(schemaBytes(written(rules))).toBe(4 * (32 + 200 * (40 + 16 + 256)))
    const many = profileOf(Object.fromEntries(Array.from({ length: 2001 }, (_, i) => [`f${i}`, numeric(0, 1)])))
    await expect(bench({}, { profile: many })).rejects.toThrow('at most 2000 are supported')
  })
})
