/**
 * Any script of delays against any set of limits, on a fake clock: exactly one thing happens, and it is what comes first. The wire's
 * own attempt runs on a connection without a socket; when what must fire is computed by hand from the script.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Answer, type Exchange, type Leg, reply } from '../../gateway/exchange.ts'
import type { WeirError } from '../../gateway/errors.ts'
import { Fields } from '../../gateway/headers.ts'
import type { Plugin } from '../../gateway/plugin.ts'
import { Attempt } from '../../gateway/wire/attempt.ts'
import { Deadlines, type Waiting } from '../../gateway/wire/deadlines.ts'
import { AnswerHead, CHUNKED } from '../../gateway/wire/head.ts'
import type { Outbound } from '../../gateway/wire/outbound.ts'
import fallback from '../../plugins/fallback.ts'
import timeout from '../../plugins/timeout.ts'
import { FakeClock } from '../fake_clock.ts'
import { pipelineTest } from '../plugin_test.ts'

const LIMITS = ['total', 'per_try', 'connect', 'response_headers', 'first_byte', 'first_token', 'idle'] as const
type LimitName = (typeof LIMITS)[number]
type Limits = Readonly<Partial<Record<LimitName, number>>>

/** Milliseconds between one step and the next; `events` are the body. */
interface Script {
  readonly connect: number
  readonly head: number
  readonly events: readonly { readonly gap: number; readonly content: boolean }[]
  readonly end: number
}

/** The one timer of all connections is this fine. */
const GRAIN_MS = 5

// ---------------------------------------------------------------- a backend on a fake clock

/** What `Attempt` asks of a connection. */
class Wire implements Waiting {
  deadline = 0
  connected = false
  uses = 0
  readonly deadlines: Deadlines
  readonly socket = { write: () => true, pause: () => undefined, resume: () => undefined }
  #attempt: Attempt | null = null
  gone = false

  constructor(deadlines: Deadlines) {
    this.deadlines = deadlines
    deadlines.add(this)
  }

  take(attempt: Attempt): void {
    this.#attempt = attempt
  }

  deadlinePassed(): void {
    this.#attempt!.deadlinePassed()
  }

  abandon(): void {
    this.gone = true
    this.deadlines.remove(this)
  }
}

/** @param outcomes what the attempt told its owner */
function scripted(script: Script, clock: FakeClock, deadlines: Deadlines, outcomes: string[]) {
  return (x: Exchange, leg: Leg): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const wire = new Wire(deadlines)
      const owner = {
        attemptAnswered: (_attempt: Attempt, answer: Answer): void => (outcomes.push('answered'), resolve(answer)),
        attemptFailed: (_attempt: Attempt, error: WeirError): void => (outcomes.push('failed'), reject(error)),
        attemptOver: (): void => void outcomes.push('over'),
      }
      const { limits } = leg
      const attempt = new Attempt(x, leg, wire as unknown as Outbound, '', false, { ...limits }, owner)
      attempt.begin()
      let at = 0
      const step = (gap: number, run: () => void): void => void clock.after((at += gap), () => wire.gone || run())
      step(script.connect, () => attempt.connected())
      step(script.head, () => attempt.answeredFlow(streamHead()))
      for (const { gap, content } of script.events) step(gap, () => attempt.bodyData(Buffer.from(content ? 'data: x\n\n' : ':\n\n')))
      step(script.end, () => {
        attempt.whole(null)
        wire.abandon()
      })
    })
}

function streamHead(): AnswerHead {
  const head = new AnswerHead()
  head.status = 200
  head.length = CHUNKED
  head.fields = Fields.of(['content-type', 'text/event-stream'])
  return head
}

// ---------------------------------------------------------------- what must happen

interface Moment {
  readonly at: number
  readonly what: string
  /** Still behind a fallback: another target is asked. */
  readonly held: boolean
}

/** @returns in order of time; null when a limit ends with what it waits for, and either may come first */
function expected(limits: Limits, script: Script, held: boolean): readonly Moment[] | null {
  const connected = script.connect
  const head = connected + script.head
  const times: number[] = []
  for (const { gap } of script.events) times.push((times.at(-1) ?? head) + gap)
  const end = (times.at(-1) ?? head) + script.end
  const firstContent = script.events.findIndex(({ content }) => content)
  const committed = firstContent < 0 ? end : times[firstContent]!
  let tie = false
  const moments: Moment[] = [{ at: end, what: 'whole', held: false }]
  const fires = (name: LimitName, code: string, from: number, to: number): void => {
    const limit = limits[name]
    const at = from + (limit ?? Infinity)
    if (Math.abs(at - to) <= GRAIN_MS) tie = true
    if (at < to) moments.push({ at, what: code, held: held && at < committed })
  }
  fires('total', 'TOTAL_TIMEOUT', 0, end)
  fires('per_try', 'TRY_TIMEOUT', 0, held ? committed : head)
  fires('first_token', 'FIRST_TOKEN_TIMEOUT', 0, committed)
  fires('connect', 'CONNECT_TIMEOUT', 0, connected)
  fires('response_headers', 'HEADERS_TIMEOUT', connected, head)
  const first = times[0] ?? end
  if (limits.first_byte !== undefined) fires('first_byte', 'FIRST_BYTE_TIMEOUT', head, first)
  else fires('idle', 'IDLE_TIMEOUT', head, first)
  for (const [i, at] of times.entries()) fires('idle', 'IDLE_TIMEOUT', at, times[i + 1] ?? end)
  moments.sort((a, b) => a.at - b.at)
  return tie || (moments.length > 1 && moments[1]!.at - moments[0]!.at <= GRAIN_MS) ? null : moments
}

// ---------------------------------------------------------------- the property

const limit = fc.integer({ min: 20, max: 900 })
const gap = fc.integer({ min: 1, max: 400 })
const cases = fc.record({
  limits: fc.record(Object.fromEntries(LIMITS.map((name) => [name, limit])) as Record<LimitName, typeof limit>, { requiredKeys: [] }),
  script: fc.record({ connect: gap, head: gap, events: fc.array(fc.record({ gap, content: fc.boolean() }), { maxLength: 5 }), end: gap }),
  held: fc.boolean(),
})

test('exactly one limit fires, the earliest, or none and the answer is whole', async () => {
  const seen = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(cases, async ({ limits, script, held }) => {
      fc.pre(Object.keys(limits).length > 0 && !(limits.total! < Math.max(limits.per_try ?? 0, limits.first_token ?? 0)))
      const moments = expected(limits, script, held)
      fc.pre(moments !== null)
      const first = moments![0]!
      const clock = new FakeClock()
      const outcomes: string[] = []
      const options = Object.fromEntries(Object.entries(limits).map(([name, ms]) => [name, `${ms}ms`]))
      const plugins: [Plugin, unknown][] = [[timeout as unknown as Plugin, options]]
      if (held) plugins.push([fallback as unknown as Plugin, { to: ['second'] }])
      const deadlines = new Deadlines(clock)
      const bench = await pipelineTest(plugins, { backends: { main: scripted(script, clock, deadlines, outcomes), second: () => reply(200, 'second') }, clock })
      let at = -1
      const settledAs = bench.run({ headers: ['accept', 'text/event-stream'] }).then(
        ({ answer, body }) => ((at = clock.now()), answer.code ?? (body === 'second' ? 'second' : 'whole')),
        (error: WeirError) => ((at = clock.now()), error.code),
      )
      await clock.tick(5000)
      const outcome = await settledAs
      const code = first.what
      seen.set(code, (seen.get(code) ?? 0) + 1)
      expect(outcome).toBe(first.held && code !== 'TOTAL_TIMEOUT' ? 'second' : code)
      expect(at).toBeGreaterThanOrEqual(first.at)
      expect(at).toBeLessThanOrEqual(first.at + GRAIN_MS)
      // One limit counts itself, or the wire tells of one; never both, never two.
      const own = ['TOTAL_TIMEOUT', 'TRY_TIMEOUT', 'FIRST_TOKEN_TIMEOUT'].includes(code) ? 1 : 0
      expect(bench.metric('weir_timeout_total')).toBe(own)
      expect(outcomes.filter((word) => word === 'over')).toHaveLength(1)
      expect(outcomes.filter((word) => word !== 'over')).toHaveLength(1)
      expect(clock.pending).toBe(0)
      await bench.close()
    }),
    { numRuns: 600 },
  )
  // Every kind of ending has come up.
  expect([...seen.keys()].sort()).toEqual(['CONNECT_TIMEOUT', 'FIRST_BYTE_TIMEOUT', 'FIRST_TOKEN_TIMEOUT', 'HEADERS_TIMEOUT', 'IDLE_TIMEOUT', 'TOTAL_TIMEOUT', 'TRY_TIMEOUT', 'whole'])
}, 60_000)
