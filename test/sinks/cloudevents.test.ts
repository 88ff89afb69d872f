import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CloudEventsSinkConfig } from '../../config/config.ts'
import { CloudEventsSink } from '../../gateway/records/sinks/cloudevents.ts'
import { encoded } from '../../gateway/records/sinks/events.ts'
import { FakeClock } from '../fake_clock.ts'
import { freePort } from '../servers.ts'
import { body, record } from '../records/made.ts'
import { decodedField, type Receiver, startReceiver } from './receiver.ts'
import { type Deps, deps, spool } from './setup.ts'

let receiver: Receiver
let sinks: CloudEventsSink[]
beforeEach(async () => {
  receiver = await startReceiver()
  sinks = []
})
afterEach(async () => {
  for (const sink of sinks) await sink.close()
  await receiver.stop()
})

function make(change: Partial<CloudEventsSinkConfig> = {}, own: Deps = deps()): CloudEventsSink {
  const config: CloudEventsSinkConfig = {
    kind: 'cloudevents', name: 'events', url: `${receiver.url}/default?key=1`, headers: {}, source: 'http://localhost:9081/', extensions: {}, batch: 1, rotate_ms: 1000, spool,
    delivery: { timeout_ms: 10_000, backoff_ms: 100, max_backoff_ms: 30_000, connections: 4 }, ...change,
  }
  const sink = new CloudEventsSink(config, own)
  sinks.push(sink)
  return sink
}

const ids = () => receiver.received.map(({ headers }) => String(headers['ce-recordid']))
const batches = () => receiver.received.map(({ body }) => JSON.parse(body.toString()) as Record<string, unknown>[])
const statuses = (...list: number[]) => (receiver.answer = (_request, response) => void response.writeHead(list.shift() ?? 202).end())

describe('binary mode, as KServe’s logger', () => {
  test('one event for the request and one for the answer, of one id', async () => {
    const sink = make({ headers: { authorization: 'Bearer t' }, extensions: { namespace: 'fraud', inferenceservicename: 'cards' } })
    const one = record('r1', { inference_id: '0190-1', request_headers: ['X-Tier', 'gold', 'x-tier', 'b"%'], duration_ms: 12.25 })
    expect(await sink.deliver([one])).toEqual({ delivered: 1, rejected: 0, error: null })
    const [request, response] = receiver.received.toSorted((a, b) => String(a.headers['ce-type']).localeCompare(String(b.headers['ce-type'])))
    expect(request).toMatchObject({
      method: 'POST', url: '/default?key=1',
      headers: {
        'ce-specversion': '1.0', 'ce-type': 'org.kubeflow.serving.inference.request', 'ce-id': '0190-1', 'ce-source': 'http://localhost:9081/', 'ce-time': '2023-11-14T22:13:20.000Z', 'ce-recordedtime': '2023-11-14T22:13:20.012Z',
        'ce-inferenceservicename': 'cards', 'ce-namespace': 'fraud', 'ce-component': 'predictor', 'ce-endpoint': 'a', 'ce-modelname': 'cancer', 'ce-modelversion': '2', 'ce-recordid': 'r1', 'content-type': 'application/json', authorization: 'Bearer t',
      },
    })
    expect(request!.body.toString()).toBe('{"x":1}')
    expect(JSON.parse(decodedField(request!.headers['ce-metadata']))).toEqual({ 'x-tier': ['gold', 'b"%'] })
    expect(request!.headers['ce-statuscode']).toBeUndefined()
    expect(response).toMatchObject({ headers: { 'ce-type': 'org.kubeflow.serving.inference.response', 'ce-id': '0190-1', 'ce-time': '2023-11-14T22:13:20.012Z', 'ce-statuscode': '200', 'content-type': 'application/json' } })
    expect(response!.body.toString()).toBe('{"y":2}')
  })

  test('a Ce-Id of the caller is the id', async () => {
    await make().deliver([record(1, { request_headers: ['Ce-Id', 'their own é'] })])
    expect(decodedField(receiver.received[0]!.headers['ce-id'])).toBe('their own é')
  })

  test('only what was logged is sent; without bodies the answer alone tells of it', async () => {
    await make().deliver([record(1, { response: null })])
    await make().deliver([record(2, { request: null })])
    await make().deliver([record(3, { request: null, response: null, status: 504, reason: 'TOTAL_TIMEOUT' })])
    expect(receiver.received.map(({ headers, body }) => [headers['ce-recordid'], headers['ce-type'], body.length])).toEqual([['1', 'org.kubeflow.serving.inference.request', 7], ['2', 'org.kubeflow.serving.inference.response', 7], ['3', 'org.kubeflow.serving.inference.response', 0]])
    expect(receiver.received[2]!.headers).toMatchObject({ 'ce-statuscode': '504', 'ce-reason': 'TOTAL_TIMEOUT' })
  })

  test('compressed bodies are sent plain; what cannot be, says its coding', async () => {
    const text = JSON.stringify({ x: 'y'.repeat(50) })
    await make().deliver([record(1, { response: null, request: body(gzipSync(text), { encoding: 'gzip' }) })])
    await make().deliver([record(2, { response: null, request: body('zstd bytes', { encoding: 'zstd' }) })])
    await make().deliver([record(3, { response: null, request: body(gzipSync(text).subarray(0, 20), { encoding: 'gzip', truncated: true, length: 99 }) })])
    expect(receiver.received[0]!.body.toString()).toBe(text)
    expect(receiver.received[0]!.headers['content-encoding']).toBeUndefined()
    expect(receiver.received[1]).toMatchObject({ body: Buffer.from('zstd bytes'), headers: { 'content-encoding': 'zstd', 'ce-contentencoding': 'zstd' } })
    expect(receiver.received[2]!.headers).toMatchObject({ 'content-encoding': 'gzip', 'ce-truncated': 'true' })
  })

  test('connections are kept: no more than allowed, whatever the number of events', async () => {
    await make({ delivery: { timeout_ms: 10_000, backoff_ms: 1, max_backoff_ms: 1, connections: 3 } }).deliver(Array.from({ length: 200 }, (_, i) => record(i)))
    expect(receiver.received).toHaveLength(400)
    expect(receiver.connections()).toBeLessThanOrEqual(3)
    expect(new Set(ids()).size).toBe(200)
  })

  test('what a caller can put into a type or an id harms no request', async () => {
    const sink = make()
    const strange = record(1, { request_headers: ['ce-id', 'a\r\nx: y\u0000 \ud800'], request: body('{}', { type: 'text/\r\nx: y' }), response: null })
    expect(await sink.deliver([strange])).toMatchObject({ delivered: 1, rejected: 0 })
    expect(receiver.received[0]!.headers).not.toHaveProperty('x')
    expect(receiver.received[0]!.headers).not.toHaveProperty('content-type')
  })
})

describe('fields (HTTP Protocol Binding 1.0.2, 3.1.3.2)', () => {
  test.each([['Euro € 😀', 'Euro%20%E2%82%AC%20%F0%9F%98%80'], ['a"b%c', 'a%22b%25c'], ['{"a":["b"]}', '{%22a%22:[%22b%22]}'], ['~!', '~!'], ['\u007f\t', '%7F%09']])('%j is %s', (value, field) => expect(encoded(value)).toBe(field))

  test('whatever is encoded is visible ASCII and comes back', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 0xffff })), (units) => {
      const text = String.fromCharCode(...units)
      expect(encoded(text)).toMatch(/^[\x21-\x7e]*$/)
      expect(decodeURIComponent(encoded(text))).toBe(text.toWellFormed())
    }))
  })
})

describe('batches', () => {
  test('are JSON: data that is JSON as it is, any other as base64', async () => {
    const sink = make({ batch: 10 })
    expect(await sink.deliver([record(1, { response: body('a,b\n', { type: 'text/csv' }) }), record(2, { request: body('{"id":12345678901234567890}') })])).toMatchObject({ delivered: 2 })
    expect(receiver.received[0]!.headers['content-type']).toMatch(/^application\/cloudevents-batch\+json/)
    const [first, second, third] = batches()[0]!
    expect(first).toMatchObject({ specversion: '1.0', type: 'org.kubeflow.serving.inference.request', recordid: '1', datacontenttype: 'application/json', data: { x: 1 } })
    expect(second).toMatchObject({ type: 'org.kubeflow.serving.inference.response', statuscode: 200, datacontenttype: 'text/csv', data_base64: 'YSxiCg==' })
    expect(third).toMatchObject({ recordid: '2' })
    expect(receiver.received[0]!.body.toString()).toContain('"data":{"id":12345678901234567890}')
  })

  test('hold no more events than they may, and no more than a megabyte', async () => {
    await make({ batch: 3 }).deliver([1, 2, 3, 4].map((id) => record(id, { response: null })))
    expect(batches().map((batch) => batch.length).toSorted()).toEqual([1, 3])
    receiver.received.length = 0
    const large = body(JSON.stringify('x'.repeat(600_000)))
    await make({ batch: 100 }).deliver([1, 2, 3].map((id) => record(id, { request: large, response: null })))
    expect(batches().map((batch) => batch.length)).toEqual([1, 1, 1])
  })

  test('one event that is refused does not take the others with it', async () => {
    const own = deps()
    const sink = make({ batch: 10 }, own)
    receiver.answer = (request, response) => void response.writeHead(request.body.includes('poison') ? 400 : 200).end()
    expect(await sink.deliver([record(1), record(2, { request: body('"poison"') }), record(3)])).toEqual({ delivered: 2, rejected: 1, error: null })
    expect(own.lines.join()).toContain('refused an event for good')
  })
})

describe('what becomes of records', () => {
  test.each([200, 201, 202, 204])('%i is delivered', async (status) => {
    statuses(status, status)
    expect(await make().deliver([record(1)])).toEqual({ delivered: 1, rejected: 0, error: null })
  })

  test.each([400, 405, 413, 415, 422])('%i is refused for good', async (status) => {
    statuses(status, status)
    expect(await make().deliver([record(1)])).toEqual({ delivered: 0, rejected: 1, error: null })
  })

  test.each([301, 401, 403, 404, 408, 429, 500, 502, 503, 504])('%i comes again', async (status) => {
    const sink = make()
    statuses(status, status)
    const first = await sink.deliver([record(1)])
    expect(first).toMatchObject({ delivered: 0, rejected: 0 })
    expect(first.error!.message).toContain(String(status))
    statuses()
    expect(await sink.deliver([record(1)])).toEqual({ delivered: 1, rejected: 0, error: null })
  })

  test.each([[401, 'check the credentials'], [403, 'what they may do'], [404, 'check the path']])('%i is mended by somebody, and the last error says where: %s', async (status, what) => {
    statuses(status, status)
    const { error } = await make().deliver([record(1)])
    expect(error!.message).toContain(`the receiver answered ${status}: `)
    expect(error!.message).toContain(what)
  })

  test('a batch that meets a wrong path waits as a whole: nothing is tried one by one or given up', async () => {
    const sink = make({ batch: 10 })
    receiver.answer = (_request, response) => void response.writeHead(404).end()
    expect(await sink.deliver([record(1), record(2)])).toMatchObject({ delivered: 0, rejected: 0, error: expect.any(Error) })
    expect(receiver.received).toHaveLength(1)
    statuses()
    expect(await sink.deliver([record(1), record(2)])).toEqual({ delivered: 2, rejected: 0, error: null })
  })

  test('from the front: what the receiver took behind a failure is not sent again', async () => {
    const sink = make({ delivery: { timeout_ms: 10_000, backoff_ms: 1, max_backoff_ms: 1, connections: 1 } })
    let failures = 1
    receiver.answer = (request, response) => void response.writeHead(request.headers['ce-recordid'] === '2' && request.headers['ce-type']!.includes('response') && failures-- > 0 ? 503 : 202).end()
    expect(await sink.deliver([record(1), record(2), record(3)])).toMatchObject({ delivered: 1, rejected: 0, error: { message: 'the receiver answered 503' } })
    expect(await sink.deliver([record(2), record(3)])).toMatchObject({ delivered: 2, rejected: 0, error: null })
    const sent = receiver.received.map(({ headers }) => `${String(headers['ce-recordid'])} ${String(headers['ce-type']).split('.').at(-1)}`)
    // The answer of record 2 twice, since it failed once; everything else once.
    expect(sent).toEqual(['1 request', '1 response', '2 request', '2 response', '2 response', '3 request', '3 response'])
  })

  test('nothing is sent twice or lost, whatever fails when', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(202, 202, 202, 503, 400), { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 4), async (answers, count, batch) => {
      const sink = make({ batch })
      const taken: string[] = []
      const refused: string[] = []
      const queue = [...answers]
      receiver.answer = (request, response) => {
        const status = queue.shift() ?? 202
        const keys = batch === 1 ? [`${String(request.headers['ce-recordid'])} ${String(request.headers['ce-type'])}`] : (JSON.parse(request.body.toString()) as { recordid: string; type: string }[]).map(({ recordid, type }) => `${recordid} ${type}`)
        if (status === 202) taken.push(...keys)
        if (status === 400 && keys.length === 1) refused.push(...keys)
        response.writeHead(status).end()
      }
      let left = Array.from({ length: count }, (_, i) => record(i))
      let [delivered, rejected] = [0, 0]
      while (left.length > 0) {
        const delivery = await sink.deliver(left)
        delivered += delivery.delivered
        rejected += delivery.rejected
        left = left.slice(delivery.delivered + delivery.rejected)
        expect(delivery.error === null).toBe(left.length === 0)
      }
      expect(delivered + rejected).toBe(count)
      expect(taken.length + refused.length).toBe(2 * count)
      expect(new Set([...taken, ...refused]).size).toBe(2 * count)
      expect(new Set(refused.map((key) => key.split(' ')[0])).size).toBe(rejected)
    }), { numRuns: 40 })
  })

  test('a receiver that is not there: everything comes again', async () => {
    const sink = make({ url: `http://127.0.0.1:${await freePort()}/` })
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 0, rejected: 0, error: { message: expect.stringContaining('ECONNREFUSED') } })
  })

  test('a receiver that does not answer: after the timeout everything comes again', async () => {
    const own = deps()
    const sink = make({ delivery: { timeout_ms: 5000, backoff_ms: 1, max_backoff_ms: 1, connections: 1 } }, own)
    receiver.answer = () => own.clock.advance(5000)
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 0, error: { message: 'no answer within 5000 ms' } })
    expect(own.clock.pending).toBe(0)
  })

  test('a receiver that cuts the connection: everything comes again', async () => {
    receiver.answer = (_request, response) => response.socket!.destroy()
    expect(await make().deliver([record(1)])).toMatchObject({ delivered: 0, rejected: 0, error: expect.any(Error) })
  })

  test('Retry-After is kept, no longer than max_backoff', async () => {
    const own = deps()
    const sink = make({ delivery: { timeout_ms: 5000, backoff_ms: 1, max_backoff_ms: 3000, connections: 1 } }, own)
    receiver.answer = (_request, response) => void response.writeHead(429, { 'retry-after': '60' }).end()
    await sink.deliver([record(1)])
    statuses()
    own.clock.advance(2999)
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 0, error: { message: 'the receiver asked to wait 1 s' } })
    expect(receiver.received).toHaveLength(1)
    own.clock.advance(1)
    expect(await sink.deliver([record(1)])).toMatchObject({ delivered: 1, error: null })
  })

  test('a date is read by the clock of the receiver, by ours where that tells none', async () => {
    for (const [date, wait] of [['Tue, 14 Nov 2023 22:13:20 GMT', 10], [undefined, 4]] as const) {
      const own = deps(new FakeClock(Date.parse('2023-11-14T22:13:26Z')))
      receiver.answer = (_request, response) => {
        response.sendDate = false
        response.writeHead(503, { 'retry-after': 'Tue, 14 Nov 2023 22:13:30 GMT', ...(date !== undefined && { date }) }).end()
      }
      const sink = make({}, own)
      await sink.deliver([record(1)])
      expect(await sink.deliver([record(1)])).toMatchObject({ error: { message: `the receiver asked to wait ${wait} s` } })
    }
  })
})

describe('probe', () => {
  test('connects and sends nothing', async () => {
    await make().probe()
    expect(receiver.connections()).toBe(1)
    expect(receiver.received).toEqual([])
  })
  test('says why it cannot', async () => expect(make({ url: `http://127.0.0.1:${await freePort()}/` }).probe()).rejects.toThrow('ECONNREFUSED'))
  test('of a name that is none', async () => expect(make({ url: 'http://nowhere.invalid/' }).probe()).rejects.toThrow())
})
