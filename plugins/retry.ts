import { backoff, retryAfter } from '../gateway/stats/backoff.ts'
import { BEAT_MS, Budget, BUDGET_BYTES } from '../gateway/stats/budget.ts'
import { type Answer, type Code, codes, type Counter, Defaulted, Duration, type Exchange, Failures, type Flow, type Leg, paused, Percent, plugin, type Send, type Sink, Size, Type, WeirError, type Word } from '../gateway/plugin.ts'
import { budgetCell } from './slots/retry_budget.ts'

/** How one try fared: an answer or an error, and why it may be tried again, in a word of `on` or `header`; null = it may not. */
interface Outcome {
  readonly word: Word | null
  readonly answer: Answer | null
  readonly error: WeirError | null
}

/** Bytes of a discarded answer that are read so that its connection stays of use. */
const DRAIN_BYTES = 65_536

const DENIALS = ['method', 'retry_after', 'deadline'] as const

const Condition = Type.Union(
  [Type.String({ pattern: '^(connect|reset|refused|timeout|5xx|gateway-error|[45][0-9][0-9](:[!-~]{1,128})?)$' }), Type.Integer({ minimum: 400, maximum: 599 })],
  { description: 'A reason or a status.' },
)
const On = Defaulted(
  Type.Array(Condition, {
    description:
      'What is tried again: `connect` (no connection was made, its time limit included), `reset` (the connection broke before the answer began), `refused` (no connection was free or no endpoint available), `timeout` (a limit other than `total` passed), `5xx`, `gateway-error` (502, 503, 504), a status, or a status with the error code of a JSON body (`"429:rate_limit_exceeded"`: `error.code`, else `error.type`). The statuses include the errors weir itself would answer for that backend, except those of `refused` and `timeout`: a backend that was silent is asked again only where that is listed.',
    minItems: 1,
    maxItems: 32,
    uniqueItems: true,
    default: ['connect', 'reset', 429, 503],
  }),
)
const Method = Type.String({ description: 'A method, upper case.', pattern: '^[A-Z]{1,32}$' })
const Backoff = Defaulted(
  Type.Object(
    {
      base: Defaulted(Duration({ description: 'Longest wait before the first retry; doubles with every further one.', default: '25ms' })),
      max: Defaulted(Duration({ description: 'Longest wait before any retry.', default: '250ms' })),
    },
    { description: 'The wait is drawn at random between nothing and the longest.', additionalProperties: false, default: {} },
  ),
)
const BudgetOptions = Defaulted(
  Type.Object(
    {
      ratio: Defaulted(Percent({ description: 'Retries under way, as a share of the requests under way on this route.', default: '20%' })),
      min: Defaulted(Type.Integer({ description: 'Retries that may be under way whatever the share says.', minimum: 0, maximum: 10_000, default: 3 })),
    },
    { description: 'What keeps retries from multiplying the load of a backend that fails: for all data threads together; beyond it the failure is answered.', additionalProperties: false, default: {} },
  ),
)

export default plugin({
  name: 'retry',
  summary: 'Asks the backend again, another endpoint if there is one, when an attempt failed and asking again is safe.',
  stability: 'beta',
  onError: 'closed',
  nesting: 'retry',
  config: Type.Object(
    {
      max: Defaulted(Type.Integer({ description: 'Retries, not attempts.', minimum: 1, maximum: 10, default: 1 })),
      on: On,
      methods: Defaulted(
        Type.Array(Method, {
          description:
            'Methods that may be executed twice. List POST where an inference has no side effect. Others are tried again only when the request cannot have been executed (`connect`, `refused`), or when the caller sent an Idempotency-Key.',
          maxItems: 32,
          uniqueItems: true,
          default: ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'],
        }),
      ),
      headers: Type.Optional(
        Type.Record(Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$" }), Type.String({ maxLength: 1024 }), { description: 'Fields of an answer by which the backend itself asks for a retry, whatever its status: name and exact value.', minProperties: 1 }),
      ),
      backoff: Backoff,
      retry_after: Defaulted(Duration({ description: 'A Retry-After up to this is waited for; an answer that asks for more is not tried again.', default: '5s' })),
      budget: BudgetOptions,
      replay: Defaulted(Size({ description: 'Request bodies up to this size are kept so that they can be sent again. Longer ones stream, and their requests have no retry.', default: '1MiB' })),
    },
    { additionalProperties: false },
  ),
  example: { max: 2, on: ['connect', 'reset', 'gateway-error', 429], methods: ['GET', 'HEAD', 'POST'], budget: { ratio: '20%' } },
  metrics: {
    total: { type: 'counter', help: 'Retries, by the reason of the failure before and by what came of them.', labels: { reason: 'config', result: ['success', 'failure'] } },
    impossible_total: { type: 'counter', help: 'Failures without a retry because the request body was longer than `replay`.' },
    overflow_total: { type: 'counter', help: 'Failures without a retry because the budget was used up.' },
    denied_total: { type: 'counter', help: 'Failures without a retry because of the method, because the backend asked for a longer pause, or because the deadline comes first.', labels: { why: DENIALS } },
  },

  check({ backoff: { base, max }, budget }) {
    if (base < 1) return '`backoff.base` must be at least 1ms'
    if (base > max) return `\`backoff.base\` (${base}ms) is longer than \`backoff.max\` (${max}ms)`
    if (budget.min === 0 && budget.ratio === 0) return '`budget` allows no retry at all: raise `ratio` or `min`'
    return undefined
  },

  async build({ max, on, methods, headers = {}, backoff: wait, retry_after, budget: { ratio, min }, replay }, host) {
    const budget = new Budget(await host.share('budget', BUDGET_BYTES), ratio, min, host.now())
    host.every(BEAT_MS, () => budget.beat(host.now()))
    const cell = budgetCell(host)
    const conditions = new Conditions(on.map(String), headers)
    const repeatable = new Set(methods)
    const impossible = host.metrics.impossible_total()
    const overflow = host.metrics.overflow_total()
    const denied = Object.fromEntries(DENIALS.map((why) => [why, host.metrics.denied_total({ why })])) as Record<(typeof DENIALS)[number], Counter>
    const results = new Map(conditions.words.map((reason) => [reason, [host.metrics.total({ reason, result: 'failure' }), host.metrics.total({ reason, result: 'success' })] as const]))

    /** Whether a request that may have been executed may be executed again. */
    function mayRepeat(x: Exchange): boolean {
      return repeatable.has(x.method) || x.fields.get('idempotency-key') !== undefined
    }

    /** Milliseconds to wait before the retry after `n` others, or null when there is none; counts why. */
    function plan(x: Exchange, leg: Leg, failed: Outcome, n: number): number | null {
      if (!unsent(failed.error) && !mayRepeat(x)) return denied.method.add(), null
      if (x.body !== null && !Buffer.isBuffer(x.body)) return impossible.add(), null
      const asked = askedPause(failed)
      if (asked > retry_after) return denied.retry_after.add(), null
      const pause = asked + backoff(n, wait.base, wait.max, Math.random())
      if (host.now() + pause >= leg.deadline) return denied.deadline.add(), null
      if (budget.take()) return pause
      overflow.add()
      mark(x, 'retry:overflow')
      return null
    }

    /** The rest of the call once the first try did not just succeed. */
    async function persist(x: Exchange, leg: Leg, next: Send, first: Outcome | Promise<Outcome>): Promise<Answer> {
      let last = await first
      for (let n = 0; last.word !== null && n < max; n++) {
        const pause = plan(x, leg, last, n)
        if (pause === null) return conclude(last)
        leg.trace?.event('retry', { reason: last.word, pause_ms: Math.round(pause) })
        last = await again(x, leg, next, last, pause).finally(() => budget.giveBack())
      }
      if (last.word !== null) mark(x, 'retry:exhausted')
      return conclude(last)
    }

    async function again(x: Exchange, leg: Leg, next: Send, failed: Outcome, pause: number): Promise<Outcome> {
      const drain = Drain.of(failed.answer)
      try {
        await paused(host.after, leg, pause)
        const result = await outcome(x, leg, next(x, leg))
        results.get(failed.word!)![result.error === null && result.word === null ? 1 : 0].add()
        return result
      } finally {
        drain?.stop()
      }
    }

    async function outcome(x: Exchange, leg: Leg, pending: Answer | Promise<Answer>): Promise<Outcome> {
      try {
        const answer = await pending
        return await answered(x, leg, answer, verdict(answer, leg))
      } catch (error) {
        return broken(x, leg, error)
      }
    }

    /** @returns null, mostly: nothing speaks against it */
    function verdict(answer: Answer, leg: Leg): Word | null | Promise<Word | null> {
      return leg.cancelled === null ? conditions.answer(answer, leg) : null
    }

    async function answered(x: Exchange, leg: Leg, answer: Answer, word: Word | null | Promise<Word | null>): Promise<Outcome> {
      try {
        return { word: await word, answer, error: null }
      } catch (error) {
        return broken(x, leg, error)
      }
    }

    function broken(x: Exchange, leg: Leg, error: unknown): Outcome {
      const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
      // A leg that was cancelled has its error from whoever did that; the loser of a hedge has none.
      if (leg.cancelled === null) x.error ??= known
      return { word: leg.cancelled === null ? conditions.error(known) : null, answer: null, error: known }
    }

    return {
      replayBytes: replay,
      send: (next) =>
        function retry(x, leg) {
          leg.tried ??= []
          // A fallback asks here once a target, a hedge twice: one request under way all the same.
          if (cell.get(x) === undefined) {
            cell.set(x, budget)
            budget.enter()
          }
          // An answer that nothing speaks against, as most are, needs none of the rest.
          const settle = (answer: Answer): Answer | Promise<Answer> => {
            const word = verdict(answer, leg)
            return word === null ? answer : persist(x, leg, next, answered(x, leg, answer, word))
          }
          const first = next(x, leg)
          return first instanceof Promise ? first.then(settle, (error: unknown) => persist(x, leg, next, broken(x, leg, error))) : settle(first)
        },
      done(x) {
        if (cell.get(x) === budget) budget.leave()
      },
      close: () => budget.close(),
    }
  },
})

function conclude({ answer, error }: Outcome): Answer {
  if (answer !== null) return answer
  throw error!
}

/** Marks are few: one of a kind. */
function mark(x: Exchange, flag: string): void {
  const flags = (x.flags ??= [])
  if (!flags.includes(flag)) flags.push(flag)
}

// ---------------------------------------------------------------- what may be tried again

/** Never sent: whatever the method, it cannot have been executed. */
const UNSENT: ReadonlyMap<Code, 'connect' | 'refused'> = new Map([
  ['CONNECT_FAILED', 'connect'],
  ['DNS_FAILED', 'connect'],
  ['TLS_FAILED', 'connect'],
  ['CONNECT_TIMEOUT', 'connect'],
  ['NO_ENDPOINT', 'refused'],
  ['OVERLOADED', 'refused'],
  ['MODEL_NOT_READY', 'refused'],
])

/** The time is over, the caller's request is at fault, or the same comes again. */
const NEVER: ReadonlySet<Code> = new Set(['TOTAL_TIMEOUT', 'DEADLINE_EXCEEDED', 'REQUEST_TIMEOUT', 'DRAINING', 'MODEL_FAILED', 'NO_COVERAGE'])

function unsent(error: WeirError | null): boolean {
  return error !== null && UNSENT.has(error.code)
}

/** Milliseconds for which the backend (or weir, for it) asks not to be asked; 0 = it says nothing. */
function askedPause({ answer, error }: Outcome): number {
  if (answer === null) return (error!.retryAfter ?? 0) * 1000
  return retryAfter(answer.fields.get('retry-after'), answer.fields.get('date')) ?? 0
}

/** `on` and `headers`, ready to be asked. */
class Conditions {
  /** Every word that may be said. */
  readonly words: readonly Word[]
  readonly #failures: Failures
  readonly #fields: readonly (readonly [name: string, value: string])[]

  constructor(on: readonly Word[], headers: Readonly<Record<string, string>>) {
    this.#failures = new Failures(on)
    this.#fields = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])
    this.words = [...new Set(this.#fields.length === 0 ? on : [...on, 'header'])]
  }

  /** @returns a promise only when its body must be looked at */
  answer(answer: Answer, leg: Leg): Word | null | Promise<Word | null> {
    const certain = answer.code === null ? undefined : this.#certain(answer.code)
    if (certain !== undefined) return certain
    const word = this.#failures.ofAnswer(answer, leg)
    return word instanceof Promise ? word.then((known) => known ?? this.#asked(answer)) : (word ?? this.#asked(answer))
  }

  error(error: WeirError): Word | null {
    const certain = this.#certain(error.code)
    return certain === undefined ? this.#failures.ofError(error) : certain
  }

  #asked({ fields }: Answer): Word | null {
    return this.#fields.length > 0 && this.#fields.some(([name, value]) => fields.get(name) === value) ? 'header' : null
  }

  /** What no status and no reason decides; undefined = they do. */
  #certain(code: Code): Word | null | undefined {
    if (NEVER.has(code)) return null
    const kind = UNSENT.get(code)
    if (kind !== undefined && this.#failures.has(kind)) return kind
    // Asking a backend that is full, or that nobody is there for, once more is a decision of its own.
    if (kind === 'refused') return null
    // Who was silent once would be silent again, and the time is the caller's: its 504 is no `5xx` here.
    return codes[code].reason === 'timeout' && !this.#failures.has('timeout') ? null : undefined
  }
}

// ---------------------------------------------------------------- between two tries

/** An answer that nobody wants: read while the next try is under way if it is short, so that its connection can be used again, else given up. */
class Drain implements Sink {
  readonly #flow: Flow
  #bytes = 0

  private constructor(flow: Flow) {
    this.#flow = flow
  }

  static of(answer: Answer | null): Drain | null {
    if (answer === null) return null
    const { body } = answer
    answer.tunnel?.cancel()
    if (body === null || Buffer.isBuffer(body)) return null
    const drain = new Drain(body)
    if (body.length > DRAIN_BYTES) drain.stop()
    else body.start(drain)
    return drain
  }

  data(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#bytes > DRAIN_BYTES) this.stop()
    return true
  }

  end(): void {}

  fail(): void {}

  stop(): void {
    this.#flow.cancel()
  }
}
