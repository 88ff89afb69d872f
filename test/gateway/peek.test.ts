import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Answer, Leg } from '../../gateway/exchange.ts'
import { WeirError } from '../../gateway/errors.ts'
import { type Assurance, assure } from '../../gateway/assure.ts'
import { settled } from '../fake_clock.ts'
import { collect, HandFlow, makeBackend, makeExchange } from '../plugin_test.ts'
import { anthropic, DONE, HEARTBEAT, openai, responses } from './streams.ts'

const backend = makeBackend('b', () => new Answer(200, [], null))
const SSE = 'text/event-stream'
const pass: Assurance = { stream: 'pass', peek: 65_536, check: true }
const buffer: Assurance = { ...pass, stream: 'buffer' }

interface Init {
  readonly type?: string
  readonly status?: number
  readonly headers?: string[]
  readonly length?: number
  readonly openai?: boolean
  readonly max?: number
}

/** An answer whose body the test feeds, being assured. */
class Assured {
  readonly flow: HandFlow
  readonly leg = new Leg(backend)
  /** `held` until it may go on, then `passed`, or the code that kept it. */
  state = 'held'
  error: WeirError | null = null
  answer: Answer | null = null

  constructor(terms: Assurance, init: Init = {}) {
    this.flow = new HandFlow(init.length ?? -1)
    const answer = new Answer(init.status ?? 200, ['content-type', init.type ?? SSE, ...(init.headers ?? [])], this.flow)
    void this.#follow(answer, terms, init)
  }

  async #follow(answer: Answer, terms: Assurance, init: Init): Promise<void> {
    try {
      this.answer = await assure(exchange(init), answer, this.leg, terms)
      this.state = 'passed'
    } catch (error) {
      this.error = error as WeirError
      this.state = this.error.code
    }
  }

  /** Feeds a part and says what became of it. */
  async after(text: string): Promise<string> {
    if (!this.flow.paused) this.flow.push(text)
    await settled()
    return this.state
  }

  async afterEnd(): Promise<string> {
    this.flow.end()
    await settled()
    return this.state
  }
}

const exchange = (init: Init) => makeExchange({}, { name: 'r', format: null, maxBodyBytes: init.max ?? 1 << 20, ...(init.openai === true && { openai: true }) }, new Leg(backend))

describe('pass: held up to the first event that carries content', () => {
  test.each<[string, string[]]>([
    ['a chat completion', [HEARTBEAT, openai.role, openai.token]],
    ['a chat completion without a token', [openai.role, openai.finish]],
    ['a message', [anthropic.start, anthropic.block, anthropic.ping, anthropic.token]],
    ['a response', [responses.created, responses.token]],
    ['plain events', [HEARTBEAT, 'event: tick\ndata:\n\n', 'data: [1] hello\n\n']],
    ['nothing but the end', [HEARTBEAT, DONE]],
  ])('%s', async (_what, parts) => {
    const assured = new Assured(pass)
    for (const part of parts.slice(0, -1)) expect(await assured.after(part)).toBe('held')
    expect(await assured.after(parts.at(-1)!)).toBe('passed')
    const read = collect(assured.answer!.body)
    assured.flow.push('data: more\n\n')
    assured.flow.end()
    expect((await read).toString()).toBe(`${parts.join('')}data: more\n\n`)
  })

  test('lines of JSON', async () => {
    const assured = new Assured(pass, { type: 'application/x-ndjson' })
    expect(await assured.after('\n{"a"')).toBe('held')
    expect(await assured.after(':1}\n')).toBe('passed')
  })

  test.each<[string, string, Init]>([
    ['an error event', anthropic.error, {}],
    ['an error instead of a chunk', openai.error, {}],
    ['a failed response', responses.failed, {}],
    ['an error behind a role', openai.role + openai.error, {}],
    ['a first event that is no JSON', 'data: {"id":"c-1","choices":[{"del\n\n', {}],
    ['text where the route speaks openai', 'data: hello\n\n', { openai: true }],
    ['a line that is no JSON', 'hello\n', { type: 'application/x-ndjson' }],
    ['a line that tells of an error', '{"error":"model not found"}\n', { type: 'application/x-ndjson' }],
  ])('%s is invalid, and passes where nobody asked', async (_what, text, init) => {
    const strict = new Assured(pass, init)
    expect(await strict.after(text)).toBe('INVALID_ANSWER')
    expect(strict.flow.cancelled).toBe(true)
    expect(await new Assured({ ...pass, check: false }, init).after(text)).toBe('passed')
  })

  test('under another status than 2xx an error is what was to be expected', async () => {
    expect(await new Assured(pass, { status: 400 }).after(openai.error)).toBe('passed')
  })

  test('once there was content nothing is looked at any more', async () => {
    expect(await new Assured(pass).after(openai.token + openai.error)).toBe('passed')
  })

  test('a stream that is cut, or whose leg is stopped, while it is held', async () => {
    const cut = new Assured(pass)
    await cut.after(openai.role)
    cut.flow.fail(new WeirError('RESET'))
    await settled()
    expect(cut.state).toBe('RESET')
    const stopped = new Assured(pass)
    await stopped.after(openai.role)
    stopped.leg.cancel(new WeirError('FIRST_TOKEN_TIMEOUT'))
    await settled()
    expect([stopped.state, stopped.flow.cancelled]).toEqual(['FIRST_TOKEN_TIMEOUT', true])
  })

  test('a stream that ends while it is held: whole; in the middle of a message invalid', async () => {
    const plain = new Assured(pass)
    await plain.after(HEARTBEAT)
    expect(await plain.afterEnd()).toBe('passed')
    expect(plain.answer!.body).toEqual(Buffer.from(HEARTBEAT))
    for (const [opened, init] of [[openai.role, {}], [anthropic.start, {}], [responses.created, {}], [HEARTBEAT, { openai: true }]] as const) {
      const assured = new Assured(pass, init)
      await assured.after(opened)
      expect(await assured.afterEnd()).toBe('INVALID_ANSWER')
    }
  })

  test('`peek` bytes are held and no more; what is beyond them does not matter', async () => {
    const bound = openai.role.length
    const held = new Assured({ ...pass, peek: bound })
    expect(await held.after(openai.role)).toBe('held')
    expect(await held.after(':')).toBe('passed')
    expect(await new Assured({ ...pass, peek: bound + openai.error.length - 1 }).after(openai.role + openai.error)).toBe('passed')
    expect(await new Assured({ ...pass, peek: bound + openai.error.length }).after(openai.role + openai.error)).toBe('INVALID_ANSWER')
  })

  test('0 passes at once', async () => {
    const assured = new Assured({ ...pass, peek: 0 })
    await settled()
    expect([assured.state, assured.flow.sink]).toEqual(['passed', null])
  })

  test('what nobody can read is held up to its first byte', async () => {
    const inits: Init[] = [{ headers: ['content-encoding', 'gzip'] }, { type: 'application/grpc' }, { type: 'multipart/x-mixed-replace' }, { type: 'text/csv', length: 2 << 20 }]
    for (const init of inits) {
      const assured = new Assured(pass, init)
      await settled()
      expect(assured.state).toBe('held')
      expect(await assured.after('x')).toBe('passed')
      const cut = new Assured(pass, init)
      cut.flow.fail(new WeirError('RESET'))
      await settled()
      expect(cut.state).toBe('RESET')
    }
  })

  test('once it goes on, each byte is there before the next one comes', async () => {
    const assured = new Assured(pass)
    await assured.after(openai.token)
    let seen = ''
    ;(assured.answer!.body as HandFlow).start({ data: (part) => ((seen += part.toString()), true), end: () => (seen += '|'), fail: (error) => (seen += error.code) })
    expect(seen).toBe(openai.token)
    for (const byte of openai.second) {
      const before = seen
      assured.flow.push(byte)
      expect(seen).toBe(before + byte)
    }
    assured.flow.fail(new WeirError('RESET'))
    expect(seen).toBe(`${openai.token}${openai.second}RESET`)
  })
})

describe('buffer: held until it is whole', () => {
  test.each<[string, string, Init]>([
    ['with `[DONE]`', openai.role + openai.token + openai.finish + openai.usage + DONE, {}],
    ['without `[DONE]`', openai.role + openai.token + openai.finish, {}],
    ['with its reason beside the last token', openai.token + openai.last, {}],
    ['of a route that speaks openai', openai.token + DONE, { openai: true }],
    ['a message', anthropic.start + anthropic.token + anthropic.stop, {}],
    ['a response', responses.created + responses.token + responses.completed, {}],
    ['a response cut by its own limit', responses.created + responses.token + responses.incomplete, {}],
    ['plain events', 'data: 1\n\ndata: 2\n\n', {}],
    ['lines', '{"a":1}\n{"a":2}', { type: 'application/x-ndjson' }],
    ['compressed, unread', gzipSync(openai.token).toString('latin1'), { headers: ['content-encoding', 'gzip'] }],
  ])('sound: %s', async (_what, text, init) => {
    const assured = new Assured(buffer, init)
    expect(await assured.after(text)).toBe('held')
    expect(await assured.afterEnd()).toBe('passed')
    expect(assured.answer!.body).toEqual(Buffer.from(text))
  })

  test.each<[string, string, Init]>([
    ['no end of a chat completion', openai.role + openai.token + openai.usage, {}],
    ['no end of a message', anthropic.start + anthropic.token, {}],
    ['no end of a response', responses.created + responses.token, {}],
    ['no end where the route speaks openai', '', { openai: true }],
    ['an error behind tokens', openai.token + openai.error + DONE, {}],
    ['a broken chunk behind tokens', `${openai.token}data: {"choices":[{"delta"\n\n${DONE}`, {}],
    ['a broken last line', '{"a":1}\n{"a":', { type: 'application/x-ndjson' }],
  ])('unsound: %s', async (_what, text, init) => {
    const assured = new Assured(buffer, init)
    await assured.after(text)
    expect(await assured.afterEnd()).toBe('INVALID_ANSWER')
    const lenient = new Assured({ ...buffer, check: false }, init)
    await lenient.after(text)
    expect(await lenient.afterEnd()).toBe('passed')
  })

  test('cut after tokens', async () => {
    const assured = new Assured(buffer)
    await assured.after(openai.token)
    assured.flow.fail(new WeirError('IDLE_TIMEOUT'))
    await settled()
    expect(assured.state).toBe('IDLE_TIMEOUT')
  })

  test('longer than `max_body_bytes` (and 1 MiB): goes on as it comes', async () => {
    const assured = new Assured(buffer, { max: 2 << 20 })
    expect(await assured.after('x'.repeat(2 << 20))).toBe('held')
    expect(await assured.after('x')).toBe('passed')
    expect(Buffer.isBuffer(assured.answer!.body)).toBe(false)
  })
})

describe('whatever the cuts', () => {
  const PARTS = [HEARTBEAT, openai.role, openai.token, openai.finish, openai.error, DONE, anthropic.start, anthropic.token, anthropic.ping, anthropic.stop, 'data: hé\r\n\r\n', 'data: {"a\r\r', 'data: {"a":\ndata: 1}\n\n', '\n', 'data: lost\n']

  /** What the caller gets, once the body is fed in these pieces. */
  async function fate(text: string, cuts: readonly number[], terms: Assurance, route: Init, whole: boolean): Promise<string> {
    const bytes = Buffer.from(text)
    const x = exchange(route)
    const flow = new HandFlow()
    const answer = new Answer(200, ['content-type', SSE], whole ? bytes : flow)
    const result = Promise.resolve()
      .then(() => assure(x, answer, new Leg(backend), terms))
      .then(({ body }) => collect(body).then(String), (error: WeirError) => `${error.code}: ${error.message}`)
    await settled()
    if (whole) return result
    const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
    for (const [i, edge] of edges.slice(1).entries()) {
      while (flow.paused && !flow.cancelled) await settled()
      if (!flow.cancelled && edge > edges[i]!) flow.paused = !flow.sink!.data(Buffer.from(bytes.subarray(edges[i], edge)))
    }
    while (flow.paused && !flow.cancelled) await settled()
    flow.end()
    return result
  }

  test('the same becomes of a stream, and of one that is whole at once', async () => {
    const parts = fc.array(fc.constantFrom(...PARTS), { maxLength: 7 }).map((chosen) => chosen.join(''))
    const terms = fc.record({ stream: fc.constantFrom('pass' as const, 'buffer' as const), peek: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.constant(65_536)), check: fc.boolean() })
    const fates = new Set<string>()
    await fc.assert(
      fc.asyncProperty(parts, terms, fc.boolean(), fc.array(fc.nat(2000), { maxLength: 12 }), async (text, how, speaks, cuts) => {
        const expected = await fate(text, [], how, { openai: speaks }, true)
        expect(await fate(text, cuts, how, { openai: speaks }, false)).toBe(expected)
        expect(await fate(text, Array.from({ length: 200 }, (_, i) => i), how, { openai: speaks }, false)).toBe(expected)
        fates.add(expected.startsWith('INVALID') ? expected : 'passed')
      }),
      { numRuns: 150 },
    )
    // All of them were met, so the property is not an empty one.
    expect(fates.size).toBe(4)
  })
})
