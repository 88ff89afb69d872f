/** Chains of the fallback plugin: every reason for every kind of body at every place, and any sequence of behaviours. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { Answer, type Leg, type LegWatcher, reply, type Send, type Sink } from '../../gateway/exchange.ts'
import { type Code, codes, WeirError } from '../../gateway/errors.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import split from '../../plugins/split.ts'
import timeout from '../../plugins/timeout.ts'
import { DONE, HEARTBEAT, openai } from '../gateway/streams.ts'
import { settled } from '../fake_clock.ts'
import { HandFlow, pipelineTest, pluginTest } from '../plugin_test.ts'

type Kind = 'json' | 'sse'
const TYPE = { json: 'application/json', sse: 'text/event-stream' }

const failing = (code: Code): Send => () => Promise.reject(new WeirError(code))
const whole = (kind: Kind, body: string, status = 200): Send => () => new Answer(status, ['content-type', TYPE[kind]], Buffer.from(body))
/** A body that comes once somebody reads it, and what happens to it then. */
class Scripted extends HandFlow {
  readonly #text: string
  readonly #then: (flow: HandFlow) => void

  constructor(text: string, then: (flow: HandFlow) => void) {
    super()
    this.#text = text
    this.#then = then
  }

  override start(sink: Sink): void {
    super.start(sink)
    void settled().then(() => (this.push(this.#text), this.#then(this)))
  }
}

const flowing = (kind: Kind, text: string, then: (flow: HandFlow) => void, status = 200): Send => () => new Answer(status, ['content-type', TYPE[kind]], new Scripted(text, then))
const ended = (flow: HandFlow): void => flow.end()
const cut = (code: Code) => (flow: HandFlow): void => flow.fail(new WeirError(code))
/** The beginning of an answer that cannot yet go out. */
const BEGUN = { json: '{"half":', sse: openai.role }
const GOOD = { json: '{"score":1}', sse: openai.token + openai.finish + DONE }
const ERROR = { json: '{"error":{"message":"x"}}', sse: openai.error }
const coded = (code: string): string => JSON.stringify({ error: { message: 'too long', type: 'invalid_request_error', code } })

describe('every reason', () => {
  const ways: [word: string, fail: (kind: Kind) => Send][] = [
    ['timeout', () => failing('HEADERS_TIMEOUT')],
    ['timeout', (kind) => flowing(kind, BEGUN[kind], cut('TRY_TIMEOUT'))],
    ['timeout', (kind) => flowing(kind, BEGUN[kind], cut('FIRST_TOKEN_TIMEOUT'))],
    ['connect', () => failing('CONNECT_FAILED')],
    ['reset', () => failing('RESET')],
    ['reset', (kind) => flowing(kind, BEGUN[kind], cut('RESET'))],
    ['5xx', (kind) => whole(kind, 'x', 500)],
    ['5xx', (kind) => flowing(kind, BEGUN[kind], cut('RESET'), 503)],
    ['429', (kind) => flowing(kind, 'slow down', ended, 429)],
    ['418', (kind) => whole(kind, '', 418)],
    ['gateway-error', (kind) => whole(kind, '', 504)],
    ['ejected', () => failing('NO_ENDPOINT')],
    ['overload', () => failing('OVERLOADED')],
    ['no_coverage', () => failing('NO_COVERAGE')],
    ['invalid', () => failing('BAD_ANSWER')],
    ['invalid', (kind) => whole(kind, ERROR[kind])],
    ['invalid', (kind) => flowing(kind, ERROR[kind], ended)],
    ['400:context_length_exceeded', () => whole('json', coded('context_length_exceeded'), 400)],
    ['400:context_length_exceeded', () => flowing('json', coded('context_length_exceeded'), ended, 400)],
  ]
  const table = ways.flatMap(([word, fail], i) => (['json', 'sse'] as const).map((kind) => [word, i, kind, fail] as const))

  test.each(table)('%s (way %i, %s): of the first target, and of the second', async (word, _i, kind, fail) => {
    const good = flowing(kind, GOOD[kind], ended)
    const one = await pluginTest(fallback, { to: ['second'], on: [word] }, { backends: { main: fail(kind), second: good } })
    const first = await one.run({ body: '{}' })
    expect([first.answer.status, first.body, first.answer.backend, first.x.fallback, first.x.attempts]).toEqual([200, GOOD[kind], 'second', `main;${word}`, 2])
    expect(one.metric('weir_fallback_total', { from: 'main', to: 'second', reason: word })).toBe(1)

    const two = await pluginTest(fallback, { to: ['second', 'third'], on: ['5xx', word] }, { backends: { main: whole(kind, 'x', 599), second: fail(kind), third: good } })
    const second = await two.run({ body: '{}' })
    expect([second.answer.status, second.body, second.answer.backend, second.x.fallback, second.x.attempts]).toEqual([200, GOOD[kind], 'third', 'main;5xx', 3])
    expect(two.metric('weir_fallback_total', { from: 'second', to: 'third', reason: word })).toBe(1)
    expect(two.metric('weir_fallback_exhausted_total')).toBe(0)
  })

  test.each(['json', 'sse'] as const)('a good %s answer is that of the first', async (kind) => {
    const bench = await pluginTest(fallback, { to: ['second'], on: ['5xx', 'invalid', 'reset'] }, { backends: { main: flowing(kind, GOOD[kind], ended), second: failing('RESET') } })
    const { body, x } = await bench.run({ body: '{}' })
    expect([body, x.fallback, x.attempts]).toEqual([GOOD[kind], '', 1])
  })
})

describe('a status with an error code', () => {
  const falls = async (on: unknown[], main: Send): Promise<string> => {
    const bench = await pluginTest(fallback, { to: ['second'], on }, { backends: { main, second: whole('json', 'second') } })
    const { x, body } = await bench.run()
    return x.fallback === '' ? body : x.fallback
  }
  const answer = (body: unknown, status = 400): Send => whole('json', JSON.stringify(body), status)
  const on = ['400:too_long', '429:17']

  test('is `error.code`, else `error.type`, of that status', async () => {
    expect(await falls(on, answer({ error: { code: 'too_long', type: 'other' } }))).toBe('main;400:too_long')
    expect(await falls(on, answer({ error: { code: null, type: 'too_long' } }))).toBe('main;400:too_long')
    expect(await falls(on, answer({ error: { type: 'too_long' } }))).toBe('main;400:too_long')
    expect(await falls(on, answer({ error: { code: '', type: 'too_long' } }))).toBe('main;400:too_long')
    expect(await falls(on, answer({ error: { code: 17 } }, 429))).toBe('main;429:17')
    for (const body of [{ error: { code: 'other', type: 'too_long' } }, { error: 'too_long' }, { code: 'too_long' }, { error: null }, null, []]) expect(await falls(on, answer(body))).toBe(JSON.stringify(body))
    expect(await falls(on, answer({ error: { code: 'too_long' } }, 413))).toBe('{"error":{"code":"too_long"}}')
    expect(await falls(on, whole('json', 'too_long', 400))).toBe('too_long')
  })

  test('adds to the bare status and makes the reason more exact', async () => {
    expect(await falls([400, '400:too_long'], answer({ error: { code: 'too_long' } }))).toBe('main;400:too_long')
    expect(await falls([400, '400:too_long'], answer({ error: { code: 'other' } }))).toBe('main;400')
    expect(await falls(['5xx', '503:busy'], answer({ error: { code: 'busy' } }, 503))).toBe('main;503:busy')
  })

  test('is read in gzip', async () => {
    const main = (): Answer => new Answer(400, ['content-type', 'application/json', 'content-encoding', 'gzip'], gzipSync(coded('too_long')))
    expect(await falls(on, main)).toBe('main;400:too_long')
  })

  test('is looked for in 64 KiB at most; a longer body passes from its first byte', async () => {
    const body = (bytes: number): string => `{"error":{"code":"too_long"},"x":"${'x'.repeat(bytes - 36)}"}`
    expect(body(65_536)).toHaveLength(65_536)
    expect(await falls(on, flowing('json', body(65_536), ended, 400))).toBe('main;400:too_long')
    expect(await falls(on, flowing('json', body(65_537), ended, 400))).toBe(body(65_537))
    expect(await falls(on, whole('json', body(65_537), 400))).toBe(body(65_537))
  })

  test.each(['400:', '400:a b', '200:x', '4xx:x', 'eject', `400:${'x'.repeat(65)}`])('%j is no word of `on`', (word) => {
    const valid = (words: string[]): boolean => Check(fallback.config as never, { to: ['second'], on: words })
    expect([valid([word]), valid(['400:context_length_exceeded', '503'])]).toEqual([false, true])
  })
})

describe('targets that are not available', () => {
  const away = (): boolean => false
  const backends = { main: failing('RESET'), second: whole('json', 'second'), third: whole('json', 'third') }

  test('are skipped, which the log, a metric and a flag tell', async () => {
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends, available: { second: away, third: () => true } })
    const { body, x } = await bench.run()
    expect([body, x.fallback, x.attempts, x.flags]).toEqual(['third', 'main;reset', 2, ['fallback:skipped:second']])
    expect(bench.metric('weir_fallback_total', { from: 'main', to: 'third', reason: 'reset' })).toBe(1)
    expect(bench.metric('weir_fallback_skipped_total', { target: 'second', reason: 'ejected' })).toBe(1)
    expect(bench.log.map(({ message, fields }) => [message, fields['target'] ?? fields['to']])).toEqual([['skipped a target', 'second'], ['fell back', 'third']])
  })

  test('the first one is not asked at all, when `on` lists `ejected` and somebody else can be asked', async () => {
    const asked = { ...backends, main: whole('json', 'main') }
    const run = async (on: string[], available: Readonly<Record<string, () => boolean>>, body: unknown = 'x') => {
      const bench = await pluginTest(fallback, { to: ['second'], on }, { backends: asked, available })
      const { answer, x } = await bench.run({ body: body as string })
      return [String(answer.body), x.fallback, x.attempts, x.error?.code]
    }
    expect(await run(['ejected'], { main: away })).toEqual(['second', 'main;ejected', 1, 'NO_ENDPOINT'])
    expect(await run(['5xx'], { main: away })).toEqual(['second', 'main;5xx', 1, 'NO_ENDPOINT'])
    expect(await run(['timeout'], { main: away })).toEqual(['main', '', 1, undefined])
    expect(await run(['ejected'], { main: away, second: away })).toEqual(['main', '', 1, undefined])
    expect(await run(['ejected'], {})).toEqual(['main', '', 1, undefined])
    // Nobody has had the body yet, so even one that streams can go to the next.
    expect(await run(['ejected'], { main: away }, new HandFlow())).toEqual(['second', 'main;ejected', 1, 'NO_ENDPOINT'])
  })

  test('a body that streams goes to one target only', async () => {
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends: { second: failing('RESET'), third: whole('json', 'third') }, available: { main: away } })
    const { answer, x } = await bench.run({ body: new HandFlow() })
    expect([answer.code, x.attempts, bench.metric('weir_fallback_impossible_total')]).toEqual(['NO_ENDPOINT', 1, 1])
  })

  test('when all others are, the first failure is reported', async () => {
    const bench = await pluginTest(fallback, { to: ['second', 'third'] }, { backends, available: { second: away, third: away } })
    const { answer, x } = await bench.run()
    expect([answer.code, x.fallback, x.attempts]).toEqual(['RESET', '', 1])
    expect(bench.metric('weir_fallback_exhausted_total')).toBe(1)
    expect(bench.metric('weir_fallback_skipped_total')).toBe(2)
  })
})

describe('time', () => {
  test('no target is begun behind the deadline', async () => {
    let seconds = 0
    const slow: Send = () => new Promise((_resolve, reject) => void bench.clock.after(50, () => reject(new WeirError('RESET'))))
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: slow, second: () => (seconds++, reply(200, '')) } })
    const asked = async (deadline: number): Promise<string | number> => {
      const x = bench.exchange()
      x.leg.deadline = bench.clock.now() + deadline
      const sent = Promise.resolve(bench.route.send(x, x.leg)).then(({ status }) => status, (error: WeirError) => error.code)
      await bench.clock.tick(50)
      return sent
    }
    expect([await asked(50), seconds]).toEqual(['RESET', 0])
    expect([await asked(51), seconds]).toEqual([200, 1])
  })

  test('a stream that carries no content in time falls back; one that does is the caller\'s', async () => {
    const legs: Leg[] = []
    const quiet = new HandFlow()
    const main: Send = (_x, leg) => (legs.push(leg), new Answer(200, ['content-type', TYPE.sse], quiet))
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main, second: flowing('sse', GOOD.sse, ended) } })
    const running = bench.run()
    await settled()
    quiet.push(openai.role)
    legs[0]!.cancel(new WeirError('FIRST_TOKEN_TIMEOUT'))
    const { body, x } = await running
    expect([body, x.fallback, quiet.cancelled]).toEqual([GOOD.sse, 'main;timeout', true])
  })
})

describe('`per_try` and how much of a stream is held', () => {
  /** A stream without content so far; what the caller has when the attempt's time is over, and it goes on. */
  const run = async (options: object, before: string): Promise<string> => {
    const flow = new HandFlow()
    const main: Send = (_x, leg) => (leg.watch({ legCancelled: (cause) => flow.fail(cause) }), new Answer(200, ['content-type', TYPE.sse], flow))
    const plugins = [[timeout as unknown as Plugin, { per_try: '50ms' }], [fallback as unknown as Plugin, { to: ['second'], ...options }]] as const
    const bench = await pipelineTest(plugins, { backends: { main, second: whole('sse', 'second') } })
    const running = bench.run()
    await settled()
    if (before !== '') flow.push(before)
    await bench.clock.tick(500)
    if (flow.sink !== null) {
      flow.push(DONE)
      flow.end()
    }
    return (await running).body
  }

  test('what was let go is not timed any more, what is held is', async () => {
    const beats = HEARTBEAT.repeat(10)
    expect(await run({}, beats)).toBe('second')
    expect(await run({ peek: beats.length }, beats)).toBe('second')
    expect(await run({ peek: beats.length - 1 }, beats)).toBe(beats + DONE)
    expect(await run({ peek: 0 }, '')).toBe(DONE)
    const long = HEARTBEAT.repeat(8000)
    expect(long.length).toBeGreaterThan(65_536)
    expect(await run({}, long)).toBe(long + DONE)
    expect(await run({ peek: '256KiB' }, long)).toBe('second')
    expect(await run({ stream: 'buffer' }, long)).toBe('second')
  })
})

describe('stream: buffer', () => {
  const on = ['reset', 'timeout', 'invalid']

  test.each<[string, Send, string]>([
    ['cut after tokens', flowing('sse', openai.token, cut('RESET')), 'reset'],
    ['stalled after tokens', flowing('sse', openai.token, cut('IDLE_TIMEOUT')), 'timeout'],
    ['ended in the middle of a message', flowing('sse', openai.token, ended), 'invalid'],
    ['a broken chunk after tokens', flowing('sse', `${openai.token}data: {"ch\n\n${DONE}`, ended), 'invalid'],
  ])('%s: the caller gets the other stream, whole; with `pass` he has the beginning of this one', async (_what, main, reason) => {
    const backends = { main, second: flowing('sse', GOOD.sse, ended) }
    const held = await pluginTest(fallback, { to: ['second'], on, stream: 'buffer' }, { backends })
    const { body, x } = await held.run()
    expect([body, x.fallback]).toEqual([GOOD.sse, `main;${reason}`])
    const passed = await pluginTest(fallback, { to: ['second'], on }, { backends })
    const x2 = passed.exchange()
    const answer = await passed.route.send(x2, x2.leg)
    expect([answer.backend, x2.fallback, x2.attempts]).toEqual(['main', '', 1])
  })
})

// ---------------------------------------------------------------- any sequence

interface Behaviour {
  readonly name: string
  /** null: the caller gets this. Otherwise what failed: a status, or a code of weir's. */
  readonly fails: number | Code | null
  readonly send: Send
}

const behaviours: Behaviour[] = [
  { name: 'json', fails: null, send: flowing('json', GOOD.json, ended) },
  { name: 'sse', fails: null, send: flowing('sse', GOOD.sse, ended) },
  { name: 'whole', fails: null, send: whole('json', GOOD.json) },
  { name: 'not found', fails: 404, send: whole('json', '{}', 404) },
  { name: 'unwell', fails: 503, send: flowing('json', '{}', ended, 503) },
  { name: 'limited', fails: 429, send: whole('json', '{}', 429) },
  { name: 'refused', fails: 'CONNECT_FAILED', send: failing('CONNECT_FAILED') },
  { name: 'late', fails: 'HEADERS_TIMEOUT', send: failing('HEADERS_TIMEOUT') },
  { name: 'input', fails: 'MODEL_INPUT', send: failing('MODEL_INPUT') },
  { name: 'cut json', fails: 'RESET', send: flowing('json', BEGUN.json, cut('RESET')) },
  { name: 'cut sse', fails: 'RESET', send: flowing('sse', BEGUN.sse, cut('RESET')) },
  { name: 'wrong json', fails: 'INVALID_ANSWER', send: flowing('json', ERROR.json, ended) },
  { name: 'wrong sse', fails: 'INVALID_ANSWER', send: whole('sse', ERROR.sse) },
]
const WORDS = ['timeout', 'connect', 'reset', '5xx', '429', 'ejected', 'invalid', '404']

/** What a list of `on` says of a failure, by the letter of the documentation. */
function word(fails: number | Code, on: readonly string[]): string | null {
  const status = typeof fails === 'number' ? fails : codes[fails].status
  const reason = typeof fails === 'number' ? null : codes[fails].reason
  if (reason === 'local') return null
  if (reason !== null && on.includes(reason)) return reason
  if (on.includes(String(status))) return String(status)
  return status >= 500 && on.includes('5xx') ? '5xx' : null
}

/** A naive reading: who is asked, who answers, or which failure is reported. */
function oracle(chain: readonly { readonly name: string; readonly does: Behaviour; readonly away: boolean }[], on: readonly string[]) {
  // Where nobody checks, a wrong answer is an answer.
  const failure = (does: Behaviour) => (does.fails === 'INVALID_ANSWER' && !on.includes('invalid') ? null : does.fails)
  const asked: string[] = []
  let firstFailure: string | null = null
  for (const [i, { name, does, away }] of chain.entries()) {
    if (i > 0 && away) continue
    const others = chain.slice(1).some((other) => !other.away)
    if (i === 0 && away && word('NO_ENDPOINT', on) !== null && others) {
      firstFailure = 'NO_ENDPOINT'
      continue
    }
    asked.push(name)
    const fails = failure(does)
    const missed = fails === null ? null : word(fails, on)
    // An answer that `on` does not list is an answer; a missing answer behind the first target never is.
    if (fails === null || (typeof fails === 'number' && missed === null)) return { asked, answered: name, reported: null }
    firstFailure ??= String(fails)
    if (i === 0 && missed === null) break
  }
  return { asked, answered: null, reported: firstFailure }
}

describe('any sequence of behaviours', () => {
  test('exactly one answer, nobody asked twice, the first failure reported', async () => {
    const target = fc.record({ does: fc.constantFrom(...behaviours), away: fc.integer({ min: 0, max: 4 }).map((n) => n === 0) })
    const chains = fc.array(target, { minLength: 2, maxLength: 5 })
    const seen = { answered: 0, fellBack: 0, reported: 0 }
    await fc.assert(
      fc.asyncProperty(chains, fc.uniqueArray(fc.constantFrom(...WORDS), { minLength: 1 }), fc.boolean(), async (targets, on, arm) => {
        const chain = targets.map((one, i) => ({ ...one, name: i === 0 ? 'main' : `t${i}` }))
        const asked: string[] = []
        const backends = Object.fromEntries(chain.map(({ name, does }): [string, Send] => [name, (x, leg) => (asked.push(name), does.send(x, leg))]))
        const available = Object.fromEntries(chain.filter(({ away }) => away).map(({ name }) => [name, () => false]))
        const to = chain.slice(1).map(({ name }) => name)
        // The first target stands at the end of the chain too, and is not asked again.
        const plugins = [...(arm ? [[split as unknown as Plugin, { arms: { main: 1 } }] as const] : []), [fallback as unknown as Plugin, { to: [...to, 'main'], on }] as const]
        const bench = await pipelineTest(plugins, { backends, available })
        const { x, answer } = await bench.run({ body: '{}' })
        const expected = oracle(chain, on)
        expect(asked).toEqual(expected.asked)
        expect(expected.answered ?? expected.reported).toBe(answer.code ?? (expected.answered !== null ? answer.backend : String(answer.status)))
        const moved = expected.answered !== null && expected.answered !== 'main'
        expect(x.fallback.split(';')[0]).toBe(moved ? 'main' : '')
        expect(answer.backend).toBe(expected.answered ?? (answer.code === null ? 'main' : ''))
        seen[expected.answered === null ? 'reported' : moved ? 'fellBack' : 'answered']++
      }),
      { numRuns: 400 },
    )
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(10)
  })

  test('the caller leaves: an answer that failed before, and one that comes too late, are given up', async () => {
    const hanging: Send = (_x, leg) => new Promise((_resolve, reject) => leg.watch({ legCancelled: reject } satisfies LegWatcher))
    const flow = new HandFlow()
    const early = await pluginTest(fallback, { to: ['second'] }, { backends: { main: () => new Answer(503, ['content-type', TYPE.sse], flow), second: hanging } })
    const x = early.exchange()
    const sent = Promise.resolve(early.route.send(x, x.leg)).then(() => 'answered', (error: WeirError) => error.code)
    await settled()
    x.leg.cancel(new WeirError('CALLER_LEFT'))
    expect([await sent, flow.cancelled]).toEqual(['CALLER_LEFT', true])

    const late = new HandFlow()
    let answerNow = (): void => undefined
    const deaf: Send = () => new Promise((resolve) => (answerNow = () => resolve(new Answer(503, [], late))))
    const bench = await pluginTest(fallback, { to: ['second'] }, { backends: { main: deaf, second: failing('RESET') } })
    const x2 = bench.exchange()
    const sent2 = Promise.resolve(bench.route.send(x2, x2.leg)).then(() => 'answered', (error: WeirError) => error.code)
    x2.leg.cancel(new WeirError('CALLER_LEFT'))
    answerNow()
    expect([await sent2, late.cancelled, x2.attempts]).toEqual(['CALLER_LEFT', true, 1])
  })

  test('whenever the caller leaves, everything stops and nobody else is asked', async () => {
    const hanging: Send = (_x, leg) => new Promise((_resolve, reject) => leg.watch({ legCancelled: reject } satisfies LegWatcher))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...behaviours.filter(({ fails }) => fails !== null)), { minLength: 1, maxLength: 3 }), async (failed) => {
        const names = ['main', ...failed.slice(1).map((_, i) => `t${i}`), 'hangs', 'never']
        const asked: string[] = []
        const sends = [...failed.map(({ send }) => send), hanging, whole('json', '{}')]
        const backends = Object.fromEntries(names.map((name, i): [string, Send] => [name, (x, leg) => (asked.push(name), sends[i]!(x, leg))]))
        const bench = await pluginTest(fallback, { to: names.slice(1), on: [...WORDS, '400'] }, { backends })
        const x = bench.exchange({ body: '{}' })
        const sent = Promise.resolve(bench.route.send(x, x.leg)).then(({ status }) => status, (error: WeirError) => error.code)
        for (let i = 0; i < 20; i++) await settled()
        x.leg.cancel(new WeirError('CALLER_LEFT'))
        const reached = asked.includes('hangs')
        expect(await sent).toBe(reached ? 'CALLER_LEFT' : failed[0]!.fails)
        expect(asked).not.toContain('never')
      }),
      { numRuns: 60 },
    )
  })
})
