/**
 * The routing of one exchange (timeout, fallback, hedge, retry) against any behaviour of its backends, on a fake clock: what must always
 * hold, whatever is configured. Nothing here repeats how the plugins decide; only what a caller and a provider may count on.
 */
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Answer, type Exchange, type Leg, type Sink } from '../../gateway/exchange.ts'
import { type Code, WeirError } from '../../gateway/errors.ts'
import { runDone } from '../../gateway/pipeline/run.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import fallback from '../../plugins/fallback.ts'
import hedge from '../../plugins/hedge.ts'
import retry from '../../plugins/retry.ts'
import timeout from '../../plugins/timeout.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { FakeClock } from '../fake_clock.ts'
import { type Bench, pipelineTest } from '../plugin_test.ts'
import { Scripted, type Step } from './script.ts'

const RUNS = process.env['WEIR_PROOF'] === 'full' ? 10_000 : 400
/** Answers that `hedge` must know before it hedges. */
const KNOWN = 50
/** What sums of numbers that are not whole may be off by. */
const FINE_MS = 1e-6

beforeEach(() => void vi.spyOn(Math, 'random').mockImplementation(random(1)))
afterEach(() => void vi.restoreAllMocks())

// ---------------------------------------------------------------- any configuration, any behaviour

interface Case {
  readonly total: number | null
  readonly per_try: number | null
  readonly retry: { readonly max: number; readonly on: readonly string[]; readonly post: boolean; readonly min: number } | null
  readonly hedge: { readonly delay: number; readonly post: boolean } | null
  readonly fallback: { readonly to: readonly string[]; readonly on: readonly string[]; readonly stream: 'pass' | 'buffer' } | null
  readonly scripts: readonly (readonly Step[])[]
  readonly callers: readonly { readonly at: number; readonly method: 'GET' | 'POST'; readonly leaves: number | null }[]
}

const CODES: readonly Code[] = ['CONNECT_FAILED', 'CONNECT_TIMEOUT', 'RESET', 'HEADERS_TIMEOUT', 'NO_ENDPOINT', 'BAD_ANSWER']
const ms = (max: number) => fc.integer({ min: 1, max })
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('answer', 'answer', 'answer', 'error', 'error', 'silent', 'cut', 'stall', 'broken'),
  after: fc.oneof(fc.constant(0), ms(300)),
  gap: fc.oneof(fc.constant(0), ms(150)),
  status: fc.constantFrom(200, 200, 200, 429, 500, 503, 400),
  code: fc.constantFrom(...CODES),
  stream: fc.boolean(),
})
const some = (words: readonly string[]) => fc.subarray([...words], { minLength: 1 })
const cases: fc.Arbitrary<Case> = fc.record({
  total: fc.option(fc.integer({ min: 200, max: 1500 })),
  per_try: fc.option(fc.integer({ min: 20, max: 200 })),
  retry: fc.option(fc.record({ max: fc.integer({ min: 1, max: 3 }), on: some(['connect', 'reset', 'refused', 'timeout', '5xx', '429']), post: fc.boolean(), min: fc.integer({ min: 1, max: 3 }) })),
  hedge: fc.option(fc.record({ delay: ms(150), post: fc.boolean() })),
  fallback: fc.option(fc.record({ to: fc.constantFrom(['second'], ['second', 'third'], ['main', 'second'], ['third', 'main']), on: some(['timeout', 'connect', 'reset', 'ejected', 'invalid', '5xx', '429']), stream: fc.constantFrom('pass', 'buffer') })),
  scripts: fc.tuple(fc.array(step, { minLength: 1, maxLength: 8 }), fc.array(step, { minLength: 1, maxLength: 4 }), fc.array(step, { minLength: 1, maxLength: 4 })),
  callers: fc.array(fc.record({ at: fc.integer({ min: 0, max: 100 }), method: fc.constantFrom('GET', 'POST'), leaves: fc.option(ms(600), { freq: 3 }) }), { minLength: 1, maxLength: 6 }),
})

function pluginsOf({ total, per_try, retry: again, hedge: twice, fallback: chain }: Case): [Plugin, unknown][] {
  const plugins: [unknown, unknown][] = []
  const times = { ...(total !== null && { total: `${total}ms` }), ...(per_try !== null && { per_try: `${per_try}ms` }) }
  if (Object.keys(times).length > 0) plugins.push([timeout, times])
  if (chain !== null) plugins.push([fallback, { to: chain.to, on: chain.on, stream: chain.stream }])
  if (twice !== null) plugins.push([hedge, { delay: { min: `${twice.delay}ms` }, max_share: '100%', methods: twice.post ? ['GET', 'POST'] : ['GET'] }])
  if (again !== null) plugins.push([retry, { max: again.max, on: again.on, methods: again.post ? ['GET', 'POST'] : ['GET'], backoff: { base: '10ms', max: '40ms' }, budget: { ratio: '0%', min: again.min } }])
  return plugins as [Plugin, unknown][]
}

// ---------------------------------------------------------------- a caller

interface Outcome {
  readonly x: Exchange
  readonly how: 'whole' | 'cut' | 'error'
  readonly code: Code | null
  readonly body: string
  readonly status: number
  /** When `send` gave its answer; Infinity = it gave none. */
  readonly headAt: number
  readonly at: number
}

/** As the server does it: the answer, then its body, then `done`. @throws when a body ends twice, or goes on behind its end */
class Reader implements Sink {
  body = ''
  #ends = 0
  readonly #over: (error: WeirError | null) => void

  constructor(over: (error: WeirError | null) => void) {
    this.#over = over
  }

  data(chunk: Buffer): boolean {
    if (this.#ends > 0) throw new Error('a byte behind the end')
    this.body += chunk.toString()
    return true
  }

  end(): void {
    this.#end(null)
  }

  fail(error: WeirError): void {
    this.#end(error)
  }

  #end(error: WeirError | null): void {
    if (++this.#ends > 1) throw new Error('a second end')
    this.#over(error)
  }
}

async function call({ route, clock }: Bench, x: Exchange): Promise<Outcome> {
  let headAt = Infinity
  const told = (how: Outcome['how'], answer: Answer | null, code: Code | null, body = ''): Outcome => ({ x, how, code, body, status: answer?.status ?? 0, headAt, at: clock.now() })
  try {
    x.reached = route.plugins.length
    const answer = await route.send(x, x.leg)
    headAt = clock.now()
    if (answer.body === null || Buffer.isBuffer(answer.body)) return told('whole', answer, null, answer.body?.toString() ?? '')
    const flow = answer.body
    const { promise, resolve } = Promise.withResolvers<WeirError | null>()
    const reader = new Reader(resolve)
    flow.start(reader)
    const error = await promise
    return told(error === null ? 'whole' : 'cut', answer, error?.code ?? null, reader.body)
  } catch (error) {
    return told('error', null, (error as WeirError).code)
  } finally {
    runDone(route, x)
  }
}

function leave(x: Exchange, leg: Leg): void {
  x.error ??= new WeirError('CALLER_LEFT')
  leg.cancel(new WeirError('CALLER_LEFT'))
}

/** `hedge` knows what is usual: this many answers at once, in a millisecond. */
async function warm(bench: Bench): Promise<void> {
  const answers = Array.from({ length: KNOWN }, () => call(bench, bench.exchange({ method: 'GET' })))
  await bench.clock.tick(1)
  for (const { how } of await Promise.all(answers)) expect(how).toBe('whole')
}

// ---------------------------------------------------------------- the property

interface Played {
  readonly outcomes: readonly Outcome[]
  readonly scripted: Scripted
  readonly left: number
}

async function play(one: Case): Promise<Played> {
  const clock = new FakeClock()
  const scripted = new Scripted(clock)
  const quick: Step = { kind: 'answer', after: 1, gap: 0, status: 200, code: 'RESET', stream: false }
  const [first, second, third] = one.scripts
  const backends = {
    main: scripted.backend([...(one.hedge === null ? [] : Array.from({ length: KNOWN }, () => ({ ...quick, after: 1 }))), ...first!]),
    second: scripted.backend(second!),
    third: scripted.backend(third!),
  }
  const bench = await pipelineTest(pluginsOf(one), { backends, clock })
  // What is kept up for a route as long as there is one.
  const standing = clock.pending
  if (one.hedge !== null) await warm(bench)
  scripted.attempts.length = 0
  const outcomes: Outcome[] = []
  let left = -1
  const running: Promise<void>[] = []
  for (const { at, method, leaves } of one.callers) {
    clock.after(at, () => {
      const x = bench.exchange({ method, body: method === 'POST' ? 'body' : null })
      const timer = leaves === null ? null : clock.after(leaves, () => leave(x, x.leg))
      running.push(
        call(bench, x).then((outcome) => {
          timer?.cancel()
          if (outcomes.push(outcome) === one.callers.length) left = clock.pending - standing
        }),
      )
    })
  }
  await clock.tick(5000)
  // Without a total deadline somebody who waits for ever leaves at last.
  for (const { x } of scripted.attempts) if (!outcomes.some((outcome) => outcome.x === x)) leave(x, x.leg)
  await clock.tick(0)
  await Promise.all(running)
  await bench.close()
  expect(outcomes.length).toBe(one.callers.length)
  return { outcomes, scripted, left }
}

function check(one: Case, { outcomes, scripted, left }: Played): void {
  const opted = (method: string, by: { readonly post: boolean } | null): boolean => by !== null && (method === 'GET' || by.post)
  for (const outcome of outcomes) {
    const { x, headAt, at } = outcome
    const attempts = scripted.of(x)
    const deadline = one.total === null ? Infinity : x.started + one.total + FINE_MS

    // Each backend is asked as often as was opted in for, and executes once where nothing was.
    const most = (opted(x.method, one.hedge) ? 2 : 1) * (opted(x.method, one.retry) ? 1 + one.retry!.max : 1)
    for (const name of ['main', 'second', 'third']) {
      const executions = attempts.filter(({ backend, executed }) => backend === name && executed).length
      expect(executions, `executions at ${name}`).toBeLessThanOrEqual(most)
    }
    expect(x.attempts).toBe(attempts.length)

    // Deadlines.
    expect(at).toBeLessThanOrEqual(deadline)
    for (const { begunAt, headAt: head, overAt, step: { stream } } of attempts) {
      expect(overAt, 'an attempt that goes on though nobody waits for it').toBeLessThanOrEqual(at)
      expect(begunAt, 'an attempt behind the deadline').toBeLessThan(deadline)
      expect(begunAt, 'an attempt though an answer was given').toBeLessThanOrEqual(headAt)
      expect(begunAt, 'an attempt behind the end').toBeLessThanOrEqual(at)
      if (one.per_try === null) continue
      expect(Math.min(head, overAt) - begunAt, 'longer than per_try').toBeLessThanOrEqual(one.per_try + FINE_MS)
      if (one.fallback !== null && !stream) expect(overAt - begunAt, 'longer than per_try, though held').toBeLessThanOrEqual(one.per_try + FINE_MS)
    }

    // What is whole is one attempt's own answer, all of it; what is cut is a part of one.
    if (outcome.how === 'whole') expect(attempts.filter(({ whole, step: { status, kind } }) => whole === outcome.body && status === outcome.status && (kind === 'answer' || kind === 'broken'))).toHaveLength(1)
    if (outcome.how === 'whole' && outcome.status === 200 && one.fallback?.on.includes('invalid') === true) expect(attempts.filter(({ whole, step: { stream, kind } }) => whole === outcome.body && !stream && kind === 'broken')).toEqual([])
    if (outcome.how === 'cut') expect(attempts.filter(({ whole, step: { status } }) => whole.startsWith(outcome.body) && status === outcome.status).length).toBeGreaterThan(0)
    if (outcome.how !== 'whole') expect(outcome.code).not.toBeNull()
    expect(['INTERNAL', 'PLUGIN_FAILED']).not.toContain(outcome.code)
  }
  expect(left, 'timers left').toBe(0)
  if (one.retry !== null) expect(scripted.mostExtra, 'retries and hedges at once').toBeLessThanOrEqual(one.retry.min)
}

test('one outcome, whole or honestly cut; deadlines, budgets and executions hold; nothing is left', async () => {
  const seen: Record<string, number> = {}
  const count = (what: string): void => void (seen[what] = (seen[what] ?? 0) + 1)
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      const played = await play(one)
      check(one, played)
      for (const { how, code, x } of played.outcomes) {
        count(how)
        if (code === 'TOTAL_TIMEOUT') count('total')
        if (code === 'CALLER_LEFT') count('left')
        if (x.fallback !== null && x.fallback !== '') count('fell back')
        const mine = played.scripted.of(x)
        if (mine.some(({ nth }) => nth > 1)) count('asked again')
        if (mine.some((a) => mine.some((b) => a !== b && a.backend === b.backend && b.begunAt > a.begunAt && b.begunAt < a.overAt && b.begunAt < a.headAt))) count('hedged')
        if (mine.some(({ headAt, overAt }) => headAt === Infinity && overAt !== Infinity)) count('given up')
      }
    }),
    { numRuns: RUNS },
  )
  // Everything that is to hold has had the chance not to.
  for (const what of ['whole', 'cut', 'error', 'total', 'left', 'fell back', 'asked again', 'hedged', 'given up']) expect(seen[what], what).toBeGreaterThan(5)
}, 600_000)
