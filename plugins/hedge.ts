import { Allowance, BEAT_MS, Budget, BUDGET_BYTES } from '../gateway/stats/budget.ts'
import { Percentile } from '../gateway/stats/percentile.ts'
import { type Answer, Defaulted, Duration, type Exchange, type Host, isFlow, type Leg, Percent, plugin, type Send, type Timer, Type, WeirError } from '../gateway/plugin.ts'
import { budgetCell } from './slots/retry_budget.ts'

/** Answer times that must be known before anything is hedged. */
const ENOUGH = 50
/** Answer times older than this are forgotten. */
const WINDOW_MS = 60_000
/** Of a route without `retry`. */
const OWN_BUDGET = { percent: 20, min: 3 } as const

export default plugin({
  name: 'hedge',
  summary: 'Sends a second request to another endpoint when the answer takes longer than usual, and takes the answer that comes first.',
  stability: 'experimental',
  onError: 'closed',
  nesting: 'hedge',
  config: Type.Object(
    {
      delay: Defaulted(
        Type.Object(
          {
            min: Defaulted(Duration({ description: 'Never sooner than this.', default: '20ms' })),
            percentile: Defaulted(Type.Number({ description: 'Share of the answers of this route, in percent, that came sooner in the last minute or so; nothing is hedged before 50 answers are known. Every data thread knows its own.', minimum: 50, maximum: 99.9, default: 95 })),
          },
          { description: 'How long the first request has: the longer of the two.', additionalProperties: false, default: {} },
        ),
      ),
      max_share: Defaulted(Percent({ description: 'Second requests, at most this share of the requests of the route.', default: '5%' })),
      methods: Defaulted(
        Type.Array(Type.String({ description: 'A method, upper case.', pattern: '^[A-Z]{1,32}$' }), {
          description: 'Methods that may be executed twice at the same time. List POST where an inference has no side effect.',
          minItems: 1,
          maxItems: 32,
          uniqueItems: true,
          default: ['GET', 'HEAD', 'OPTIONS'],
        }),
      ),
    },
    { additionalProperties: false },
  ),
  example: { delay: { min: '20ms', percentile: 95 }, max_share: '5%', methods: ['GET', 'HEAD', 'POST'] },
  metrics: {
    total: { type: 'counter', help: 'Second requests, by what came of them: the answer (`won`), given up for the answer of the first (`lost`), or neither request had a good one (`failed`).', labels: { result: ['won', 'lost', 'failed'] } },
    sent_total: { type: 'counter', help: 'Second requests sent.' },
    withheld_total: { type: 'counter', help: 'Slow requests without a second one, because of `max_share`, because the retry budget was used up, or because no endpoint was available.', labels: { why: ['share', 'budget', 'unavailable'] } },
  },

  check({ delay, max_share }) {
    if (delay.min < 1) return '`delay.min` must be at least 1ms'
    return max_share === 0 ? '`max_share` allows no second request at all' : undefined
  },

  async build({ delay, max_share, methods }, host) {
    const own = new Budget(await host.share('budget', BUDGET_BYTES), OWN_BUDGET.percent, OWN_BUDGET.min, host.now())
    host.every(BEAT_MS, () => own.beat(host.now()))
    const cell = budgetCell(host)
    const times = new Percentile(delay.percentile, WINDOW_MS, ENOUGH)
    const share = new Allowance(max_share)
    const repeatable = new Set(methods)
    const sent = host.metrics.sent_total()
    const results = { won: host.metrics.total({ result: 'won' }), lost: host.metrics.total({ result: 'lost' }), failed: host.metrics.total({ result: 'failed' }) }
    const withheld = { share: host.metrics.withheld_total({ why: 'share' }), budget: host.metrics.withheld_total({ why: 'budget' }), unavailable: host.metrics.withheld_total({ why: 'unavailable' }) }


    /** The budget that pays for a second request now, or null; counts why not. */
    function grant(x: Exchange, leg: Leg): Budget | null {
      if (leg.backend.available?.() === false) return withheld.unavailable.add(), null
      if (!share.enough) return withheld.share.add(), null
      const budget = cell.get(x)!
      if (!budget.take()) return withheld.budget.add(), null
      share.spend()
      sent.add()
      return budget
    }

    /** Models and constants answer no sooner for being asked twice; a body that streams can be sent only once. */
    function eligible(x: Exchange, leg: Leg): boolean {
      return repeatable.has(x.method) && leg.backend.kind === 'http' && x.upgrade === '' && (x.body === null || Buffer.isBuffer(x.body))
    }

    const rules: Rules = { host, times, grant, result: (word) => results[word].add() }

    return {
      send: (next) =>
        function hedge(x, leg) {
          if (!eligible(x, leg)) return next(x, leg)
          share.earn()
          leg.tried ??= []
          const race = new Race(x, leg, next, rules)
          const answer = next(x, race.first)
          // `retry` has put its own there by now.
          if (cell.get(x) === undefined) {
            cell.set(x, own)
            own.enter()
          }
          if (!(answer instanceof Promise)) return answer
          const usual = times.value
          return race.run(answer, usual === null ? Infinity : Math.max(delay.min, usual))
        },
      done(x) {
        if (cell.get(x) === own) own.leave()
      },
      close: () => own.close(),
    }
  },
})

interface Rules {
  readonly host: Pick<Host, 'now' | 'after'>
  readonly times: Percentile
  grant(x: Exchange, leg: Leg): Budget | null
  result(word: 'won' | 'lost' | 'failed'): void
}

/** How one of the two fared: an answer that is a failure, or an error. */
interface Failure {
  readonly leg: Leg
  readonly answer: Answer | null
  readonly error: unknown
}

/** One request and perhaps a second: the first good answer is the answer, else the better of two failures. */
class Race {
  readonly first: Leg
  readonly #x: Exchange
  readonly #leg: Leg
  readonly #next: Send
  readonly #rules: Rules
  readonly #began: number
  readonly #done = Promise.withResolvers<Answer>()
  #timer: Timer | null = null
  #second: Leg | null = null
  /** Given when a second request was sent, and to be given back. */
  #budget: Budget | null = null
  #underWay = 1
  #over = false
  #failure: Failure | null = null

  constructor(x: Exchange, leg: Leg, next: Send, rules: Rules) {
    this.#x = x
    this.#leg = leg
    this.#next = next
    this.#rules = rules
    this.first = leg.child()
    this.#began = rules.host.now()
  }

  /** @param delay_ms when the second is sent; Infinity = never */
  run(answer: Promise<Answer>, delay_ms: number): Promise<Answer> {
    this.#await(this.first, answer)
    if (this.#rules.host.now() + delay_ms < this.#leg.deadline) this.#timer = this.#rules.host.after(delay_ms, () => this.#hedge())
    return this.#done.promise
  }

  #await(leg: Leg, answer: Promise<Answer>): void {
    answer.then((good) => this.#answered(leg, good), (error: unknown) => this.#failed({ leg, answer: null, error }))
  }

  #hedge(): void {
    if (this.#over || this.#leg.cancelled !== null) return
    this.#budget = this.#rules.grant(this.#x, this.#leg)
    if (this.#budget === null) return
    this.#underWay++
    this.#leg.trace?.event('hedge')
    this.#second = this.#leg.child()
    this.#second.hedge = true
    this.#await(this.#second, Promise.resolve(this.#next(this.#x, this.#second)))
  }

  #answered(leg: Leg, answer: Answer): void {
    if (this.#over) return discard({ leg, answer, error: null })
    if (answer.status >= 500 || answer.status === 429) return this.#failed({ leg, answer, error: null })
    // The time of a first request that is given up is a lower bound, beyond the percentile already: it counts as what it is, slow.
    this.#rules.times.record(this.#rules.host.now() - this.#began, this.#rules.host.now())
    this.#finish(leg === this.first ? 'lost' : 'won')
    const loser = leg === this.first ? this.#second : this.first
    loser?.cancel(new WeirError('CALLER_LEFT', 'The other request of the two was answered first.'))
    if (this.#failure !== null) discard(this.#failure)
    this.#done.resolve(answer)
  }

  #failed(failure: Failure): void {
    if (this.#over) return
    this.#underWay--
    const before = this.#failure
    // Of two failures an answer says more than an error, and the earlier one is what a caller would have got without the second.
    const better = before === null || (before.answer === null && failure.answer !== null) ? failure : before
    if (before !== null) discard(better === before ? failure : before)
    this.#failure = better
    if (this.#underWay > 0) return
    this.#finish('failed')
    if (better.answer !== null) this.#done.resolve(better.answer)
    else this.#done.reject(better.error)
  }

  #finish(result: 'won' | 'lost' | 'failed'): void {
    this.#over = true
    this.#timer?.cancel()
    if (this.#budget === null) return
    this.#budget.giveBack()
    this.#rules.result(result)
    ;(this.#x.flags ??= []).push(`hedge:${result}`)
  }
}

/** Nobody will read this answer. */
function discard({ leg, answer }: Failure): void {
  leg.close()
  if (answer === null) return
  answer.tunnel?.cancel()
  if (isFlow(answer.body)) answer.body.cancel()
}
