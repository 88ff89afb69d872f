/** What a log keeps of an exchange, of which, and when: on a fake clock, with records that are a list. */
import { createHash } from 'node:crypto'
import { describe, expect, it, test } from 'vitest'
import { WeirError } from '../../gateway/errors.ts'
import { Answer, reply, type Send } from '../../gateway/exchange.ts'
import { rows } from '../../gateway/payload/rows.ts'
import { type LogRecord, type Plugin, plugin, type Records, Type } from '../../gateway/plugin.ts'
import { runDone, runFinish, runRequest, runResponse } from '../../gateway/pipeline/run.ts'
import log from '../../plugins/log.ts'
import { FakeClock } from '../fake_clock.ts'
import { type Bench, collect, HandFlow, pipelineTest, pluginTest, type Setup } from '../plugin_test.ts'

class FakeRecords implements Records {
  readonly kept: LogRecord[] = []
  takes = true
  /** Settles what waits. */
  open: (() => void) | null = null
  #room: Promise<void> | null = null

  append(record: LogRecord): boolean {
    // A record is written before `append` returns: what changes later must not be seen.
    if (this.takes) this.kept.push(structuredClone(record))
    return this.takes
  }

  room(): Promise<void> | null {
    return this.#room
  }

  fill(): void {
    this.#room = new Promise((resolve) => (this.open = () => {
      this.#room = null
      resolve()
    }))
  }
}

const text = (body: LogRecord['request']): string | null => (body === null ? null : Buffer.from(body.bytes).toString())

async function logged(options: object = {}, setup: Setup = {}): Promise<{ readonly bench: Bench; readonly records: FakeRecords }> {
  const records = new FakeRecords()
  return { bench: await pluginTest(log, { sink: 'lake', ...options }, { ...setup, records: { lake: records } }), records }
}

const json = (status: number, value: unknown): Answer => reply(status, value)

describe('a record', () => {
  it('has what came, what went and what happened between', async () => {
    const clock = new FakeClock()
    const answering: Send = (x) => {
      x.arm = 'v2'
      x.fallback = 'main;timeout'
      x.flags = ['rate_limit:observed']
      x.waited = 30
      clock.advance(40)
      const answer = json(201, { score: 0.5 })
      answer.model = { name: 'fraud', version: '3' }
      answer.headers.push('x-cost', '7')
      return answer
    }
    const { bench, records } = await logged({ headers: { request: ['X-Tier'], response: ['x-cost'] } }, { backends: { main: answering }, clock, format: rows, route: 'fraud' })
    const wall = clock.wall()
    await bench.run({ target: '/score?u=1', headers: ['Content-Type', 'application/json', 'X-Tier', 'gold', 'Cookie', 'secret'], body: '{"age":3}' })
    expect(records.kept).toHaveLength(1)
    const { record_id, request, response, ...rest } = records.kept[0]!
    expect(rest).toEqual({
      inference_id: '01890a5d-ac96-774b-bcce-b302099a8057', request_id: 'request-1', time: wall, route: 'fraud', backend: 'main', arm: 'v2', model: 'fraud', version: '3',
      method: 'POST', target: '/score?u=1', status: 201, reason: '', flags: ['rate_limit:observed'], attempts: 1, fallback: 'main;timeout', duration_ms: 40, backend_ms: 30,
      format: 'rows', request_headers: ['x-tier', 'gold'], response_headers: ['x-cost', '7'], sent: null,
    })
    // RFC 9562, 5.7: version 7, variant 10, the time of the inference id.
    expect(record_id).toMatch(/^01890a5d-ac96-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(record_id).not.toBe(rest.inference_id)
    expect({ ...request, bytes: text(request) }).toEqual({ bytes: '{"age":3}', length: 9, truncated: false, type: 'application/json', encoding: '' })
    expect({ ...response, bytes: text(response) }).toEqual({ bytes: '{"score":0.5}', length: 13, truncated: false, type: 'application/json', encoding: '' })
    expect(bench.metric('weir_log_records_total', { outcome: 'accepted' })).toBe(1)
    await bench.close()
  })

  it('is written before the last byte passes', async () => {
    const { bench, records } = await logged()
    const { x } = await run(bench, { status: 200 })
    expect(records.kept).toHaveLength(0)
    runFinish(bench.route, x)
    expect(records.kept).toHaveLength(1)
    runDone(bench.route, x)
    expect(records.kept).toHaveLength(1)
    await bench.close()
  })

  it('has what the backend got, where plugins changed it', async () => {
    const looksUp = plugin({
      name: 'lookup', summary: 'Adds a feature.', stability: 'stable', onError: 'closed', config: Type.Object({}), example: {},
      build: () => ({ requestBody: (x) => void (x.body = Buffer.from('{"age":3,"orders":9}')) }),
    })
    const records = new FakeRecords()
    const bench = await pipelineTest([[log as unknown as Plugin, { sink: 'lake', redact: { paths: ['$.orders'] } }], [looksUp as unknown as Plugin]], { records: { lake: records } })
    await bench.run({ body: '{"age":3}' })
    expect([text(records.kept[0]!.request), text(records.kept[0]!.sent)]).toEqual(['{"age":3}', '{"age":3,"orders":"[redacted]"}'])
    await bench.close()
  })

  it('tells two logs of one route apart', async () => {
    const [lake, other] = [new FakeRecords(), new FakeRecords()]
    const bench = await pipelineTest([[log as unknown as Plugin, { sink: 'lake' }], [log as unknown as Plugin, { sink: 'other', what: 'none' }]], { records: { lake, other } })
    await bench.run({ body: 'a' })
    expect(lake.kept[0]!.record_id).not.toBe(other.kept[0]!.record_id)
    expect([lake.kept[0]!.request, other.kept[0]!.request, other.kept[0]!.response].map((body) => body === null)).toEqual([false, true, true])
    await bench.close()
  })

  test.each([
    ['request', 'in', null],
    ['response', null, 'main'],
    ['none', null, null],
  ])('of `what: %s` has those bodies', async (what, request, response) => {
    const { bench, records } = await logged({ what })
    await bench.run({ body: 'in' })
    expect([text(records.kept[0]!.request), text(records.kept[0]!.response)]).toEqual([request, response])
    await bench.close()
  })

  it('keeps the beginning of a long body, and says so', async () => {
    const { bench, records } = await logged({ max_body: 4 }, { backends: { main: () => new Answer(200, [], Buffer.from('abcd')) } })
    await bench.run({ body: '0123456789' })
    const [record] = records.kept
    expect({ ...record!.request, bytes: text(record!.request) }).toMatchObject({ bytes: '0123', length: 10, truncated: true })
    expect({ ...record!.response, bytes: text(record!.response) }).toMatchObject({ bytes: 'abcd', length: 4, truncated: false })
    expect(bench.metric('weir_log_truncated_total')).toBe(1)
    await bench.close()
  })
})

/** An exchange up to where its answer would go out. */
async function run(bench: Bench, { status = 200, flow = null as HandFlow | null, upload = null as HandFlow | null } = {}): Promise<{ readonly x: ReturnType<Bench['exchange']> }> {
  const x = bench.exchange({ body: upload ?? 'in' })
  await runRequest(bench.route, x)
  x.answer = new Answer(status, ['content-type', 'text/event-stream'], flow ?? Buffer.from('out'))
  x.phase = 'response'
  await runResponse(bench.route, x)
  x.status = status
  return { x }
}

describe('bodies on their way', () => {
  it('pass as they come, and are copied', async () => {
    const { bench, records } = await logged({ max_body: 5 })
    const [upload, flow] = [new HandFlow(), new HandFlow(9)]
    const { x } = await run(bench, { upload, flow })
    const asked = collect(x.body)
    upload.push('ab')
    upload.push('cd')
    upload.end()
    expect((await asked).toString()).toBe('abcd')
    const answered = collect(x.answer!.body)
    expect((x.answer!.body as HandFlow).length).toBe(9)
    // The source may use its memory again once it has pushed.
    const chunk = Buffer.from('012')
    flow.sink!.data(chunk)
    chunk.fill('x')
    flow.push('345')
    flow.push('678')
    runFinish(bench.route, x)
    flow.end()
    await answered
    runDone(bench.route, x)
    const [record] = records.kept
    expect({ ...record!.request, bytes: text(record!.request) }).toMatchObject({ bytes: 'abcd', length: 4, truncated: false })
    expect({ ...record!.response, bytes: text(record!.response) }).toMatchObject({ bytes: '01234', length: 9, truncated: true, type: 'text/event-stream' })
    await bench.close()
  })

  it('that break off are kept as far as they came', async () => {
    const { bench, records } = await logged()
    const flow = new HandFlow()
    const { x } = await run(bench, { flow })
    const answered = collect(x.answer!.body)
    flow.push('data: 1\n\n')
    flow.fail(new WeirError('IDLE_TIMEOUT'))
    await expect(answered).rejects.toThrow()
    runDone(bench.route, x)
    expect(records.kept[0]).toMatchObject({ status: 200, reason: 'IDLE_TIMEOUT' })
    expect({ ...records.kept[0]!.response, bytes: text(records.kept[0]!.response) }).toMatchObject({ bytes: 'data: 1\n\n', length: -1, truncated: true })
    await bench.close()
  })

  it('are not copied for an exchange that is not kept', async () => {
    const { bench, records } = await logged({ when: 'header["x-keep"] == "1"' })
    const flow = new HandFlow()
    const upload = new HandFlow()
    const { x } = await run(bench, { flow, upload })
    expect([x.body, x.answer!.body]).toEqual([upload, flow])
    expect(x.body).toBe(upload)
    expect(x.answer!.body).toBe(flow)
    runDone(bench.route, x)
    expect(records.kept).toHaveLength(0)
    await bench.close()
  })
})

describe('every outcome', () => {
  it('a backend that fails, as weir answers it', async () => {
    const { bench, records } = await logged({}, { backends: { main: () => Promise.reject(new WeirError('CONNECT_FAILED')) } })
    await bench.run({ body: 'in' })
    expect(records.kept).toHaveLength(1)
    expect(records.kept[0]).toMatchObject({ status: 503, reason: 'CONNECT_FAILED', backend: '', attempts: 1 })
    expect(JSON.parse(text(records.kept[0]!.response)!)).toMatchObject({ code: 'CONNECT_FAILED' })
    await bench.close()
  })

  it('a backend that answers an error', async () => {
    const { bench, records } = await logged({}, { backends: { main: () => json(500, { error: 'no' }) } })
    await bench.run({})
    expect(records.kept[0]).toMatchObject({ status: 500, reason: '', backend: 'main', request: null })
    await bench.close()
  })

  it('a caller that left before the answer, whatever was on its way', async () => {
    const { bench, records } = await logged()
    const x = bench.exchange({ body: 'in' })
    await runRequest(bench.route, x)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    x.error = new WeirError('CALLER_LEFT')
    x.answer = new Answer(200, [], Buffer.from('late'))
    runDone(bench.route, x)
    expect(records.kept).toHaveLength(1)
    expect(records.kept[0]).toMatchObject({ status: 499, reason: 'CALLER_LEFT', response: null })
    expect(text(records.kept[0]!.request)).toBe('in')
    await bench.close()
  })

  it('a caller that left in the middle of it', async () => {
    const { bench, records } = await logged()
    const flow = new HandFlow()
    const { x } = await run(bench, { flow })
    void collect(x.answer!.body)
    flow.push('abc')
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    runDone(bench.route, x)
    expect(records.kept[0]).toMatchObject({ status: 200, reason: 'CALLER_LEFT' })
    expect(text(records.kept[0]!.response)).toBe('abc')
    await bench.close()
  })

  it('an answer without a body', async () => {
    const { bench, records } = await logged()
    await bench.run({ method: 'HEAD' })
    expect(records.kept[0]).toMatchObject({ method: 'HEAD', status: 200, response: null })
    await bench.close()
  })

  it('what the spool does not take is counted', async () => {
    const { bench, records } = await logged()
    records.takes = false
    await bench.run({})
    await bench.run({})
    expect(bench.metric('weir_log_records_total', { outcome: 'dropped' })).toBe(2)
    expect(bench.metric('weir_log_records_total', { outcome: 'accepted' })).toBe(0)
    await bench.close()
  })
})

describe('which exchanges', () => {
  /** By the definition in the option's description, with another reading of the digest. */
  const below = (id: string, share: number): boolean => Number(createHash('sha256').update(id).digest().readBigUInt64BE() >> 11n) / 2 ** 53 < share

  test.each(['request_id', 'inference_id'] as const)('a share, by the hash of the %s', async (by) => {
    const { bench, records } = await logged({ sample: '50%', by })
    const expected: string[] = []
    for (let i = 0; i < 200; i++) {
      const x = bench.exchange()
      const own = Object.assign(x, { requestId: `request-${i}`, inferenceId: `01890a5d-ac96-774b-bcce-${String(i).padStart(12, '0')}` })
      if (below(by === 'request_id' ? own.requestId : own.inferenceId, 0.5)) expected.push(own.requestId)
      await runRequest(bench.route, x)
      x.answer = new Answer(200, [], null)
      x.status = 200
      runFinish(bench.route, x)
      runDone(bench.route, x)
    }
    expect(records.kept.map((record) => record.request_id)).toEqual(expected)
    expect(expected.length).toBeGreaterThan(50)
    await bench.close()
  })

  it('a condition on the request', async () => {
    const { bench, records } = await logged({ when: 'header["x-tier"] == "gold"' })
    await bench.run({ headers: ['x-tier', 'gold'], target: '/1' })
    await bench.run({ headers: ['x-tier', 'iron'], target: '/2' })
    expect(records.kept.map(({ target }) => target)).toEqual(['/1'])
    await bench.close()
  })

  it('a condition on columns of the request', async () => {
    const { bench, records } = await logged({ when: 'input.age > 2' }, { format: rows, backends: { main: () => json(200, {}) } })
    await bench.run({ body: '{"age":3}', target: '/1' })
    await bench.run({ body: '{"age":1}', target: '/2' })
    await bench.run({ body: 'no JSON', target: '/3' })
    expect(records.kept.map(({ target }) => target)).toEqual(['/1'])
    await bench.close()
  })

  it('a condition on the status, judged at the end', async () => {
    const statuses = [200, 503, 404]
    const { bench, records } = await logged({ when: 'status >= 500' }, { backends: { main: () => json(statuses.shift()!, {}) } })
    for (const target of ['/1', '/2', '/3']) await bench.run({ target, body: 'in' })
    expect(records.kept.map(({ target }) => target)).toEqual(['/2'])
    expect(text(records.kept[0]!.request)).toBe('in')
    await bench.close()
  })

  it('a condition on the body of the answer is refused', async () => {
    await expect(logged({ when: 'output.score > 0.5' }, { format: rows })).rejects.toThrow(/output/)
  })
})

describe('redaction', () => {
  it('takes values out of bodies, fields and the query, and nothing else', async () => {
    const { bench, records } = await logged(
      { headers: { request: ['authorization', 'x-tier'], response: ['set-cookie'] }, redact: { paths: ['$.user.email', 'output.score'], headers: ['Authorization', 'set-cookie'], query: ['token', 'a b'] } },
      { backends: { main: () => reply(200, { score: 0.5, n: 1 }, ['Set-Cookie', 'secret']) } },
    )
    const target = '/p?x=1&token=secret&a+b=secret&a%20b=secret&%74oken=secret&tokens=fine'
    const { answer, x } = await bench.run({ target, headers: ['Authorization', 'secret', 'x-tier', 'gold'], body: '{"user":{"email":"secret","n":1.0}}' })
    const [record] = records.kept
    expect(JSON.stringify(record)).not.toContain(Buffer.from('secret').toString('base64'))
    expect(record!.target).toBe('/p?x=1&token=%5Bredacted%5D&a+b=%5Bredacted%5D&a%20b=%5Bredacted%5D&%74oken=%5Bredacted%5D&tokens=fine')
    expect(record!.request_headers).toEqual(['authorization', '[redacted]', 'x-tier', 'gold'])
    expect(record!.response_headers).toEqual(['set-cookie', '[redacted]'])
    expect(text(record!.request)).toBe('{"user":{"email":"[redacted]","n":1.0}}')
    expect(text(record!.response)).toBe('{"score":"[redacted]","n":1}')
    // The exchange itself keeps everything.
    expect([x.target, x.headers[1], String(x.body), String(answer.body)]).toEqual([target, 'secret', '{"user":{"email":"secret","n":1.0}}', '{"score":0.5,"n":1}'])
    await bench.close()
  })

  test.each([
    ['cannot be read', {}, 'email=secret'],
    ['was cut', { max_body: 10 }, '{"n":1,"email":"secret"}'],
  ])('a body that %s is not kept', async (_name, options, body) => {
    const { bench, records } = await logged({ ...options, redact: { paths: ['$.email'] }, what: 'request' })
    await bench.run({ body })
    const [record] = records.kept
    expect({ ...record!.request, bytes: text(record!.request) }).toMatchObject({ bytes: '', length: body.length, truncated: true })
    expect(record!.flags).toEqual(['unredactable'])
    expect(bench.metric('weir_log_unredactable_total')).toBe(1)
    await bench.close()
  })

  it('a path that cannot be read is refused at load', async () => {
    await expect(logged({ redact: { paths: ['$.a[?(@.b)]'] } })).rejects.toThrow(/cannot be read/)
  })
})

describe('on_full: block', () => {
  it('waits for room', async () => {
    const { bench, records } = await logged({ on_full: 'block' })
    records.fill()
    const running = bench.run({ body: 'in' })
    await Promise.resolve()
    expect(bench.metric('weir_log_waiting')).toBe(1)
    records.open!()
    expect((await running).answer.status).toBe(200)
    expect(records.kept).toHaveLength(1)
    expect([bench.metric('weir_log_waiting'), bench.clock.pending]).toEqual([0, 0])
    await bench.close()
  })

  it('no longer than queue_wait, then 503', async () => {
    const { bench, records } = await logged({ on_full: 'block', queue_wait: '200ms' })
    records.fill()
    const running = bench.run({})
    await bench.clock.tick(199)
    expect(bench.metric('weir_log_waiting')).toBe(1)
    await bench.clock.tick(1)
    const { answer } = await running
    expect([answer.status, answer.code]).toEqual([503, 'OVERLOADED'])
    expect(bench.metric('weir_log_refused_total', { reason: 'queue_wait' })).toBe(1)
    expect(records.kept).toHaveLength(0)
    await bench.close()
  })

  it('no longer than the deadline of the request', async () => {
    const { bench, records } = await logged({ on_full: 'block', queue_wait: '10s' })
    records.fill()
    const x = bench.exchange()
    x.leg.deadline = bench.clock.now() + 50
    const verdict = runRequest(bench.route, x)
    await bench.clock.tick(50)
    expect((await verdict)!.status).toBe(503)
    runDone(bench.route, x)
    await bench.close()
  })

  it('no more than `queue` at once', async () => {
    const { bench, records } = await logged({ on_full: 'block', queue: 1 })
    records.fill()
    const first = bench.run({})
    const { answer } = await bench.run({})
    expect(answer.status).toBe(503)
    expect(bench.metric('weir_log_refused_total', { reason: 'queue_full' })).toBe(1)
    records.open!()
    expect((await first).answer.status).toBe(200)
    await bench.close()
  })

  it('not for a caller that left', async () => {
    const { bench, records } = await logged({ on_full: 'block' })
    records.fill()
    const x = bench.exchange()
    const verdict = runRequest(bench.route, x)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await verdict
    expect([bench.metric('weir_log_waiting'), bench.clock.pending]).toEqual([0, 0])
    runDone(bench.route, x)
    expect(records.kept[0]).toMatchObject({ status: 499, reason: 'CALLER_LEFT' })
    await bench.close()
  })
})
