/** Translation between formats, as the backend sees it: exact bytes, paths and fields, bad answers, and metadata that is late or wrong. */
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { get } from '../../gateway/headers.ts'
import { oip } from '../../gateway/payload/oip.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { gather } from '../../gateway/server/buffer.ts'
import { translated } from '../../gateway/translate/backend.ts'
import type { HttpBackend, Transmitter } from '../../gateway/upstream/transport.ts'
import { answer } from '../blackbox/message.ts'
import { type RequestScript, Upstream } from '../blackbox/scripted.ts'
import { FakeClock } from '../fake_clock.ts'
import { FedFlow } from '../upstream/legs.ts'
import { call, json, refusal, speaks, start, text } from './setup.ts'

let upstream: Upstream
let backend: HttpBackend
beforeAll(async () => void (upstream = await Upstream.listen()))
beforeEach(() => upstream.fresh())
afterEach(() => {
  backend?.close()
  for (const peer of upstream.peers) peer.destroy()
})
afterAll(() => upstream.close())

const METADATA = { name: 'm', platform: 'onnx', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }], outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }] }
const ANSWER = { model_name: 'm', model_version: '3', outputs: [{ name: 'y', datatype: 'FP32', shape: [1], data: [0.1] }] }

/** An Open Inference Protocol server that tells of its model and gives one answer. */
const server =
  (answered: unknown = ANSWER, metadata: unknown = METADATA): RequestScript =>
  (request) =>
    request.method === 'GET' ? json(metadata) : json(answered)
const inferred = () => upstream.requests.filter(({ method }) => method === 'POST')
const asked = () => upstream.requests.filter(({ method }) => method === 'GET')

describe('rows in front of an Open Inference Protocol server', () => {
  beforeEach(() => {
    upstream.onRequest = server()
  })

  it('asks for the model once, then sends tensors of its datatypes to its path', async () => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const one = call(backend, rows, '{"b":2,"a":1.5,"id":7}')
    expect(text(await one.answer)).toBe('{"y":0.1}')
    expect(upstream.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(['GET /v2/models/m', 'POST /v2/models/m/infer'])
    const [request] = inferred()
    expect(JSON.parse(String(request!.body))).toEqual({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1.5, 2] }] })
    expect(request!.head.one('content-type')).toBe('application/json')
    await call(backend, rows, '[{"a":1,"b":2}]').answer
    expect(upstream.requests).toHaveLength(3)
  })

  it('names the version in both paths', async () => {
    backend = start(upstream.port, speaks('oip', { version: '3', columns: ['a', 'b'] }))
    await call(backend, rows, '{"a":1,"b":2}').answer
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/v2/models/m/versions/3', '/v2/models/m/versions/3/infer'])
  })

  it('leaves the exchange as the caller made it', async () => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const headers = ['Host', 'a.test', 'Content-Type', 'application/json', 'accept-encoding', 'gzip', 'x-request-id', 'r1', 'If-None-Match', '"1"']
    const { x, answer } = call(backend, rows, '{"a":1,"b":2}', { headers: [...headers] })
    await answer
    expect([x.method, x.target, String(x.body), x.attempts]).toEqual(['POST', '/score?a=1', '{"a":1,"b":2}', 1])
    expect(x.headers).toEqual(headers)
    expect(x.waited).toBeGreaterThan(0)
    const { head } = inferred()[0]!
    expect([head.one('host'), head.one('x-request-id'), head.one('accept-encoding'), head.has('if-none-match')]).toEqual(['a.test', 'r1', 'identity', false])
  })

  it('uses nothing of a caller to ask for the model', async () => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }), undefined, { headers: ['x-api-key', 'of the config'] })
    await call(backend, rows, '{"a":1,"b":2}', { headers: ['Host', 'a.test', 'authorization', 'Bearer of-the-caller', 'cookie', 'c=1'] }).answer
    const { head } = asked()[0]!
    expect([head.has('authorization'), head.has('cookie'), head.one('x-api-key'), head.one('host')]).toEqual([false, false, 'of the config', `127.0.0.1:${upstream.port}`])
    expect(inferred()[0]!.head.one('authorization')).toBe('Bearer of-the-caller')
  })

  it('fields about the bytes of the backend’s answer are gone, others stay', async () => {
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : json(ANSWER, 200, ['etag: "1"', 'x-served-by: a', 'content-digest: sha-256=:x:']))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const { headers, backend: name } = await call(backend, rows, '{"a":1,"b":2}').answer
    expect([get(headers, 'etag'), get(headers, 'content-digest'), get(headers, 'x-served-by'), name]).toEqual([undefined, undefined, 'a', 'up'])
  })

  it('a compressed answer is read even so', async () => {
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : answer(200, ['content-encoding: gzip'], gzipSync(JSON.stringify(ANSWER))))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const done = await call(backend, rows, '{"a":1,"b":2}').answer
    expect([text(done), get(done.headers, 'content-encoding')]).toEqual(['{"y":0.1}', undefined])
  })

  it('a compressed request is sent as it was meant, and so to whoever comes next', async () => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const { x, answer } = call(backend, rows, gzipSync('{"a":1,"b":2}'), { headers: ['host', 'a.test', 'content-encoding', 'gzip'] })
    expect(text(await answer)).toBe('{"y":0.1}')
    expect([inferred()[0]!.head.has('content-encoding'), String(x.body), x.headers]).toEqual([false, '{"a":1,"b":2}', ['host', 'a.test']])
  })

  it.each([
    ['a bomb', gzipSync(Buffer.alloc(100_000, 0x20)), 'gzip', /^BODY_TOO_LARGE/],
    ['no gzip', Buffer.from('{}'), 'gzip', /^BAD_BODY/],
    ['another coding', Buffer.from('{}'), 'br', /^UNSUPPORTED_MEDIA_TYPE/],
  ])('%s is the caller’s fault', async (_, body, coding, expected) => {
    backend = start(upstream.port, speaks('oip'))
    expect(await refusal(call(backend, rows, body, { max: 1000, headers: ['host', 'a.test', 'content-encoding', coding] }).answer)).toMatch(expected)
    expect(upstream.requests).toHaveLength(0)
  })

  it('no rows are answered without the backend', async () => {
    backend = start(upstream.port, speaks('oip'))
    expect(text(await call(backend, rows, '[]').answer)).toBe('[]')
    expect(upstream.requests).toHaveLength(0)
  })

  it('integers beyond 2^53 arrive exactly, both ways', async () => {
    const metadata = { name: 'm', inputs: [{ name: 'id', datatype: 'INT64', shape: [-1] }], outputs: [] }
    upstream.onRequest = (request) => (request.method === 'GET' ? json(metadata) : answer(200, [], '{"model_name":"m","outputs":[{"name":"id","datatype":"UINT64","shape":[2],"data":[18446744073709551615,1]}]}'))
    backend = start(upstream.port, speaks('oip'))
    expect(text(await call(backend, rows, '[{"id":9007199254740993},{"id":-9223372036854775808}]').answer)).toBe('[{"id":18446744073709551615},{"id":1}]')
    expect(String(inferred()[0]!.body)).toContain('[9007199254740993,-9223372036854775808]')
  })

  it('a missing number goes as a binary tensor, which can say NaN', async () => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    await call(backend, rows, '{"a":null,"b":2}').answer
    const { head, body } = inferred()[0]!
    const length = Number(head.one('inference-header-content-length'))
    expect(head.one('content-type')).toBe('application/octet-stream')
    expect(JSON.parse(body.subarray(0, length).toString())).toEqual({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }] })
    // IEEE 754 binary32, little-endian: a quiet NaN, then 2.
    expect(body.subarray(length).toString('hex')).toBe('0000c07f00000040')
  })

  it('16-bit floats are asked for and read as binary tensors', async () => {
    const metadata = { inputs: [{ name: 'h', datatype: 'FP16', shape: [-1] }], outputs: [{ name: 'h', datatype: 'FP16', shape: [-1] }, { name: 'b', datatype: 'BF16', shape: [-1] }] }
    const head = '{"model_name":"m","outputs":[{"name":"h","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}},{"name":"b","datatype":"BF16","shape":[1],"parameters":{"binary_data_size":2}}]}'
    // 0x3e00 is 1.5 as binary16, 0x4020 is 2.5 as bfloat16.
    const body = Buffer.concat([Buffer.from(head), Buffer.from([0x00, 0x3e, 0x20, 0x40])])
    upstream.onRequest = (request) => (request.method === 'GET' ? json(metadata) : answer(200, [`inference-header-content-length: ${head.length}`, 'content-type: application/octet-stream'], body))
    backend = start(upstream.port, speaks('oip'))
    const done = await call(backend, rows, '{"h":1.5}').answer
    expect([text(done), get(done.headers, 'content-type'), get(done.headers, 'inference-header-content-length')]).toEqual(['{"h":1.5,"b":2.5}', 'application/json', undefined])
    const [sent] = inferred()
    const length = Number(sent!.head.one('inference-header-content-length'))
    expect(JSON.parse(sent!.body.subarray(0, length).toString())).toMatchObject({ parameters: { binary_data_output: true } })
    expect(sent!.body.subarray(length).toString('hex')).toBe('003e')
  })

  it.each([
    ['a missing feature', '{"a":1}', /MODEL_INPUT: missing feature "b"/],
    ['a text for a number', '{"a":1,"b":"x"}', /MODEL_INPUT: "b" in row 0: expected a number/],
    ['no JSON', '{"a":', /BAD_BODY: invalid JSON/],
    ['nothing', null, /BAD_BODY: expected a JSON body/],
  ])('%s is the caller’s fault and is not sent', async (_, body, expected) => {
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    expect(await refusal(call(backend, rows, body).answer)).toMatch(expected)
    expect(inferred()).toHaveLength(0)
  })

  it('a body that is too long is refused, whether it says so or not', async () => {
    backend = start(upstream.port, speaks('oip'))
    expect(await refusal(call(backend, rows, Buffer.alloc(200, 0x20), { max: 100 }).answer)).toMatch(/^BODY_TOO_LARGE/)
    const declared = new FedFlow(200)
    expect(await refusal(call(backend, rows, declared, { max: 100 }).answer)).toMatch(/^BODY_TOO_LARGE/)
    const flow = new FedFlow()
    const sent = call(backend, rows, flow, { max: 100 }).answer
    flow.sink!.data(Buffer.alloc(101, 0x20))
    expect(await refusal(sent)).toMatch(/^BODY_TOO_LARGE/)
  })

  it('a body that is still coming when the time is over is given up', async () => {
    backend = start(upstream.port, speaks('oip'))
    const flow = new FedFlow()
    const { leg, answer } = call(backend, rows, flow)
    leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    expect(await refusal(answer)).toMatch(/^TOTAL_TIMEOUT/)
    expect(flow.calls).toContain('cancel')
  })
})

describe('what is not translated', () => {
  const untouched = async (format: typeof rows | null, speaking: ReturnType<typeof speaks>, method: string, body: string | null): Promise<string> => {
    backend = start(upstream.port, speaking)
    const done = await call(backend, format, body, { method }).answer
    const { request } = upstream
    return `${request.method} ${request.target} ${String(request.body)} → ${String(done.body)}`
  }

  it.each(['GET', 'PUT', 'DELETE', 'HEAD'])('%s', async (method) => expect(await untouched(rows, speaks('oip'), method, null)).toMatch(new RegExp(`^${method} /score\\?a=1 {2}→ (ok|null)$`)))
  it('a route without a format', async () => expect(await untouched(null, speaks('oip'), 'POST', '{ "a" : 1e0 }')).toBe('POST /score?a=1 { "a" : 1e0 } → ok'))
  it('a route of the backend’s own format, byte for byte, path included', async () => expect(await untouched(oip, speaks('oip'), 'POST', '{ not even JSON')).toBe('POST /score?a=1 { not even JSON → ok'))
  it('a backend that does not say what it speaks is not wrapped', () => {
    backend = start(upstream.port, null)
    expect(translated(backend as Transmitter, { clock: new FakeClock(), gather })).toBe(backend)
    expect(start(upstream.port, speaks('oip'))).not.toHaveProperty('writeHead')
    expect(backend).toHaveProperty('writeHead')
  })
})

describe('answers', () => {
  const ask = async (reply: Buffer): Promise<string> => {
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : reply)
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    return refusal(call(backend, rows, '[{"a":1,"b":2},{"a":3,"b":4}]', { max: 1000 }).answer)
  }
  const outputs = (...list: unknown[]): Buffer => json({ model_name: 'm', outputs: list })

  test.each([
    ['no JSON', answer(200, [], '<html>'), /^INVALID_ANSWER: /],
    ['empty', answer(200), /^INVALID_ANSWER: /],
    ['no content', answer(204), /^INVALID_ANSWER: /],
    ['without outputs', json({ model_name: 'm' }), /^INVALID_ANSWER: .*outputs/],
    ['too few rows', outputs({ name: 'y', datatype: 'FP32', shape: [1], data: [1] }), /^INVALID_ANSWER: "y": has 1 rows, the request 2/],
    ['another shape than data', outputs({ name: 'y', datatype: 'FP32', shape: [2], data: [1] }), /^INVALID_ANSWER: output "y"/],
    ['an unknown datatype', outputs({ name: 'y', datatype: 'FP8', shape: [2], data: [1, 2] }), /^INVALID_ANSWER: output "y": unknown datatype/],
    ['NaN', answer(200, [], '{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[NaN,1]}]}'), /^INVALID_ANSWER: /],
    ['too long', outputs({ name: 'y', datatype: 'BYTES', shape: [2], data: ['x'.repeat(1000), ''] }), /^INVALID_ANSWER: the answer of the backend is larger than the 1000 bytes/],
    ['a bomb', answer(200, ['content-encoding: gzip'], gzipSync(Buffer.alloc(100_000))), /^INVALID_ANSWER: the answer of the backend is larger/],
    ['an unknown coding', answer(200, ['content-encoding: br'], 'x'), /^INVALID_ANSWER: /],
    ['not the coding it says', answer(200, ['content-encoding: gzip'], '{}'), /^INVALID_ANSWER: /],
  ])('%s: the backend is at fault', async (_, reply, expected) => expect(await ask(reply)).toMatch(expected))

  it('one that breaks off is a reset', async () => {
    upstream.onRequest = async (request, peer) => {
      if (request.method === 'GET') return json(METADATA)
      await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"outputs"')
      peer.finish()
      return undefined
    }
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    expect(await refusal(call(backend, rows, '{"a":1,"b":2}').answer)).toMatch(/^RESET/)
  })

  test.each([
    ['its own shape', json({ error: 'no' }, 400), 'answered 400 {"error":"no"}'],
    ['with more in it', json({ error: 'no', code: 'X' }, 503), 'answered 503 {"error":"no","code":"X"}'],
    ['MLflow', json({ error_code: 'BAD_REQUEST', message: 'no columns' }, 400), 'answered 400 {"error":"no columns"}'],
    ['FastAPI', json({ detail: 'Not Found' }, 404), 'answered 404 {"error":"Not Found"}'],
    ['FastAPI’s list', json({ detail: [{ loc: ['body'], msg: 'required' }] }, 422), 'answered 422 {"error":"[{\\"loc\\":[\\"body\\"],\\"msg\\":\\"required\\"}]"}'],
    ['nested', json({ error: { code: 429, message: 'slow down' } }, 429), 'answered 429 {"error":"slow down"}'],
    ['plain text', answer(415, ['content-type: text/plain'], 'not this type\n'), 'answered 415 {"error":"not this type"}'],
    ['a traceback', answer(500, ['content-type: text/plain; charset=utf-8'], 'Traceback\n  File'), 'answered 500 Traceback\n  File'],
    ['a page', answer(502, ['content-type: text/html'], '<html>'), 'answered 502 <html>'],
    ['nothing', answer(500), 'answered 500 null'],
    ['broken JSON', answer(500, ['content-type: application/json'], '{'), 'answered 500 {'],
    ['elsewhere', answer(307, ['location: /x'], 'moved'), 'answered 307 moved'],
  ])('an error keeps its status: %s', async (_, reply, expected) => expect(await ask(reply)).toBe(expected))

  it('an error that is too long to be one streams through', async () => {
    const long = 'x'.repeat(200_000)
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : answer(500, ['content-type: text/plain'], long))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const { status, body } = await call(backend, rows, '{"a":1,"b":2}').answer
    expect([status, Buffer.isBuffer(body)]).toEqual([500, false])
  })
})

describe('metadata', () => {
  const ask = (): ReturnType<typeof call> => call(backend, rows, '{"a":1,"b":2}')

  it('is asked for once by all who come meanwhile', async () => {
    const gate = Promise.withResolvers<void>()
    upstream.onRequest = async (request) => (request.method === 'GET' ? (await gate.promise, json(METADATA)) : json(ANSWER))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const calls = Array.from({ length: 20 }, ask)
    await upstream.connection()
    gate.resolve()
    for (const { answer } of calls) expect(text(await answer)).toBe('{"y":0.1}')
    expect(asked()).toHaveLength(1)
  })

  it('who leaves while it is awaited does not take it from the others', async () => {
    const gate = Promise.withResolvers<void>()
    upstream.onRequest = async (request) => (request.method === 'GET' ? (await gate.promise, json(METADATA)) : json(ANSWER))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const [first, second] = [ask(), ask()]
    await upstream.connection()
    first.leg.cancel(new WeirError('CALLER_LEFT'))
    expect(await refusal(first.answer)).toMatch(/^CALLER_LEFT/)
    gate.resolve()
    expect(text(await second.answer)).toBe('{"y":0.1}')
    expect(asked()).toHaveLength(1)
  })

  it('is given up when nobody waits any more, and asked for again by the next', async () => {
    const gate = Promise.withResolvers<void>()
    upstream.onRequest = async (request) => (request.method === 'GET' ? (await gate.promise, json(METADATA)) : json(ANSWER))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const { leg, answer } = ask()
    const peer = await upstream.connection()
    leg.cancel(new WeirError('TRY_TIMEOUT'))
    expect(await refusal(answer)).toMatch(/^TRY_TIMEOUT/)
    await peer.untilOver()
    gate.resolve()
    expect(text(await ask().answer)).toBe('{"y":0.1}')
  })

  it.each([
    ['not there', 'answered 404 {"error":"gone"}', json({ error: 'gone' }, 404)],
    ['not ready', 'answered 503 {"error":"loading"}', answer(503, ['content-type: text/plain'], 'loading')],
    ['a redirect', 'answered 302 ', answer(302, ['location: /'])],
    ['no JSON', 'INVALID_ANSWER: the metadata of the model at the backend is no JSON', answer(200, [], '<html>')],
    ['a list', 'INVALID_ANSWER: the metadata of the model at the backend is no JSON object', json([])],
    ['no inputs', 'INVALID_ANSWER: the metadata of the model at the backend has no list of inputs, or one of outputs that is none', json({})],
    ['an empty list', 'INVALID_ANSWER: the metadata of the model at the backend tells no inputs', json({ inputs: [] })],
    ['no name', 'INVALID_ANSWER: the metadata of the model at the backend has a tensor without a name', json({ inputs: [{ datatype: 'FP32', shape: [] }] })],
    ['one twice', 'INVALID_ANSWER: the metadata of the model at the backend has an input twice', json({ inputs: [METADATA.inputs[0], METADATA.inputs[0]] })],
    ['a datatype unheard of', 'INVALID_ANSWER: the metadata of the model at the backend has a datatype for input "x" that the protocol does not know', json({ inputs: [{ name: 'x', datatype: 'TYPE_FP32', shape: [-1] }] })],
    ['a negative dimension', 'INVALID_ANSWER: the metadata of the model at the backend has no usable shape for "x"', json({ inputs: [{ name: 'x', datatype: 'FP32', shape: [-2] }] })],
    ['no shape', 'INVALID_ANSWER: the metadata of the model at the backend has no usable shape for "x"', json({ inputs: [{ name: 'x', datatype: 'FP32' }] })],
    ['too much', 'INVALID_ANSWER: the metadata of the model at the backend is larger than 1048576 bytes', json({ inputs: [], padding: 'x'.repeat(1 << 20) })],
  ])('that is %s fails the attempt, and the next one asks again', async (_, expected, reply) => {
    let first = true
    upstream.onRequest = (request) => {
      if (request.method !== 'GET') return json(ANSWER)
      const told = first ? reply : json(METADATA)
      first = false
      return told
    }
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    const failing = ask()
    expect(await refusal(failing.answer)).toBe(expected)
    expect(failing.x.attempts).toBe(1)
    expect(text(await ask().answer)).toBe('{"y":0.1}')
  })

  it('a refused connection is told as such', async () => {
    upstream.onConnection = (peer) => peer.reset()
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    expect(await refusal(ask().answer)).toMatch(/^(RESET|CONNECT_FAILED)/)
  })

  it('shapes as strings, as gRPC gateways write them', async () => {
    upstream.onRequest = server(ANSWER, { inputs: [{ name: 'x', datatype: 'FP32', shape: ['-1', '2'] }] })
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }))
    expect(text(await ask().answer)).toBe('{"y":0.1}')
  })

  it.each([400, 404])('is asked for again after a %i, but not twice in ten seconds', async (status) => {
    const clock = new FakeClock()
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : json({ error: 'no' }, status))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }), clock)
    for (let i = 0; i < 5; i++) await ask().answer
    expect(asked()).toHaveLength(1)
    clock.advance(10_000)
    for (let i = 0; i < 5; i++) await ask().answer
    expect(asked()).toHaveLength(2)
  })

  it('a server error says nothing about the model', async () => {
    const clock = new FakeClock()
    upstream.onRequest = (request) => (request.method === 'GET' ? json(METADATA) : json({ error: 'no' }, 500))
    backend = start(upstream.port, speaks('oip', { columns: ['a', 'b'] }), clock)
    for (let i = 0; i < 3; i++) {
      await ask().answer
      clock.advance(20_000)
    }
    expect(asked()).toHaveLength(1)
  })

  it('a request that no longer fits is tried against what the model takes now', async () => {
    const clock = new FakeClock()
    let told: unknown = { inputs: [{ name: 'old', datatype: 'FP32', shape: [-1] }] }
    upstream.onRequest = (request) => (request.method === 'GET' ? json(told) : json(ANSWER))
    backend = start(upstream.port, speaks('oip'), clock)
    await call(backend, rows, '{"old":1}').answer
    told = { inputs: [{ name: 'new', datatype: 'INT32', shape: [-1] }] }
    expect(await refusal(call(backend, rows, '{"new":1}').answer)).toMatch(/^MODEL_INPUT: missing feature "old"/)
    expect(asked()).toHaveLength(1)
    clock.advance(10_000)
    expect(text(await call(backend, rows, '{"new":1}').answer)).toBe('{"y":0.1}')
    expect(JSON.parse(String(inferred().at(-1)!.body))).toEqual({ inputs: [{ name: 'new', datatype: 'INT32', shape: [1], data: [1] }] })
  })
})

describe('tensors in front of a server that takes rows', () => {
  const request = (name: string, shape: number[], data: number[]): string => JSON.stringify({ id: 'q', inputs: [{ name, datatype: 'FP32', shape, data }], outputs: [{ name: 'score' }] })
  beforeEach(() => {
    upstream.onRequest = () => json([{ score: 0.25, other: 1 }, { score: 0.5, other: 2 }])
  })

  it('go where the caller sent them, one object a row, and come back as tensors', async () => {
    backend = start(upstream.port, speaks('rows'))
    const done = await call(backend, oip, JSON.stringify({ inputs: [{ name: 'a', datatype: 'FP32', shape: [2], data: [1, 2] }, { name: 'b', datatype: 'BYTES', shape: [2], data: ['x', 'y'] }] })).answer
    expect([upstream.request.target, String(upstream.request.body)]).toEqual(['/score?a=1', '[{"a":1,"b":"x"},{"a":2,"b":"y"}]'])
    expect(JSON.parse(text(done))).toEqual({ model_name: 'up', outputs: [{ name: 'score', datatype: 'FP64', shape: [2], data: [0.25, 0.5] }, { name: 'other', datatype: 'FP64', shape: [2], data: [1, 2] }] })
  })

  it('a matrix becomes the features that the config names', async () => {
    backend = start(upstream.port, speaks('rows', { columns: ['a', 'b'] }))
    const done = await call(backend, oip, request('x', [2, 2], [1, 2, 3, 4])).answer
    expect(String(upstream.request.body)).toBe('[{"a":1,"b":2},{"a":3,"b":4}]')
    expect(JSON.parse(text(done))).toMatchObject({ id: 'q', outputs: [{ name: 'score', data: [0.25, 0.5] }] })
    expect(JSON.parse(text(done)).outputs).toHaveLength(1)
  })

  it('a matrix of another width is refused', async () => {
    backend = start(upstream.port, speaks('rows', { columns: ['a', 'b'] }))
    expect(await refusal(call(backend, oip, request('x', [1, 3], [1, 2, 3])).answer)).toBe('MODEL_INPUT: input "x": expected 2 values a row (shape [-1,2]), found shape [1,3]')
  })

  it('an output that was asked for and is not there is the backend’s fault', async () => {
    upstream.onRequest = () => json([{ a: 1, b: 1 }])
    backend = start(upstream.port, speaks('rows'))
    expect(await refusal(call(backend, oip, request('x', [1], [1])).answer)).toMatch(/^INVALID_ANSWER: the answer lacks the requested output "score"/)
  })

  it('a missing number cannot be told in the caller’s JSON', async () => {
    upstream.onRequest = () => json([{ score: null }])
    backend = start(upstream.port, speaks('rows'))
    expect(await refusal(call(backend, oip, request('x', [1], [1])).answer)).toMatch(/^INVALID_ANSWER: output "score": element 0 is NaN/)
  })

  it('classification is done here, since such a server cannot', async () => {
    upstream.onRequest = () => json([{ p: [0.25, 0.5, 0.125] }])
    backend = start(upstream.port, speaks('rows'))
    const asking = (parameters: string) => `{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}],"outputs":[{"name":"p","parameters":{${parameters}}}]}`
    const done = await call(backend, oip, asking('"classification":2')).answer
    expect(JSON.parse(text(done)).outputs).toEqual([{ name: 'p', datatype: 'BYTES', shape: [1, 2], data: ['0.500000:1', '0.250000:0'] }])
    expect(await refusal(call(backend, oip, asking('"classification":0')).answer)).toMatch(/^MODEL_INPUT: output "p": expected classification/)
  })

  it('binary tensors are read and written for callers of tensors', async () => {
    upstream.onRequest = () => json([{ y: 3 }])
    backend = start(upstream.port, speaks('rows'))
    const head = '{"inputs":[{"name":"x","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}'
    const body = Buffer.concat([Buffer.from(head), Buffer.from([0x00, 0x3e])])
    const done = await call(backend, oip, body, { headers: ['host', 'a.test', 'content-type', 'application/octet-stream', 'inference-header-content-length', String(head.length)] }).answer
    expect([String(upstream.request.body), upstream.request.head.one('content-type'), upstream.request.head.has('inference-header-content-length')]).toEqual(['[{"x":1.5}]', 'application/json', false])
    const length = Number(get(done.headers, 'inference-header-content-length'))
    expect((done.body as Buffer).subarray(length).readDoubleLE()).toBe(3)
  })

  it('a raw request has no names to translate', async () => {
    backend = start(upstream.port, speaks('rows'))
    const headers = ['host', 'a.test', 'content-type', 'application/octet-stream', 'inference-header-content-length', '0']
    expect(await refusal(call(backend, oip, Buffer.from([0, 0, 0, 0]), { headers }).answer)).toMatch(/^MODEL_INPUT: a raw request says no name/)
  })

  it('retries and fallbacks begin from what the caller sent', async () => {
    backend = start(upstream.port, speaks('rows'))
    const { x, leg, answer } = call(backend, oip, request('x', [2], [1, 2]))
    await answer
    await backend.send(x, leg)
    expect(x.attempts).toBe(2)
    expect(upstream.requests.map(({ body }) => String(body))).toEqual(['[{"x":1},{"x":2}]', '[{"x":1},{"x":2}]'])
  })
})
