/** What servers of each format are sent, to the byte, for each kind of request; the expected bodies are those of the servers' own documentation. */
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SpeaksConfig } from '../../config/config.ts'
import type { Format } from '../../gateway/exchange.ts'
import { bindRows } from '../../gateway/models/signature.ts'
import { kserveV1 } from '../../gateway/payload/kserve_v1.ts'
import { mlflow } from '../../gateway/payload/mlflow.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { tfs } from '../../gateway/payload/tfs.ts'
import { arrange } from '../../gateway/translate/arrange.ts'
import type { HttpBackend } from '../../gateway/upstream/transport.ts'
import { answer } from '../blackbox/message.ts'
import { Upstream } from '../blackbox/scripted.ts'
import { call, refusal, speaks, start, text } from './setup.ts'

let upstream: Upstream
let backend: HttpBackend
beforeAll(async () => void (upstream = await Upstream.listen()))
beforeEach(() => upstream.fresh())
afterEach(() => {
  backend.close()
  for (const peer of upstream.peers) peer.destroy()
})
afterAll(() => upstream.close())

/** Sends a request, answered as given. @returns what the server got and what the caller gets */
async function sent(format: Format, body: string, speaking: SpeaksConfig, answered: string): Promise<[target: string, body: string, answer: string]> {
  upstream.onRequest = () => answer(200, ['content-type: application/json'], answered)
  backend = start(upstream.port, speaking)
  const got = await call(backend, format, body).answer
  const { target, body: bytes } = upstream.request
  return [target, bytes.toString(), text(got)]
}

const PREDICTIONS = '{"predictions":[0.25,0.75]}'
const OBJECTS = '[{"a":1,"b":2.5},{"a":3,"b":4}]'
const TENSOR = '{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2.5,3,4]}]}'
const AB = { columns: ['a', 'b'] }

describe('paths', () => {
  it.each([
    [speaks('kserve_v1'), '/v1/models/m:predict'],
    [speaks('kserve_v1', { version: '2' }), '/v1/models/m/versions/2:predict'],
    [speaks('tfs'), '/v1/models/m:predict'],
    [speaks('tfs', { version: '2' }), '/v1/models/m/versions/2:predict'],
    [speaks('tfs', { version: 'canary' }), '/v1/models/m/labels/canary:predict'],
    [speaks('mlflow'), '/invocations'],
  ])('%o', async (speaking, path) => {
    const [target] = await sent(rows, OBJECTS, speaking, PREDICTIONS)
    expect(target).toBe(path)
  })

  it('the prefix of the endpoint stands before them', async () => {
    upstream.onRequest = () => answer(200, [], PREDICTIONS)
    const authority = `127.0.0.1:${upstream.port}`
    backend = start(upstream.port, speaks('mlflow'), undefined, { endpoints: [{ scheme: 'http', address: { host: '127.0.0.1', port: upstream.port }, authority, prefix: '/served', weight: 1, zone: '', priority: 0 }] })
    await call(backend, rows, OBJECTS).answer
    expect(upstream.request.target).toBe('/served/invocations')
  })
})

describe('requests', () => {
  it.each([
    ['rows by name', rows, OBJECTS, speaks('kserve_v1'), '{"instances":[{"a":1,"b":2.5},{"a":3,"b":4}]}'],
    ['rows as the matrix the config names', rows, '[{"b":2.5,"a":1,"id":9},{"b":4,"a":3,"id":9}]', speaks('kserve_v1', AB), '{"instances":[[1,2.5],[3,4]]}'],
    ['one object', rows, '{"a":1,"b":2.5}', speaks('tfs', AB), '{"instances":[[1,2.5]]}', '{"predictions":[0.5]}'],
    ['texts as a matrix', rows, '[{"a":"x","b":"y"},{"a":"z","b":""}]', speaks('tfs', AB), '{"instances":[["x","y"],["z",""]]}'],
    ['integers beyond 2^53', rows, '[{"a":9007199254740993,"b":9007199254740995},{"a":9007199254740997,"b":-9007199254740993}]', speaks('tfs', AB), '{"instances":[[9007199254740993,9007199254740995],[9007199254740997,-9007199254740993]]}'],
    ['a missing number for TF Serving', rows, '[{"a":null,"b":1},{"a":2,"b":3}]', speaks('tfs', AB), '{"instances":[[NaN,1],[2,3]]}'],
    ['a missing number for KServe', rows, '[{"a":null,"b":1},{"a":2,"b":3}]', speaks('kserve_v1', AB), '{"instances":[[null,1],[2,3]]}'],
    ['rows as a data frame', rows, OBJECTS, speaks('mlflow'), '{"dataframe_split":{"columns":["a","b"],"data":[[1,2.5],[3,4]]}}'],
    ['rows as a data frame of the columns the config names', rows, '[{"b":"u","a":1,"id":9},{"b":"v","a":3,"id":9}]', speaks('mlflow', AB), '{"dataframe_split":{"columns":["a","b"],"data":[[1,"u"],[3,"v"]]}}'],
    ['the only tensor, without its name', oip, TENSOR, speaks('kserve_v1'), '{"instances":[[1,2.5],[3,4]]}'],
    ['the only tensor before TF Serving', oip, TENSOR, speaks('tfs', AB), '{"instances":[[1,2.5],[3,4]]}'],
    ['the only tensor before MLflow', oip, TENSOR, speaks('mlflow'), '{"inputs":[[1,2.5],[3,4]]}'],
    ['the only tensor as a data frame', oip, TENSOR, speaks('mlflow', AB), '{"dataframe_split":{"columns":["a","b"],"data":[[1,2.5],[3,4]]}}'],
    ['the only tensor as rows', oip, TENSOR, speaks('rows'), '[{"x":[1,2.5]},{"x":[3,4]}]', '[{"p":0.25},{"p":0.75}]'],
    ['several tensors', oip, '{"inputs":[{"name":"a","datatype":"INT64","shape":[2],"data":[1,3]},{"name":"b","datatype":"BYTES","shape":[2,1],"data":["u","v"]}]}', speaks('tfs'), '{"instances":[{"a":1,"b":["u"]},{"a":3,"b":["v"]}]}'],
    ['instances before MLflow', kserveV1, '{"instances":[[1,2.5],[3,4]]}', speaks('mlflow'), '{"inputs":[[1,2.5],[3,4]]}'],
    ['instances before rows', kserveV1, '{"instances":[[1,2.5],[3,4]]}', speaks('rows', AB), '[{"a":1,"b":2.5},{"a":3,"b":4}]', '[{"p":0.25},{"p":0.75}]'],
    ['instances by name before rows', tfs, '{"instances":[{"a":1,"b":2.5},{"a":3,"b":4}]}', speaks('rows'), '[{"a":1,"b":2.5},{"a":3,"b":4}]', '[{"p":0.25},{"p":0.75}]'],
    ['a data frame before TF Serving', mlflow, '{"dataframe_split":{"columns":["b","a"],"data":[[2.5,1],[4,3]]}}', speaks('tfs', AB), '{"instances":[[1,2.5],[3,4]]}'],
    ['records before KServe', mlflow, '{"dataframe_records":[{"a":1,"b":2.5},{"a":3,"b":4}]}', speaks('kserve_v1'), '{"instances":[{"a":1,"b":2.5},{"a":3,"b":4}]}'],
  ] as [string, Format, string, SpeaksConfig, string, string?][])('%s', async (_, format, body, speaking, expected, answered = PREDICTIONS) => {
    const [, got] = await sent(format, body, speaking, answered)
    expect(got).toBe(expected)
  })

  it.each([
    ['a matrix of another width', kserveV1, '{"instances":[[1,2,3]]}', speaks('rows', AB), /MODEL_INPUT: the values: expected 2 values a row \(shape \[-1,2\]\), found shape \[1,3\]/],
    ['values without names before rows', kserveV1, '{"instances":[1,2]}', speaks('rows'), /MODEL_INPUT: the request has values without names/],
    ['a missing feature of a data frame', rows, '{"a":1}', speaks('mlflow', AB), /MODEL_INPUT: missing feature "b"/],
    ['a missing feature of a matrix', rows, '{"a":1}', speaks('tfs', AB), /MODEL_INPUT: missing feature "b"/],
    ['texts beside numbers in a matrix', rows, '{"a":1,"b":"x"}', speaks('tfs', AB), /MODEL_INPUT: "b" in row 0: expected a number/],
    ['a list for a value', rows, '{"a":1,"b":[1,2]}', speaks('tfs', AB), /MODEL_INPUT: "b"/],
  ] as [string, Format, string, SpeaksConfig, RegExp][])('%s is refused and not sent', async (_, format, body, speaking, expected) => {
    backend = start(upstream.port, speaking)
    expect(await refusal(call(backend, format, body).answer)).toMatch(expected)
    expect(upstream.requests).toHaveLength(0)
  })
})

describe('answers', () => {
  it.each([
    ['predictions as rows', rows, OBJECTS, speaks('kserve_v1'), PREDICTIONS, '[{"predictions":0.25},{"predictions":0.75}]'],
    ['one of one', rows, '{"a":1}', speaks('tfs'), '{"predictions":[[0.25,0.75]]}', '{"predictions":[0.25,0.75]}'],
    ['named predictions', rows, OBJECTS, speaks('tfs'), '{"predictions":[{"label":1,"p":[0.5,0.5]},{"label":0,"p":[1,0]}]}', '[{"label":1,"p":[0.5,0.5]},{"label":0,"p":[1,0]}]'],
    ['labels as texts', rows, OBJECTS, speaks('mlflow'), '{"predictions":["no","yes"]}', '[{"predictions":"no"},{"predictions":"yes"}]'],
    ['rows as predictions', kserveV1, '{"instances":[{"a":1},{"a":2}]}', speaks('rows'), '[{"p":0.25},{"p":0.75}]', '{"predictions":[0.25,0.75]}'],
    ['integers beyond 2^53', rows, OBJECTS, speaks('kserve_v1'), '{"predictions":[9007199254740993,9007199254740995]}', '[{"predictions":9007199254740993},{"predictions":9007199254740995}]'],
    ['columnar for a columnar request', tfs, '{"inputs":[[1,2.5],[3,4]]}', speaks('mlflow'), PREDICTIONS, '{"outputs":[0.25,0.75]}'],
  ] as [string, Format, string, SpeaksConfig, string, string][])('%s', async (_, format, body, speaking, answered, expected) => {
    const [, , got] = await sent(format, body, speaking, answered)
    expect(got).toBe(expected)
  })

  it('as tensors they are named as they were asked for', async () => {
    const body = '{"id":"q","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[1,2.5,3,4]}],"outputs":[{"name":"score"}]}'
    const [, , got] = await sent(oip, body, speaks('kserve_v1', { version: '3' }), PREDICTIONS)
    expect(JSON.parse(got)).toEqual({ model_name: 'm', model_version: '3', id: 'q', outputs: [{ name: 'score', datatype: 'FP64', shape: [2], data: [0.25, 0.75] }] })
  })

  it.each([
    ['too few', '{"predictions":[1]}'],
    ['too many', '{"predictions":[1,2,3]}'],
    ['another key', '{"outcome":[1,2]}'],
    ['ragged', '{"predictions":[[1,2],[3]]}'],
    ['NaN', '{"predictions":[NaN,1]}'],
    ['not finite', '{"predictions":[1e999,1]}'],
  ])('%s: the backend is at fault', async (_, answered) => {
    upstream.onRequest = () => answer(200, [], answered)
    backend = start(upstream.port, speaks('tfs', AB))
    expect(await refusal(call(backend, kserveV1, '{"instances":[[1,2],[3,4]]}').answer)).toMatch(/^INVALID_ANSWER: /)
  })
})

describe('matrices', () => {
  it('cut into features and put together again are the same', () => {
    backend = start(upstream.port, null)
    const matrix = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })).chain(([count, width]) =>
      fc.tuple(fc.constant([count, width] as const), fc.array(fc.double({ noDefaultInfinity: true }), { minLength: count * width, maxLength: count * width })),
    )
    fc.assert(
      fc.property(matrix, ([[count, width], values]) => {
        const columns = Array.from({ length: width }, (_, i) => `c${i}`)
        const data = Float64Array.from(values)
        const cut = arrange({ columns: [{ name: '', dtype: 'FP64', shape: [count, width], data }] }, false, speaks('rows', { columns }))
        const signature = { inputs: [{ name: 'x', dtype: 'FP64', shape: [-1, width], rows: '' }], outputs: [] } as const
        const [whole] = bindRows(cut, signature, columns)
        expect([whole!.shape, whole!.data]).toEqual([[count, width], data])
      }),
    )
  })
})
