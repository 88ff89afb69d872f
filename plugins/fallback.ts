import { type Answer, type Backend, BackendName, codes, type Counter, Defaulted, type Exchange, type Flow, HOLD_BYTES, hold, type Leg, plugin, type Send, Size, Type, unsound, WeirError } from '../gateway/plugin.ts'

/** Why an outcome is not good enough, in a word of `on`. */
type Word = string

/** How one target fared. `word` null: well enough. */
interface Outcome {
  readonly leg: Leg
  readonly word: Word | null
  readonly answer: Answer | null
  readonly error: WeirError | null
}

const Failure = Type.Union(
  [Type.String({ pattern: '^(timeout|connect|reset|ejected|overload|invalid|no_coverage|5xx|gateway-error|[45][0-9][0-9])$' }), Type.Integer({ minimum: 400, maximum: 599 })],
  { description: 'A reason or a status.' },
)
const On = Defaulted(
  Type.Array(Failure, {
    description:
      'What counts as failure: `timeout`, `connect`, `reset` (the connection broke), `ejected` (no endpoint is available), `overload`, `no_coverage` (a table has no such key), `invalid` (whole answers are then checked: well-formed JSON, no top-level `error` in a 2xx, what the format of the route asks for), `5xx`, `gateway-error` (502, 503, 504), or a status. `5xx` includes the errors weir itself would answer for that backend.',
    minItems: 1,
    maxItems: 32,
    uniqueItems: true,
    default: ['timeout', 'connect', 'reset', '5xx', 'ejected', 'overload'],
  }),
)

export default plugin({
  name: 'fallback',
  summary: 'Asks other backends, in order and within the same request, when one fails.',
  stability: 'beta',
  onError: 'closed',
  nesting: 'fallback',
  config: Type.Object(
    {
      to: Type.Array(BackendName({ description: 'A backend to try.' }), { description: 'Backends to try, in this order. One that has already failed is skipped.', minItems: 1, maxItems: 16 }),
      on: On,
      replay: Defaulted(Size({ description: 'Request bodies up to this size are kept so that they can be sent again. Longer ones stream, and their requests have no fallback.', default: '1MiB' })),
    },
    { additionalProperties: false },
  ),
  example: { to: ['candidate'], on: ['timeout', 'connect', 'reset', '5xx', 'ejected', 'invalid'] },
  metrics: {
    total: { type: 'counter', help: 'Targets tried because another failed, by the one that failed, the one tried and the reason.', labels: { from: 'config', to: 'config', reason: 'config' } },
    impossible_total: { type: 'counter', help: 'Failures without a fallback because the request body was longer than `replay`.' },
    exhausted_total: { type: 'counter', help: 'Exchanges in which the last target failed too.' },
  },

  build({ to, on, replay }, host) {
    const targets = to.map((name) => host.backend(name))
    const judge = new Judge(on.map(String))
    const impossible = host.metrics.impossible_total()
    const exhausted = host.metrics.exhausted_total()
    const moves = new Map<string, Counter>()

    /** Series are bound when first needed: not every pair of backends and reasons ever meets. All three are names of the file. */
    function moved(x: Exchange, from: string, to: string, reason: Word): void {
      const key = `${from}\0${to}\0${reason}`
      const counter = moves.get(key) ?? host.metrics.total({ from, to, reason })
      moves.set(key, counter)
      counter.add()
      host.log.warn('fell back', { from, to, reason, request_id: x.requestId })
    }

    /** The rest of the exchange once the first target has been asked. */
    async function cascade(x: Exchange, leg: Leg, next: Send, first: Outcome): Promise<Answer> {
      const tried: Backend[] = [first.leg.backend]
      let spare: Spare | null = null
      let last = first
      for (const target of targets) {
        if (last.word === null || leg.cancelled !== null) break
        if (tried.includes(target)) continue
        if (x.body !== null && !Buffer.isBuffer(x.body)) {
          impossible.add()
          break
        }
        if (last === first) spare = new Spare(first)
        else discard(last)
        moved(x, last.leg.backend.name, target.name, last.word)
        tried.push(target)
        last = await outcome(x, targetLeg(leg, target), next)
      }
      return conclude(x, leg, first, last, spare)
    }

    function conclude(x: Exchange, leg: Leg, first: Outcome, last: Outcome, spare: Spare | null): Answer | Promise<Answer> {
      if (spare !== null && (last.word !== null || last.answer === null)) exhausted.add()
      if (last.answer !== null && leg.cancelled === null) {
        if (spare !== null) x.fallback = `${first.leg.backend.name};${first.word}`
        spare?.discard()
        return last.answer
      }
      discard(last)
      if (leg.cancelled !== null) {
        spare?.discard()
        throw leg.cancelled
      }
      if (spare !== null) return spare.answer()
      throw last.error!
    }

    async function outcome(x: Exchange, leg: Leg, next: Send): Promise<Outcome> {
      try {
        return await judged(x, leg, await next(x, leg))
      } catch (error) {
        return broken(x, leg, error)
      }
    }

    async function judged(x: Exchange, leg: Leg, answer: Answer): Promise<Outcome> {
      const word = judge.answer(answer)
      if (word !== null) return { leg, word, answer, error: null }
      const whole = await hold(answer, leg, judge.invalid ? Math.max(x.route.maxBodyBytes, HOLD_BYTES) : HOLD_BYTES)
      const complaint = judge.invalid ? unsound(x, whole) : null
      if (complaint === null) return { leg, word: null, answer: whole, error: null }
      return broken(x, leg, new WeirError('INVALID_ANSWER', `${complaint[0]!.toUpperCase()}${complaint.slice(1)}.`))
    }

    function broken(x: Exchange, leg: Leg, error: unknown): Outcome {
      const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
      x.error ??= known
      return { leg, word: judge.error(known), answer: null, error: known }
    }

    return {
      replayBytes: replay,
      send: (next) =>
        function fallback(x, leg) {
          const own = targetLeg(leg, leg.backend)
          const answer = next(x, own)
          // An answer that is whole and good needs no promise.
          if (!(answer instanceof Promise) && isWhole(answer) && judge.answer(answer) === null && (!judge.invalid || unsound(x, answer) === null)) return answer
          return outcome(x, own, () => answer).then((first) => cascade(x, leg, next, first))
        },
    }
  },
})

function targetLeg(leg: Leg, target: Backend): Leg {
  const own = leg.child(target)
  own.held = true
  return own
}

function isWhole({ body }: Answer): boolean {
  return body === null || Buffer.isBuffer(body)
}

function flowOf(answer: Answer | null): Flow | null {
  return answer === null || answer.body === null || Buffer.isBuffer(answer.body) ? null : answer.body
}

/** Nobody will read this answer. */
function discard({ leg, answer }: Outcome): void {
  flowOf(answer)?.cancel()
  answer?.tunnel?.cancel()
  leg.close()
}

/** The first failure, kept while others are tried: when all fail it is the one that is reported. */
class Spare {
  readonly #outcome: Outcome
  readonly #flow: Flow | null
  /** A body is read on meanwhile: it is usually there already, and its connection stays of use. */
  readonly #answer: Promise<Answer>

  constructor(outcome: Outcome) {
    this.#outcome = outcome
    this.#flow = flowOf(outcome.answer)
    this.#answer = outcome.answer === null ? Promise.reject(outcome.error) : Promise.resolve(hold(outcome.answer, outcome.leg))
    this.#answer.catch(() => undefined)
  }

  answer(): Promise<Answer> {
    return this.#answer
  }

  discard(): void {
    this.#flow?.cancel()
    this.#outcome.answer?.tunnel?.cancel()
    this.#outcome.leg.close()
  }
}

/** `on`, ready to be asked. */
class Judge {
  /** Whole answers are checked for what they promise. */
  readonly invalid: boolean
  readonly #reasons: ReadonlySet<string>
  readonly #statuses = new Map<number, Word>()

  constructor(on: readonly Word[]) {
    this.#reasons = new Set(on)
    this.invalid = this.#reasons.has('invalid')
    for (const word of on) if (/^\d+$/.test(word)) this.#statuses.set(Number(word), word)
    if (this.#reasons.has('gateway-error')) for (const status of [502, 503, 504]) this.#addStatus(status, 'gateway-error')
    if (this.#reasons.has('5xx')) for (let status = 500; status <= 599; status++) this.#addStatus(status, '5xx')
  }

  /** The most exact word wins. */
  #addStatus(status: number, word: Word): void {
    if (!this.#statuses.has(status)) this.#statuses.set(status, word)
  }

  answer({ code, status }: Answer): Word | null {
    return code === null ? (this.#statuses.get(status) ?? null) : this.#code(code)
  }

  error({ code }: WeirError): Word | null {
    return this.#code(code)
  }

  /** What the caller did is no failure of a target. */
  #code(code: WeirError['code']): Word | null {
    const { reason, status } = codes[code]
    if (reason === 'aborted' || reason === 'local' || code === 'REQUEST_TIMEOUT') return null
    return this.#reasons.has(reason) ? reason : (this.#statuses.get(status) ?? null)
  }
}
