import { describe, expect, test } from 'vitest'
import { Answer, type Format, reply } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { tfs } from '../../gateway/payload/tfs.ts'
import fallback from '../../plugins/fallback.ts'
import guard from '../../plugins/guard.ts'
import { type Bench, HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

const json = (body: string, headers: string[] = []) => (): Answer => new Answer(200, ['content-type', 'application/json', ...headers], Buffer.from(body))

function bench(outputs: object, answer: string, format: Format = rows, mode = 'enforce'): Promise<Bench> {
  return pluginTest(guard, { outputs, mode }, { format, backends: { main: json(answer) } })
}

/** What a caller gets, and the marks. */
async function answered(on: Bench, body = '{"age":1}') {
  const { answer, body: text, x } = await on.run({ body })
  return [answer.status, text, x.flags]
}

describe('what is fine', () => {
  test.each<[object, string]>([
    [{ score: { min: 0, max: 1 } }, '{"score":0}'],
    [{ score: { min: 0, max: 1 } }, '{"score":1,"other":7}'],
    [{ label: { values: ['low', 'high'] } }, '{"label":"low"}'],
    [{ label: { values: [0, 1] } }, '{"label":1}'],
    [{ flag: { values: [true] } }, '{"flag":true}'],
    [{ p: { sum_to: 1 } }, '{"p":[0.2,0.3,0.5005]}'],
    [{ items: { length: [1, 3] } }, '{"items":["a","b","c"]}'],
    [{ score: { finite: false } }, '{"score":null}'],
  ])('%j: %s goes out byte for byte', async (outputs, answer) => {
    const one = await bench(outputs, answer)
    expect(await answered(one)).toEqual([200, answer, null])
    expect(one.metric('weir_guard_violations_total')).toBe(0)
  })

  test('errors, whoever they are from, are no answers of a model', async () => {
    const failing = await pluginTest(guard, { outputs: { score: { max: 1 } } }, { format: rows, backends: { main: () => reply(503, { score: 5 }) } })
    expect((await failing.run({ body: '{}' })).answer.status).toBe(503)
    const own = await pluginTest(guard, { outputs: { score: { max: 1 } } }, { format: rows, backends: { main: () => Promise.reject(new WeirError('CONNECT_FAILED')) } })
    expect((await own.run({ body: '{}' })).answer.code).toBe('CONNECT_FAILED')
    expect(own.metric('weir_guard_unreadable_total')).toBe(0)
  })
})

describe('what is not', () => {
  test.each<[object, string, string, string]>([
    [{ score: { max: 1 } }, '{"score":1.7}', 'max', 'output "score" in row 0: expected at most 1, found 1.7'],
    [{ score: { min: 0 } }, '{"score":-0.1}', 'min', 'output "score" in row 0: expected at least 0, found -0.1'],
    [{ score: { min: 0 } }, '{"score":null}', 'finite', 'output "score" in row 0: expected a finite number, found NaN'],
    [{ score: { min: 0 } }, '{"score":"high"}', 'type', 'output "score" in row 0: expected a number, found "high"'],
    [{ score: {} }, '{"other":1}', 'missing', 'output "score" in row 0: expected it, found no such output'],
    [{ label: { values: ['low', 'high'] } }, '{"label":"odd"}', 'values', 'output "label" in row 0: expected one of "low", "high", found "odd"'],
    [{ p: { sum_to: 1 } }, '{"p":[0.2,0.3,0.25]}', 'sum_to', 'output "p" in row 0: expected a sum of 1, found 0.75'],
    [{ items: { length: [1, 2] } }, '{"items":["a","b","c"]}', 'length', 'output "items" in row 0: expected 1 to 2 values, found 3'],
  ])('%j rejects %s', async (outputs, answer, rule, message) => {
    const one = await bench(outputs, answer)
    const [output] = Object.keys(outputs)
    const [status, body, flags] = await answered(one)
    expect([status, JSON.parse(body as string), flags]).toEqual([502, { error: message, code: 'INVALID_ANSWER', request_id: 'request-1' }, [`guard:${rule};${output}`]])
    expect(one.metric('weir_guard_violations_total', { output: output!, rule, action: 'rejected' })).toBe(1)
    const observed = await bench(outputs, answer, rows, 'observe')
    expect(await answered(observed)).toEqual([200, answer, [`guard:${rule};${output}`]])
    expect(observed.metric('weir_guard_violations_total', { output: output!, rule, action: 'observed' })).toBe(1)
  })

  test('the row is named, and all values counted', async () => {
    const one = await bench({ score: { max: 1 } }, '[{"score":0.5},{"score":2},{"score":3}]')
    expect(JSON.parse((await answered(one, '[{"a":1},{"a":2},{"a":3}]'))[1] as string)).toMatchObject({ error: 'output "score" in row 1: expected at most 1, found 2' })
    expect(one.metric('weir_guard_violations_total', { output: 'score', rule: 'max' })).toBe(2)
  })

  test('an answer that cannot be read: refused, or let through by who observes', async () => {
    const one = await bench({ score: { max: 1 } }, '<html>')
    expect((await answered(one))[0]).toBe(502)
    expect(one.metric('weir_guard_unreadable_total')).toBe(1)
    expect(await answered(await bench({ score: { max: 1 } }, '<html>', rows, 'observe'))).toEqual([200, '<html>', null])
  })
})

describe('made so', () => {
  const score = { min: 0, max: 1, action: 'clamp', replace_with: 0.5 }

  test.each<[Format, string, string, string]>([
    [rows, '[{"a":1},{"a":2},{"a":3}]', '[{"score":1.7,"label":"x"},{"score":-3,"label":"y"},{"score":0.25,"label":"z"}]', '[{"score":1,"label":"x"},{"score":0,"label":"y"},{"score":0.25,"label":"z"}]'],
    [rows, '{"a":1}', '{"score":null,"label":"x"}', '{"score":0.5,"label":"x"}'],
    [rows, '{"a":1}', '{"score":[1.7,0.5,-1]}', '{"score":[1,0.5,0]}'],
    [tfs, '{"instances":[{"a":1},{"a":2}]}', '{"predictions":[{"score":NaN,"b":1},{"score":2,"b":2}]}', '{"predictions":[{"score":0.5,"b":1},{"score":1,"b":2}]}'],
    [kserveV1, '{"instances":[{"a":1}]}', '{"predictions":[{"score":9,"b":1}]}', '{"predictions":[{"score":1,"b":1}]}'],
    [
      oip, '{"id":"7","inputs":[{"name":"a","datatype":"FP32","shape":[1,1],"data":[1]}]}',
      '{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"score","datatype":"FP32","shape":[1,2],"data":[1.5,0.25]},{"name":"n","datatype":"INT64","shape":[1],"data":[9007199254740993]}]}',
      '{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"score","datatype":"FP32","shape":[1,2],"data":[1,0.25]},{"name":"n","datatype":"INT64","shape":[1],"data":[9007199254740993]}]}',
    ],
  ])('$name: clamped, and NaN replaced', async (format, request, answer, expected) => {
    const one = await bench({ score }, answer, format)
    const [status, body, flags] = await answered(one, request)
    expect([status, body]).toEqual([200, expected])
    expect(flags).toHaveLength(1)
  })

  test('NaN of a binary tensor, in 16 bits too', async () => {
    // IEEE 754 binary16: 0x7e00 is NaN, 0x4000 is 2, 0x3800 is 0.5, 0x3c00 is 1.
    const head = '{"outputs":[{"name":"score","datatype":"FP16","shape":[3],"parameters":{"binary_data_size":6}}]}'
    const tensor = Buffer.from(Uint16Array.of(0x7e00, 0x4000, 0x3800).buffer)
    const main = () => new Answer(200, ['content-type', 'application/octet-stream', 'inference-header-content-length', String(head.length)], Buffer.concat([Buffer.from(head), tensor]))
    const one = await pluginTest(guard, { outputs: { score } }, { format: oip, backends: { main } })
    const { answer } = await one.run({ body: '{"parameters":{"binary_data_output":true},"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[1]}]}' })
    const body = answer.body as Buffer
    expect([...new Uint16Array(Uint8Array.from(body.subarray(body.length - 6)).buffer)]).toEqual([0x3800, 0x3c00, 0x3800])
  })

  test('labels, and whole numbers', async () => {
    const label = { values: ['low', 'high'], action: 'replace', replace_with: 'low' }
    expect((await answered(await bench({ label }, '{"label":"odd"}')))[1]).toBe('{"label":"low"}')
    expect((await answered(await bench({ n: { max: 10, action: 'clamp' } }, '{"n":9007199254740993}')))[1]).toBe('{"n":10}')
  })

  test.each<[object, string]>([
    [{ score: { min: 0, action: 'clamp' } }, '{"score":null}'],
    [{ p: { min: 0, sum_to: 1, action: 'clamp' } }, '{"p":[0.5,0.2]}'],
    [{ score: { ...score } }, '{"other":1}'],
  ])('%j cannot be done with %s, which is rejected', async (outputs, answer) => {
    expect((await answered(await bench(outputs, answer)))[0]).toBe(502)
  })

  test('the counts say what was done', async () => {
    const one = await bench({ score }, '[{"score":2},{"score":null},{"score":0.1}]')
    await answered(one, '[{"a":1},{"a":2},{"a":3}]')
    expect(one.metric('weir_guard_violations_total', { rule: 'max', action: 'clamped' })).toBe(1)
    expect(one.metric('weir_guard_violations_total', { rule: 'finite', action: 'replaced' })).toBe(1)
  })
})

describe('outputs that were not asked for', () => {
  test('are not missing', async () => {
    const answer = '{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}'
    const ask = (outputs: string) => `{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[1]}]${outputs}}`
    const one = await bench({ score: { max: 1, action: 'clamp' } }, answer, oip)
    expect((await answered(one, ask(',"outputs":[{"name":"label"}]')))[0]).toBe(200)
    expect((await answered(one, ask('')))[0]).toBe(502)
  })
})

describe('with a fallback', () => {
  const outputs = { score: { min: 0, max: 1, action: 'fallback' } }
  const backends = { main: json('{"score":7}'), second: json('{"score":0.5}'), wild: json('{"score":-7}') }

  test.each([[[0, 1]], [[1, 0]]])('another target answers, in the order %j', async (order) => {
    const plugins = [[guard, { outputs }], [fallback, { to: ['wild', 'second'], on: ['invalid'] }]] as never[]
    const one = await pipelineTest(order.map((i) => plugins[i]!), { format: rows, backends })
    const { x, answer, body } = await one.run({ body: '{"a":1}' })
    expect([answer.status, body, x.fallback, x.flags]).toEqual([200, '{"score":0.5}', 'main;invalid', ['guard:max;score', 'guard:min;score']])
    expect(one.metric('weir_guard_violations_total', { rule: 'max', action: 'fallback' })).toBe(1)
  })

  test('a body that comes in pieces is looked at whole', async () => {
    const flow = new HandFlow()
    const one = await pipelineTest([[guard, { outputs }], [fallback, { to: ['second'], on: ['invalid'] }]] as never[], { format: rows, backends: { ...backends, main: () => new Answer(200, ['content-type', 'application/json'], flow) } })
    const run = one.run({ body: '{"a":1}' })
    await new Promise<void>((resolve) => setImmediate(resolve))
    flow.push('{"sco')
    flow.push('re":1.5}')
    flow.end()
    expect((await run).body).toBe('{"score":0.5}')
  })

  test('without one, or when all are wrong, the caller hears of the first', async () => {
    const alone = await pluginTest(guard, { outputs }, { format: rows, backends })
    expect((await answered(alone)).slice(0, 2)).toEqual([502, expect.stringContaining('expected at most 1, found 7')])
    const all = await pipelineTest([[guard, { outputs }], [fallback, { to: ['wild'], on: ['invalid'] }]] as never[], { format: rows, backends })
    expect((await answered(all)).slice(0, 2)).toEqual([502, expect.stringContaining('expected at most 1, found 7')])
  })

  test('observed, the first answer goes out', async () => {
    const one = await pipelineTest([[guard, { outputs, mode: 'observe' }], [fallback, { to: ['second'], on: ['invalid'] }]] as never[], { format: rows, backends })
    expect(await answered(one)).toEqual([200, '{"score":7}', ['guard:max;score']])
  })
})

test.each<[object, string]>([
  [{ score: { min: 2, max: 1 } }, 'the lower bound is above the upper one'],
  [{ score: { action: 'replace' } }, '`replace` needs `replace_with`'],
  [{ score: { action: 'clamp' } }, '`clamp` needs `min` or `max`'],
  [{ score: { max: 1, action: 'clamp', replace_with: 2 } }, '`replace_with` is out of range itself'],
])('%j is refused', async (outputs, message) => {
  await expect(bench(outputs, '')).rejects.toThrow(message)
})
