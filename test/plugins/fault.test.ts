import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Answer, type Exchange, type Leg, reply } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import fault from '../../plugins/fault.ts'
import timeout from '../../plugins/timeout.ts'
import { settled } from '../fake_clock.ts'
import { HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

/** What the dice say, in the order they are thrown: abort, delay, cut. */
function dice(...throws: readonly number[]): void {
  const left = [...throws]
  vi.spyOn(Math, 'random').mockImplementation(() => left.shift() ?? 0.999)
}

const plugins = (...list: readonly (readonly [Plugin, unknown])[]) => list
const asPlugin = (one: unknown) => one as Plugin

function streaming(flow: HandFlow, type = 'text/event-stream') {
  return (): Answer => new Answer(200, ['content-type', type], flow)
}

describe('delay', () => {
  test('waits, then asks', async () => {
    let asked = 0
    const bench = await pluginTest(fault, { delay: { fixed: '2s', percent: 100 } }, { backends: { main: () => (asked++, reply(200, 'main')) } })
    const running = bench.run()
    await bench.clock.tick(1999)
    expect(asked).toBe(0)
    await bench.clock.tick(1)
    const { x, body } = await running
    expect([body, asked, x.flags, x.waited]).toEqual(['main', 1, ['DI'], 2000])
    expect(bench.metric('weir_fault_total', { kind: 'delay' })).toBe(1)
    await bench.close()
  })

  test('counts against per_try, and a fallback helps', async () => {
    const bench = await pipelineTest(
      plugins([asPlugin(fault), { delay: { fixed: '2s', percent: '50%' } }], [asPlugin(timeout), { per_try: '100ms' }], [asPlugin(fallback), { to: ['second'] }]),
      { backends: { second: () => reply(200, 'second') } },
    )
    // The first attempt is drawn, that of the fallback is not.
    dice(0.499, 0.5)
    const running = bench.run()
    await bench.clock.tick(100)
    const { x, body } = await running
    expect([body, x.fallback, x.flags]).toEqual(['second', 'main;timeout', ['DI']])
    expect(bench.clock.pending).toBe(0)
  })

  test('counts against total', async () => {
    const bench = await pipelineTest(plugins([asPlugin(timeout), { total: '100ms' }], [asPlugin(fault), { delay: { fixed: '2s', percent: 100 } }]))
    const running = bench.run()
    await bench.clock.tick(100)
    expect((await running).answer.code).toBe('TOTAL_TIMEOUT')
    expect(bench.clock.pending).toBe(0)
  })

  test('counts against response_headers of the timeout plugin', async () => {
    const bench = await pipelineTest(plugins([asPlugin(timeout), { response_headers: '100ms' }], [asPlugin(fault), { delay: { fixed: '2s', percent: 100 } }]))
    const running = bench.run()
    await bench.clock.tick(100)
    expect((await running).answer.code).toBe('HEADERS_TIMEOUT')
  })

  test('no more than max_active wait at the same time; the place of one that was cancelled is free again', async () => {
    const bench = await pluginTest(fault, { delay: { fixed: '1s', percent: 100 }, max_active: 1 })
    const x = bench.exchange()
    const first = Promise.resolve(bench.route.send(x, x.leg))
    expect((await bench.run()).body).toBe('main')
    expect(bench.metric('weir_fault_overflow_total')).toBe(1)
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    await expect(first).rejects.toMatchObject({ code: 'CALLER_LEFT' })
    const third = bench.run()
    await bench.clock.tick(1000)
    expect((await third).x.flags).toEqual(['DI'])
    expect(bench.metric('weir_fault_total', { kind: 'delay' })).toBe(2)
    await bench.close()
  })
})

describe('abort', () => {
  test('with a status, in place of the backend', async () => {
    let asked = 0
    const bench = await pluginTest(fault, { abort: { status: 503, percent: 100 } }, { backends: { main: () => (asked++, reply(200, 'main')) } })
    const { x, answer, body } = await bench.run()
    expect([answer.status, answer.code, answer.backend, asked, x.attempts]).toEqual([503, null, 'main', 0, 0])
    expect(JSON.parse(body)).toEqual({ error: expect.stringContaining('fault'), request_id: 'request-1' })
    expect(x.flags).toEqual(['FI'])
    expect(bench.metric('weir_fault_total', { kind: 'abort' })).toBe(1)
  })

  test('with a reset', async () => {
    const bench = await pluginTest(fault, { abort: { reset: true, percent: 100 } })
    const { x, answer } = await bench.run()
    expect([answer.status, answer.code, x.flags]).toEqual([502, 'RESET', ['FI']])
    expect(bench.metric('weir_fault_total', { kind: 'reset' })).toBe(1)
  })

  test.each([
    [{ status: 503 }, '5xx'],
    [{ reset: true }, 'reset'],
  ])('%o is a failure to a fallback', async (how, reason) => {
    const bench = await pipelineTest(plugins([asPlugin(fallback), { to: ['second'] }], [asPlugin(fault), { abort: { ...how, percent: 50 } }]), { backends: { second: () => reply(200, 'second') } })
    dice(0.2, 0.7)
    const { x, body } = await bench.run()
    expect([body, x.fallback]).toEqual(['second', `main;${reason}`])
  })

  test('comes after a delay when both are drawn', async () => {
    const bench = await pluginTest(fault, { delay: { fixed: '1s', percent: 50 }, abort: { status: 500, percent: 50 } })
    dice(0.1, 0.1)
    const running = bench.run()
    await bench.clock.tick(1000)
    const { x, answer } = await running
    expect([answer.status, x.flags]).toEqual([500, ['DI', 'FI']])
  })
})

describe('cut', () => {
  test('a stream breaks after so many bytes; its backend is let go', async () => {
    const flow = new HandFlow()
    const bench = await pluginTest(fault, { cut: { after: 10, percent: 100 } }, { backends: { main: streaming(flow) } })
    const x = bench.exchange()
    const answer = await bench.route.send(x, x.leg)
    let got = ''
    const broke = new Promise((resolve) => (answer.body as HandFlow).start({ data: (chunk) => ((got += chunk.toString()), true), end: () => resolve(null), fail: resolve }))
    flow.push('12345')
    flow.push('67890')
    expect([got, flow.cancelled]).toEqual(['1234567890', false])
    flow.push('x')
    expect(await broke).toMatchObject({ code: 'RESET' })
    expect([got, flow.cancelled, x.flags]).toEqual(['1234567890', true, ['FI']])
    expect(bench.metric('weir_fault_total', { kind: 'cut' })).toBe(1)
  })

  test.each([
    ['1234567890', 10],
    ['', 0],
  ])('a body of `%s` stays whole within %i bytes', async (body, after) => {
    for (const main of [() => new Answer(200, [], Buffer.from(body)), () => new Answer(200, [], null)]) {
      const bench = await pluginTest(fault, { cut: { after, percent: 100 } }, { backends: { main } })
      expect((await bench.run()).answer.status).toBe(200)
      expect(bench.metric('weir_fault_total')).toBe(0)
    }
  })

  test('a fallback takes over from an answer that it holds', async () => {
    const bench = await pipelineTest(plugins([asPlugin(fallback), { to: ['second'] }], [asPlugin(fault), { cut: { after: '1B', percent: 50 } }]), { backends: { second: () => reply(200, 'second') } })
    dice(0.1, 0.9)
    const { x, body } = await bench.run()
    expect([body, x.fallback]).toEqual(['second', 'main;reset'])
  })

  test('wherever chunks end, the same bytes come, and exactly one end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ minLength: 1, maxLength: 6, unit: 'binary-ascii' }), { maxLength: 8 }), fc.nat({ max: 20 }), fc.boolean(), async (chunks, after, leaves) => {
        const flow = new HandFlow()
        const bench = await pluginTest(fault, { cut: { after, percent: 100 } }, { backends: { main: streaming(flow) } })
        const x = bench.exchange()
        const body = (await bench.route.send(x, x.leg)).body as HandFlow
        let got = ''
        const ends: string[] = []
        body.start({
          data(chunk) {
            got += chunk.toString()
            if (leaves) body.cancel()
            return true
          },
          end: () => ends.push('end'),
          fail: (error) => ends.push(error.code),
        })
        for (const chunk of chunks) flow.push(chunk)
        flow.end()
        const whole = chunks.join('')
        expect(whole.startsWith(got)).toBe(true)
        if (leaves && got !== '') expect([ends, flow.cancelled]).toEqual([[], true])
        else expect([got, ends]).toEqual(whole.length > after ? [whole.slice(0, after), ['RESET']] : [whole, ['end']])
      }),
    )
  })
})

describe('which attempts', () => {
  test('the share that the percentage says (chi-square, 99.9 % quantile of one degree 10.83)', async () => {
    const bench = await pluginTest(fault, { abort: { status: 500, percent: '10%' } })
    let state = 1
    // Lehmer's generator: a random source of the test's own.
    vi.spyOn(Math, 'random').mockImplementation(() => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647)
    let failed = 0
    for (let i = 0; i < 4000; i++) if ((await bench.run()).answer.status === 500) failed++
    expect((failed - 400) ** 2 / 400 + (failed - 400) ** 2 / 3600).toBeLessThan(10.83)
    expect(bench.metric('weir_fault_total', { kind: 'abort' })).toBe(failed)
  })

  test('0 % is never, 100 % always', async () => {
    const never = await pluginTest(fault, { abort: { status: 500, percent: 0 } })
    const always = await pluginTest(fault, { abort: { status: 500, percent: 100 } })
    dice(0, 0.999999999)
    expect([(await never.run()).answer.status, (await always.run()).answer.status]).toEqual([200, 500])
  })

  test('those at the backends that are named', async () => {
    const bench = await pipelineTest(plugins([asPlugin(fallback), { to: ['second'] }], [asPlugin(fault), { abort: { status: 500, percent: 100 }, backends: ['main'] }]), { backends: { second: () => reply(200, 'second') } })
    expect((await bench.run()).body).toBe('second')
    expect(bench.metric('weir_fault_total')).toBe(1)
  })

  test('those of the condition, on the body too', async () => {
    const bench = await pluginTest(fault, { abort: { status: 500, percent: 100 }, when: 'header["x-drill"] == "on"' })
    expect((await bench.run()).answer.status).toBe(200)
    expect((await bench.run({ headers: ['x-drill', 'on'] })).answer.status).toBe(500)
    expect(bench.route.requestBody).toBeNull()
    const onBody = await pluginTest(fault, { abort: { status: 500, percent: 100 }, when: 'input.a == 1.0' })
    expect(onBody.route.requestBody).not.toBeNull()
  })
})

describe('by_header', () => {
  const ask = (headers: string[], trusted = true) => ({ headers, trusted })
  const run = async (headers: string[], trusted = true, options: object = {}) => {
    const bench = await pluginTest(fault, { by_header: true, ...options })
    const running = bench.run(ask(headers, trusted))
    await bench.clock.tick(10_000)
    const { x, answer } = await running
    return [answer.status, x.flags, x.waited]
  }

  test('a trusted caller gets what it asks for', async () => {
    expect(await run(['x-envoy-fault-abort-request', '503'])).toEqual([503, ['FI'], 0])
    expect(await run(['x-envoy-fault-delay-request', '700'])).toEqual([200, ['DI'], 700])
    expect(await run(['X-Envoy-Fault-Delay-Request', '5', 'x-envoy-fault-abort-request', '429'])).toEqual([429, ['DI', 'FI'], 5])
  })

  test('others do not', async () => {
    expect(await run(['x-envoy-fault-abort-request', '503'], false)).toEqual([200, null, 0])
    const off = await pluginTest(fault, { abort: { status: 500, percent: 0 } })
    expect((await off.run(ask(['x-envoy-fault-abort-request', '503']))).answer.status).toBe(200)
  })

  test('a percentage draws', async () => {
    dice(0.299, 0.3)
    expect(await run(['x-envoy-fault-abort-request', '503', 'x-envoy-fault-abort-request-percentage', '30'])).toEqual([503, ['FI'], 0])
    expect(await run(['x-envoy-fault-abort-request', '503', 'x-envoy-fault-abort-request-percentage', '30'])).toEqual([200, null, 0])
  })

  test('it takes the place of what the file says', async () => {
    const options = { abort: { status: 500, percent: 100 }, delay: { fixed: '1s', percent: 100 } }
    expect(await run(['x-envoy-fault-abort-request', '429', 'x-envoy-fault-delay-request', '0'], true, options)).toEqual([429, ['FI'], 0])
    expect(await run([], true, options)).toEqual([500, ['DI', 'FI'], 1000])
  })

  test.each(['', 'soon', '-1', '1.5', '99999999', '0x10'])('`%s` is passed over', async (value) => {
    expect(await run(['x-envoy-fault-abort-request', value, 'x-envoy-fault-delay-request', value])).toEqual([200, null, 0])
  })

  test.each(['0', '200', '399', '600', '999'])('no status %s is answered', async (value) => {
    expect(await run(['x-envoy-fault-abort-request', value])).toEqual([200, null, 0])
  })
})

test.each([
  [{}, 'there is no fault'],
  [{ abort: { percent: 10 } }, 'either `status` or `reset: true`'],
  [{ abort: { status: 500, reset: true, percent: 10 } }, 'either `status` or `reset: true`'],
  [{ abort: { reset: false, percent: 10 } }, 'either `status` or `reset: true`'],
  [{ delay: { fixed: '0ms', percent: 10 } }, 'at least 1ms'],
])('%o is refused', async (options, complaint) => {
  await expect(pluginTest(fault, options)).rejects.toThrow(complaint)
})

test('stands inside of timeouts, whatever the order in the file: every attempt meets it', async () => {
  const seen: string[] = []
  const main = (_x: Exchange, leg: Leg) => (seen.push(leg.backend.name), reply(200, 'main'))
  const bench = await pipelineTest(plugins([asPlugin(fault), { abort: { status: 500, percent: 100 } }], [asPlugin(fallback), { to: ['second'] }]), { backends: { main, second: main } })
  expect((await bench.run()).answer.status).toBe(500)
  await settled()
  expect([seen, bench.metric('weir_fault_total', { kind: 'abort' })]).toEqual([[], 2])
})
