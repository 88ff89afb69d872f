import { describe, expect, test } from 'vitest'
import { Answer, type Exchange, type Flow, type Format, type Leg, type LegWatcher, reply } from '../../gateway/exchange.ts'
import { type Code, WeirError } from '../../gateway/errors.ts'
import type { Fields } from '../../gateway/headers.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { HOLD_BYTES, type Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import split from '../../plugins/split.ts'
import { columnsFormat } from '../expression/columns_format.ts'
import { settled } from '../fake_clock.ts'
import { type Bench, HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

const failing = (code: Code) => (): Promise<Answer> => Promise.reject(new WeirError(code))
const answering = (status: number, body = String(status)) => (): Answer => reply(status, body)
const json = (text: string, status = 200) => (): Answer => new Answer(status, ['content-type', 'application/json'], Buffer.from(text))
const good = { second: answering(200, 'second'), third: answering(200, 'third') }

/** [status, body, x-weir-fallback] of one request. */
async function outcome(bench: Bench, init: object = {}): Promise<readonly [number, string, string]> {
  const { answer, body, x } = await bench.run(init)
  return [answer.status, body, x.fallback]
}

describe('what falls back', () => {
  test.each<[Code, string]>([
    ['CONNECT_FAILED', 'connect'],
    ['DNS_FAILED', 'connect'],
    ['RESET', 'reset'],
    ['HEADERS_TIMEOUT', 'timeout'],
    ['TRY_TIMEOUT', 'timeout'],
    ['NO_ENDPOINT', 'ejected'],
    ['OVERLOADED', 'overload'],
    ['BAD_ANSWER', 'invalid'],
    ['NO_COVERAGE', 'no_coverage'],
    ['SCHEMA', 'schema'],
  ])('%s, when `on` lists %s', async (code, reason) => {
    const backends = { main: failing(code), ...good }
    const bench = await pluginTest(fallback, { to: ['second'], on: [reason] }, { backends })
    expect(await outcome(bench)).toEqual([200, 'second', `main;${reason}`])
    expect(bench.metric('weir_fallback_total', { route: 'test', from: 'main', to: 'second', reason })).toBe(1)
    expect(bench.log).toEqual([{ level: 'warn', message: 'fell back', fields: { route: 'test', plugin: 'fallback', from: 'main', to: 'second', reason, request_id: 'request-1' } }])
    const without = await pluginTest(fallback, { to: ['second'], on: [418] }, { backends })
    expect((await without.run()).answer.code).toBe(code)
    expect(without.metric('weir_fallback_total')).toBe(0)
  })

  test.each([
    [[503], 503, '503'],
    [['503'], 503, '503'],
    [['5xx'], 599, '5xx'],
    [['5xx', 503], 503, '503'],
    [['gateway-error'], 502, 'gateway-error'],
    [['5xx', 'gateway-error'], 504, 'gateway-error'],
    [[429], 429, '429'],
    [[404], 404, '404'],
  ])('with on: %j a %i, for the reason %s', async (on, status, reason) => {
    const bench = await pluginTest(fallback, { to: ['second'], on }, { backends: { main: answering(status), ...good } })
    expect(await outcome(bench)).toEqual([200, 'second', `main;${reason}`])
  })

  test.each([[['5xx'], 499], [['gateway-error'], 500], [['503'], 502], [['timeout', 'connect'], 503]])('not with on: %j a %i', async (on, status) => {
    const bench = await pluginTest(fallback, { to: ['second'], on }, { backends: { main: answering(status), ...good } })
    expect(await outcome(bench)).toEqual([status, String(status), ''])
  })

  test('`5xx` includes what weir would answer for that backend, but never what the caller did', async () => {
    const on = ['5xx', 499, 400, 408]
    const connect = await pluginTest(fallback, { to: ['second'], on }, { backends: { main: failing('CONNECT_FAILED'), ...good } })
    expect(await outcome(connect)).toEqual([200, 'second', 'main;5xx'])
    for (const code of ['CALLER_LEFT', 'MODEL_INPUT', 'REQUEST_TIMEOUT', 'INTERNAL'] as const) {
      const bench = await pluginTest(fallback, { to: ['second'], on }, { backends: { main: failing(code), ...good } })
      expect((await bench.run()).answer.code).toBe(code)
    }
  })

  test('a backend that answers with an error of weir is judged by its code', async () => {
    const main = (): Answer => Object.assign(reply(503, ''), { code: 'OVERLOADED' })
    const bench = await pluginTest(fallback, { to: ['second'], on: ['overload'] }, { backends: { main, ...good } })
    expect(await outcome(bench)).toEqual([200, 'second', 'main;overload'])
  })

  test('a good answer stays synchronous and unmarked', async () => {
    const bench = await pluginTest(fallback, { to: ['second'], on: ['5xx', 'invalid'] }, { backends: good })
    const x = bench.exchange()
    expect(bench.route.send(x, x.leg)).toBeInstanceOf(Answer)
    expect(x.fallback).toBe('')
  })
})

describe('the order', () => {
  test('targets in turn; the header tells of the first failure, the metric of every move', async () => {
    const backends = { main: failing('RESET'), second: answering(503), third: answering(200, 'third') }
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends })
    expect(await outcome(bench)).toEqual([200, 'third', 'main;reset'])
    expect(bench.metric('weir_fallback_total', { from: 'main', to: 'second', reason: 'reset' })).toBe(1)
    expect(bench.metric('weir_fallback_total', { from: 'second', to: 'third', reason: '5xx' })).toBe(1)
  })

  test('a target that has already failed is skipped: the arm of a split, and a repeated one', async () => {
    let seconds = 0
    const second = (): Promise<Answer> => (seconds++, Promise.reject(new WeirError('RESET')))
    const plugins = [
      [split as unknown as Plugin, { arms: { second: 1 } }],
      [fallback as unknown as Plugin, { to: ['second', 'third', 'second'] }],
    ] as const
    const bench = await pipelineTest(plugins, { backends: { second, third: failing('CONNECT_FAILED') } })
    const { answer } = await bench.run()
    expect([seconds, answer.code]).toEqual([1, 'RESET'])
    expect(bench.metric('weir_fallback_total', { from: 'second', to: 'third' })).toBe(1)
  })

  test('each target gets the same request', async () => {
    const seen: string[] = []
    const look = (status: number) => (x: Exchange): Answer => (seen.push(`${x.method} ${x.target} ${x.body}`), reply(status, ''))
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends: { main: look(500), second: look(500), third: look(200) } })
    expect(bench.route.replayBytes).toBe(1 << 20)
    await bench.run({ method: 'POST', target: '/p?q', body: 'body' })
    expect(seen).toEqual(['POST /p?q body', 'POST /p?q body', 'POST /p?q body'])
  })
})

describe('when every target fails', () => {
  test('the first failure is reported', async () => {
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends: { main: failing('HEADERS_TIMEOUT'), second: failing('RESET'), third: failing('CONNECT_FAILED') } })
    const { answer, x } = await bench.run()
    expect([answer.code, x.fallback, x.error?.code]).toEqual(['HEADERS_TIMEOUT', '', 'HEADERS_TIMEOUT'])
    expect(bench.metric('weir_fallback_exhausted_total', { route: 'test' })).toBe(1)
  })

  test('the first failure is an answer: it is passed on whole', async () => {
    const flow = new HandFlow()
    const main = (): Answer => new Answer(503, ['x-why', 'deploying'], flow)
    let release = (): void => undefined
    const second = (): Promise<Answer> => new Promise((_resolve, reject) => (release = () => reject(new WeirError('RESET'))))
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main, second } })
    const running = bench.run()
    await settled()
    flow.push('come ')
    release()
    await settled()
    flow.push('back')
    flow.end()
    const { answer, body, x } = await running
    expect([answer.status, answer.headers, body, x.fallback]).toEqual([503, ['x-why', 'deploying'], 'come back', ''])
  })

  test('also when the last one answered with an error of its own', async () => {
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: failing('RESET'), second: answering(500, 'of second') } })
    const { answer, x } = await bench.run()
    expect([answer.code, answer.backend, x.fallback]).toEqual(['RESET', '', ''])
    expect(bench.metric('weir_fallback_exhausted_total')).toBe(1)
  })

  test('a chain that was begun goes on behind a target that gives no answer, whatever `on` lists', async () => {
    const backends = { main: failing('HEADERS_TIMEOUT'), second: failing('MODEL_INPUT'), third: good.third }
    const bench = await pluginTest(fallback, { to: ['second', 'third'], on: ['timeout'] }, { backends })
    expect(await outcome(bench)).toEqual([200, 'third', 'main;timeout'])
    expect(bench.metric('weir_fallback_total', { from: 'second', to: 'third', reason: 'local' })).toBe(1)
  })

  test('with nobody else to ask the failure goes through as it is', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(fallback, { to: ['main'] }, { backends: { main: () => new Answer(503, [], flow) } })
    const running = bench.run()
    await settled()
    flow.push('x')
    flow.end()
    const { answer, body } = await running
    expect([answer.status, body]).toEqual([503, 'x'])
    expect(bench.metric('weir_fallback_exhausted_total')).toBe(0)
  })
})

describe('bodies of answers', () => {
  const flowing = (flow: HandFlow, status = 200, type = 'application/json') => (): Answer => new Answer(status, ['content-type', type], flow)

  test('of a failed answer: cancelled once another one is there', async () => {
    const flows = [new HandFlow(), new HandFlow()]
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends: { main: flowing(flows[0]!, 500), second: flowing(flows[1]!, 500), third: good.third } })
    expect(await outcome(bench)).toEqual([200, 'third', 'main;5xx'])
    expect(flows.map((flow) => flow.cancelled)).toEqual([true, true])
  })

  test('cut before it was whole: falls back, nothing of it is seen', async () => {
    const flow = new HandFlow(100)
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: flowing(flow), ...good } })
    const running = outcome(bench)
    await settled()
    flow.push('{"half":')
    flow.fail(new WeirError('RESET'))
    expect(await running).toEqual([200, 'second', 'main;reset'])
  })

  test('an event stream goes on at once; cut later it stays cut', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: flowing(flow, 200, 'text/event-stream'), ...good } })
    const cut = expect(bench.run()).rejects.toMatchObject({ code: 'RESET' })
    await settled()
    expect(flow.sink).not.toBeNull()
    flow.push('data: 1\n\n')
    flow.fail(new WeirError('RESET'))
    await cut
  })

  test('longer than what is held: goes on from its first byte', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: flowing(flow), ...good } })
    const running = outcome(bench)
    await settled()
    const long = 'x'.repeat(HOLD_BYTES)
    flow.push(long)
    flow.push('end')
    await settled()
    flow.end()
    expect(await running).toEqual([200, `${long}end`, ''])
  })
})

describe('request bodies', () => {
  test('one that streamed past `replay` cannot be sent again: counted, the failure is reported', async () => {
    const flow: Flow = new HandFlow()
    const bench = await pluginTest(fallback, { to: ['second'], replay: '64KiB' }, { backends: { main: failing('RESET'), ...good } })
    expect(bench.route.replayBytes).toBe(65_536)
    const { answer } = await bench.run({ body: flow })
    expect(answer.code).toBe('RESET')
    expect(bench.metric('weir_fallback_impossible_total', { route: 'test' })).toBe(1)
    expect(bench.metric('weir_fallback_total')).toBe(0)
  })
})

describe('the caller leaves', () => {
  const untilCancelled = (_x: Exchange, leg: Leg): Promise<Answer> =>
    new Promise((_resolve, reject) => {
      const watcher: LegWatcher = { legCancelled: reject }
      leg.watch(watcher)
    })

  test('while a target is asked: it is stopped, nobody else is asked', async () => {
    let seconds = 0
    const bench = await pluginTest(fallback, { to: ['second'], on: ['timeout', 'reset', '5xx', 499] }, { backends: { main: untilCancelled, second: () => (seconds++, reply(200, '')) } })
    const x = bench.exchange()
    const sent = Promise.resolve(bench.route.send(x, x.leg))
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(sent).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    expect(seconds).toBe(0)
  })

  test('between two targets, and while an answer is held: its body is cancelled', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends: { main: failing('RESET'), second: () => new Answer(200, [], flow), third: good.third } })
    const x = bench.exchange()
    const sent = Promise.resolve(bench.route.send(x, x.leg))
    await settled()
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(sent).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    expect([flow.cancelled, x.attempts, x.fallback]).toEqual([true, 2, ''])
  })
})

describe('invalid', () => {
  const sound = ['score', 'label'].map((name): Column => ({ name, dtype: 'FP32', shape: [1], data: new Float32Array([1]) }))

  /** The body of the first backend when it is let through, else why it was not. The second one is sound in any format. */
  const run = async (main: () => Answer, format?: Format, openai = false): Promise<string> => {
    const lenient = format && { ...format, readAnswer: (body: Buffer, fields: Fields) => (body.toString() === 'second' ? { columns: sound } : format.readAnswer(body, fields)) }
    const bench = await pluginTest(fallback, { to: ['second'], on: ['invalid'] }, { backends: { main, ...good }, openai, ...(lenient && { format: lenient }) })
    const { x, body } = await bench.run({ body: '{}' })
    return x.fallback === '' ? body : x.fallback
  }

  test.each(['{"a":', '', '{"error":"overloaded"}', '{"error":{"message":"x"}}', 'NaN'])('%j is', async (text) => {
    expect(await run(json(text))).toBe('main;invalid')
  })

  test.each(['{"a":1}', '[]', 'null', '"error"', '{"error":null}', '{"a":{"error":1}}', '[{"error":1}]'])('%j is not', async (text) => {
    expect(await run(json(text))).toBe(text)
  })

  test('only 2xx are looked at, only JSON by its type, nothing compressed', async () => {
    expect(await run(json('{"error":"x"}', 400))).toBe('{"error":"x"}')
    expect(await run(() => new Answer(200, ['content-type', 'text/plain'], Buffer.from('{"a":')))).toBe('{"a":')
    expect(await run(() => new Answer(200, ['content-type', 'application/json', 'content-encoding', 'gzip'], Buffer.from('\x1f\x8b')))).toBe('\x1f\x8b')
    expect(await run(() => new Answer(200, ['Content-Type', 'application/problem+json; charset=utf-8'], Buffer.from('{"a":')))).toBe('main;invalid')
    expect(await run(() => new Answer(204, ['content-type', 'application/json'], null))).toBe('')
  })

  const column = (data: Column['data'], dtype: Column['dtype']): Column => ({ name: 'score', dtype, shape: [data.length], data })

  test.each([
    ['NaN', column(new Float32Array([0.5, Number.NaN]), 'FP32')],
    ['Infinity', column(new Float64Array([Infinity]), 'FP64')],
    ['a half NaN', column(new Uint16Array([0x7e00]), 'FP16')],
    ['a brain Infinity', column(new Uint16Array([0x7f80]), 'BF16')],
  ])('an output that holds %s is', async (_what, broken) => {
    expect(await run(json('{}'), columnsFormat([broken]))).toBe('main;invalid')
  })

  test('an output of numbers is not, nor integers with all bits set', async () => {
    expect(await run(json('{}'), columnsFormat([column(new Float32Array([0.5]), 'FP32'), column(new Uint16Array([0xffff]), 'UINT16'), column(new Uint16Array([0x3c00]), 'FP16')]))).toBe('{}')
  })

  test('an answer the format cannot read is, and one that lacks an output that was asked for', async () => {
    const scores = columnsFormat([column(new Float32Array([1]), 'FP32')])
    const unreadable: Format = {
      ...scores,
      readAnswer: () => {
        throw new WeirError('INVALID_ANSWER')
      },
    }
    expect(await run(json('{}'), unreadable)).toBe('main;invalid')
    const asked = (outputs: string[]): Format => ({ ...scores, readRequest: () => ({ columns: [], outputs }) })
    expect(await run(json('{}'), asked(['score', 'label']))).toBe('main;invalid')
    expect(await run(json('{}'), asked(['score']))).toBe('{}')
  })

  test('an empty list of choices is, where the route speaks openai', async () => {
    expect(await run(json('{"choices":[]}'), undefined, true)).toBe('main;invalid')
    expect(await run(json('{"choices":[1]}'), undefined, true)).toBe('{"choices":[1]}')
    expect(await run(json('{"choices":[]}'))).toBe('{"choices":[]}')
  })

  test('when all are, the caller gets 502 and not the broken answer', async () => {
    const bench = await pluginTest(fallback, { to: ['second'], on: ['invalid'] }, { backends: { main: json('{"a":'), second: json('{"b":') } })
    const { answer, body } = await bench.run()
    expect([answer.status, answer.code]).toEqual([502, 'INVALID_ANSWER'])
    expect(JSON.parse(body).error).toBe('The answer is not well-formed JSON.')
  })
})
