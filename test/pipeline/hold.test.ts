import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Answer, Leg } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import { hold, streams } from '../../gateway/hold.ts'
import { settled } from '../fake_clock.ts'
import { collect, HandFlow, makeBackend } from '../plugin_test.ts'

const backend = makeBackend('b', () => new Answer(200, [], null))
const answer = (flow: HandFlow, type = 'application/json'): Answer => new Answer(200, ['Content-Type', type], flow)

describe('hold', () => {
  test('a body that is whole already needs no promise', () => {
    const whole = new Answer(200, [], Buffer.from('x'))
    expect(hold(whole, new Leg(backend))).toBe(whole)
    const empty = new Answer(204, [], null)
    expect(hold(empty, new Leg(backend))).toBe(empty)
  })

  test('a short body becomes a Buffer; chunks are copied', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend))
    const chunk = Buffer.from('ab')
    flow.sink!.data(chunk)
    chunk.fill('z')
    flow.push('c')
    flow.end()
    expect((await held).body).toEqual(Buffer.from('abc'))
  })

  test.each(['text/event-stream', 'Text/Event-Stream; charset=utf-8', 'application/x-ndjson'])('%s is handed on as it comes', (type) => {
    const flow = new HandFlow()
    const streamed = answer(flow, type)
    expect(hold(streamed, new Leg(backend))).toBe(streamed)
    expect(flow.sink).toBeNull()
  })

  test('a body declared too long is handed on; one exactly at the limit is held', () => {
    expect(streams(answer(new HandFlow(11)), 10)).toBe(true)
    expect(streams(answer(new HandFlow(10)), 10)).toBe(false)
  })

  test('a body cut while held rejects with what cut it', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend))
    flow.push('ab')
    flow.fail(new WeirError('RESET'))
    await expect(held).rejects.toMatchObject({ code: 'RESET' })
  })

  test('a cancelled leg rejects with its cause, and cancels the body', async () => {
    const flow = new HandFlow()
    const leg = new Leg(backend)
    const held = hold(answer(flow), leg)
    leg.cancel(new WeirError('TOTAL_TIMEOUT'))
    await expect(held).rejects.toMatchObject({ code: 'TOTAL_TIMEOUT' })
    expect(flow.cancelled).toBe(true)
    const late = hold(answer(new HandFlow()), leg)
    await expect(late).rejects.toMatchObject({ code: 'TOTAL_TIMEOUT' })
  })

  test('a body that outgrows the limit goes on from its first byte, in order, and may still be cut', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend), 4)
    flow.push('abc')
    expect(flow.paused).toBe(false)
    flow.push('def')
    expect(flow.paused).toBe(true)
    const { body } = await held
    const read = collect(body)
    expect(flow.paused).toBe(false)
    flow.push('ghi')
    flow.fail(new WeirError('RESET'))
    await expect(read).rejects.toMatchObject({ code: 'RESET' })
  })

  test('a slow reader of an outgrown body is waited for', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend), 4)
    flow.push('abc')
    flow.push('def')
    const body = (await held).body as HandFlow
    const seen: string[] = []
    let ended = false
    let ready = false
    body.start({ data: (chunk) => (seen.push(chunk.toString()), ready), end: () => void (ended = true), fail: () => undefined })
    expect(seen).toEqual(['abc'])
    expect(flow.paused).toBe(true)
    body.resume()
    expect(seen).toEqual(['abc', 'def'])
    expect(flow.paused).toBe(true)
    ready = true
    body.resume()
    expect(flow.paused).toBe(false)
    flow.push('g')
    flow.end()
    expect([seen, ended]).toEqual([['abc', 'def', 'g'], true])
  })

  test('an outgrown body that nobody wants is cancelled at its source', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend), 1)
    flow.push('abc')
    ;((await held).body as HandFlow).cancel()
    expect(flow.cancelled).toBe(true)
  })

  test('trailers are not lost', async () => {
    const flow = new HandFlow()
    const held = hold(answer(flow), new Leg(backend))
    flow.push('abc')
    flow.end(['x-sum', '1'])
    const body = (await held).body as HandFlow
    let trailers: string[] | null = null
    const seen: string[] = []
    body.start({ data: (chunk) => (seen.push(chunk.toString()), true), end: (given) => void (trailers = given), fail: () => undefined })
    expect([seen, trailers]).toEqual([['abc'], ['x-sum', '1']])
  })

  test('every byte arrives, whatever the chunks and the limit', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 10 }), fc.nat(20), async (chunks, limit) => {
        const flow = new HandFlow()
        const held = hold(answer(flow), new Leg(backend), limit)
        const body = Promise.resolve(held).then(({ body: given }) => collect(given))
        for (const chunk of chunks) {
          while (flow.paused) await settled()
          flow.push(chunk)
        }
        while (flow.paused) await settled()
        flow.end()
        expect((await body).toString()).toBe(chunks.join(''))
      }),
      { numRuns: 100 },
    )
  })
})
