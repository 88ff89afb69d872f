import { type Answer, type Assurance, assure, type Backend, BackendName, type Counter, Defaulted, type Exchange, Failures, type Flow, HOLD_BYTES, hold, isFlow, type Leg, plugin, type Send, Size, Type, WeirError, type Word } from '../gateway/plugin.ts'

/** How one target fared. `word` null: well enough, or not so that another one is asked. */
interface Outcome {
  readonly leg: Leg
  readonly word: Word | null
  readonly answer: Answer | null
  readonly error: WeirError | null
}

const Failure = Type.Union(
  [
    Type.String({ pattern: '^(timeout|connect|reset|ejected|overload|invalid|no_coverage|schema|5xx|gateway-error|[45][0-9][0-9](:[A-Za-z0-9_.-]{1,64})?)$' }),
    Type.Integer({ minimum: 400, maximum: 599 }),
  ],
  { description: 'A reason, a status, or a status with an error code.' },
)
const On = Defaulted(
  Type.Array(Failure, {
    description:
      'What counts as failure: `timeout`, `connect`, `reset` (the connection broke), `ejected` (no endpoint is available), `overload`, `no_coverage` (a table has no such key), `schema` (the `schema` plugin of the route keeps the request from the first target), `invalid` (answers are then checked. Whole ones: well-formed JSON, no top-level `error` in a 2xx, what the format of the route asks for. Streams, as far as `stream` holds them: events that begin with `{` are well-formed JSON, none tells of an error, a message of a language model ends as one), `5xx`, `gateway-error` (502, 503, 504), a status, or a status with the error code of a JSON body of up to 64 KiB (`"400:context_length_exceeded"`: `error.code`, else `error.type`). Words add to each other: beside `400`, `"400:…"` only makes the reason more exact. `5xx` includes the errors weir itself would answer for that backend.',
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
      to: Type.Array(BackendName({ description: 'A backend to try.' }), { description: 'Backends to try, in this order. One that has already failed or is not available is skipped.', minItems: 1, maxItems: 16 }),
      on: On,
      replay: Defaulted(Size({ description: 'Request bodies up to this size are kept so that they can be sent again. Longer ones stream, and their requests have no fallback.', default: '1MiB' })),
      stream: Defaulted(
        Type.Union([Type.Literal('pass'), Type.Literal('buffer')], {
          description: 'Event streams and NDJSON: `pass` holds what comes up to the first event that carries content, then passes everything on as it comes; what breaks after that is cut. `buffer` holds the whole stream, up to `max_body_bytes`, so that it can fail anywhere; the caller then waits for all of it.',
          default: 'pass',
        }),
      ),
      peek: Defaulted(Size({ description: 'With `stream: pass`, bytes that are held at most until an event carries content. 0 passes streams on at once. At most 1MiB.', default: '64KiB' })),
    },
    { additionalProperties: false },
  ),
  example: { to: ['candidate'], on: ['timeout', 'connect', 'reset', '5xx', 'ejected', 'invalid', '400:context_length_exceeded'] },
  metrics: {
    total: { type: 'counter', help: 'Targets tried because another failed, by the one that failed, the one tried and the reason.', labels: { from: 'config', to: 'config', reason: 'config' } },
    skipped_total: { type: 'counter', help: 'Targets passed over because they were not available.', labels: { target: 'config', reason: ['ejected'] } },
    impossible_total: { type: 'counter', help: 'Failures without a fallback because the request body was longer than `replay`.' },
    exhausted_total: { type: 'counter', help: 'Exchanges in which the last target failed too, or was skipped.' },
  },

  check({ peek }) {
    return peek > HOLD_BYTES ? `\`peek\` is ${peek} bytes; it may be at most 1MiB: \`stream: buffer\` holds more` : undefined
  },

  build({ to, on, replay, stream, peek }, host) {
    const targets = to.map((name) => host.backend(name))
    const failures = new Failures(on.map(String))
    const terms: Assurance = { stream, peek, check: failures.has('invalid') }
    const impossible = host.metrics.impossible_total()
    const exhausted = host.metrics.exhausted_total()
    const skips = new Map(targets.map((target): [Backend, Counter] => [target, host.metrics.skipped_total({ target: target.name, reason: 'ejected' })]))
    const moves = new Map<string, Counter>()
    /** A first target without an endpoint is a failure as listed in `on`, and not asked at all when somebody else can be. */
    const passesAway = failures.ofError(new WeirError('NO_ENDPOINT')) !== null

    /** Series are bound when first needed: not every pair of backends and reasons ever meets. All three are names of the file. */
    function moved(x: Exchange, from: string, to: string, reason: Word): void {
      const key = `${from}\0${to}\0${reason}`
      const counter = moves.get(key) ?? host.metrics.total({ from, to, reason })
      moves.set(key, counter)
      counter.add()
      x.leg.trace?.event('fallback', { from, to, reason })
      host.log.warn('fell back', { from, to, reason, request_id: x.requestId })
    }

    function skipped(x: Exchange, target: Backend): void {
      skips.get(target)!.add()
      ;(x.flags ??= []).push(`fallback:skipped:${target.name}`)
      x.leg.trace?.event('target_skipped', { target: target.name })
      host.log.warn('skipped a target', { target: target.name, reason: 'ejected', request_id: x.requestId })
    }

    /** The rest of the exchange. @param asked false when the first target was passed over */
    async function cascade(x: Exchange, leg: Leg, next: Send, first: Outcome, asked = true): Promise<Answer> {
      const passed: Backend[] = [first.leg.backend]
      let spare: Spare | null = null
      let last = first
      for (const target of targets) {
        if (last.word === null || isOver(leg)) break
        if (passed.includes(target)) continue
        if (asked && isFlow(x.body)) {
          impossible.add()
          break
        }
        passed.push(target)
        if (isAway(target)) {
          skipped(x, target)
          continue
        }
        if (last === first) spare = new Spare(first)
        else discard(last)
        moved(x, last.leg.backend.name, target.name, last.word)
        asked = true
        last = await later(x, targetLeg(leg, target), next)
      }
      if (last.word !== null && passed.length > 1) exhausted.add()
      return conclude(x, leg, first, last, spare)
    }

    /** Whoever answered well enough; else the first failure, whatever became of the others. */
    function conclude(x: Exchange, leg: Leg, first: Outcome, last: Outcome, spare: Spare | null): Answer | Promise<Answer> {
      const good = last.answer !== null && (last === first || last.word === null)
      if (leg.cancelled !== null || !good) discard(last)
      if (leg.cancelled !== null) {
        spare?.discard()
        throw leg.cancelled
      }
      if (!good) return spare === null ? Promise.reject(first.error) : spare.answer()
      if (spare !== null) x.fallback = `${first.leg.backend.name};${first.word}`
      spare?.discard()
      return last.answer!
    }

    /** Nothing may begin that nobody waits for. */
    function isOver(leg: Leg): boolean {
      return leg.cancelled !== null || host.now() >= leg.deadline
    }

    async function outcome(x: Exchange, leg: Leg, pending: Answer | Promise<Answer>): Promise<Outcome> {
      try {
        const answer = await pending
        const word = await failures.ofAnswer(answer, leg)
        if (word !== null) return { leg, word, answer, error: null }
        return { leg, word: null, answer: await assure(x, answer, leg, terms), error: null }
      } catch (error) {
        return broken(x, leg, error)
      }
    }

    function broken(x: Exchange, leg: Leg, error: unknown): Outcome {
      const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
      x.error ??= known
      return { leg, word: failures.ofError(known), answer: null, error: known }
    }

    /** As `outcome`, for targets after the first: one that gives no answer is never the last word, whatever `on` lists. */
    async function later(x: Exchange, leg: Leg, next: Send): Promise<Outcome> {
      const fared = await outcome(x, leg, next(x, leg))
      return fared.error === null || fared.word !== null ? fared : { ...fared, word: fared.error.reason }
    }

    function targetLeg(leg: Leg, target: Backend): Leg {
      const own = leg.child(target)
      own.held = true
      own.peek = stream === 'buffer' ? HOLD_BYTES : peek
      return own
    }

    function passesOver(first: Backend): boolean {
      return passesAway && isAway(first) && targets.some((target) => target !== first && !isAway(target))
    }

    /** An answer that is whole and good, as most are, needs none of the rest. */
    function isGood(x: Exchange, answer: Answer, leg: Leg): boolean {
      if (isFlow(answer.body) || failures.ofAnswer(answer, leg) !== null) return false
      try {
        assure(x, answer, leg, terms)
        return true
      } catch {
        return false
      }
    }

    return {
      replayBytes: replay,
      send: (next) =>
        function fallback(x, leg) {
          const own = targetLeg(leg, leg.backend)
          if (passesOver(leg.backend)) return cascade(x, leg, next, broken(x, own, new WeirError('NO_ENDPOINT')), false)
          const settle = (answer: Answer): Answer | Promise<Answer> =>
            isGood(x, answer, own) ? answer : outcome(x, own, answer).then((first) => cascade(x, leg, next, first))
          const answer = next(x, own)
          if (!(answer instanceof Promise)) return settle(answer)
          return answer.then(settle, (error: unknown) => cascade(x, leg, next, broken(x, own, error)))
        },
    }
  },
})


function isAway(target: Backend): boolean {
  return target.available !== undefined && !target.available()
}

function flowOf(answer: Answer | null): Flow | null {
  return answer !== null && isFlow(answer.body) ? answer.body : null
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
