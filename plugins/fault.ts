import { type Answer, type Backend, BackendName, type Body, ConditionText, type Counter, Defaulted, Duration, type Exchange, type Flow, type Leg, paused, Percent, plugin, type Reply, reply, type Send, type Sink, Size, Type, WeirError } from '../gateway/plugin.ts'

const Share = (what: string) => Percent({ description: `Share of attempts ${what}.` })
const Delay = Type.Optional(
  Type.Object(
    { fixed: Duration({ description: 'So long before the backend is asked.' }), percent: Share('that wait') },
    { description: 'A slow backend. The wait counts against `per_try`, `total` and `response_headers` of the timeout plugin, not against the limits of the backend itself.', additionalProperties: false },
  ),
)
const Abort = Type.Optional(
  Type.Object(
    {
      status: Type.Optional(Type.Integer({ description: 'Answered in place of the backend.', minimum: 400, maximum: 599 })),
      reset: Type.Optional(Type.Boolean({ description: 'The connection breaks before the answer: 502 unless something helps.' })),
      percent: Share('that fail'),
    },
    { description: 'A backend that fails: it is not asked. `status` or `reset`; after a delay if both are drawn.', additionalProperties: false },
  ),
)
const Cut = Type.Optional(
  Type.Object(
    { after: Size({ description: 'Bytes of the body that still come. Shorter bodies stay whole.' }), percent: Share('whose answer is cut') },
    { description: 'A connection that breaks in the middle of an answer.', additionalProperties: false },
  ),
)

export default plugin({
  name: 'fault',
  summary: 'Delays, fails and cuts a share of the attempts on purpose, so that you can see what timeouts, retries and fallbacks do about it.',
  caution: 'faults are injected here on purpose; take `fault` out when the drill is over',
  stability: 'beta',
  onError: 'closed',
  nesting: 'fault',
  config: Type.Object(
    {
      delay: Delay,
      abort: Abort,
      cut: Cut,
      backends: Type.Optional(Type.Array(BackendName({ description: 'A backend.' }), { description: 'Attempts at these backends; default all, those that a fallback asks too.', minItems: 1, maxItems: 100 })),
      when: Type.Optional(ConditionText({ description: 'Which requests; default all.' })),
      by_header: Defaulted(
        Type.Boolean({
          description:
            'Callers in `forwarded.trusted` may ask for a fault, in the words of Envoy: `x-envoy-fault-delay-request` (milliseconds) and `x-envoy-fault-abort-request` (a status from 400 to 599), each with `…-percentage` (default 100). For these requests it takes the place of `delay` and `abort`. What is not a number is passed over. A proxy in front must drop these fields when others send them.',
          default: false,
        }),
      ),
      max_active: Defaulted(Type.Integer({ description: 'Delays under way at the same time, per data thread; attempts beyond it are not delayed.', minimum: 1, maximum: 100_000, default: 100 })),
    },
    { additionalProperties: false },
  ),
  example: { delay: { fixed: '2s', percent: '10%' }, abort: { status: 503, percent: '5%' }, when: 'header["x-drill"] == "on"' },
  metrics: {
    total: { type: 'counter', help: 'Faults injected, by kind.', labels: { kind: ['delay', 'abort', 'reset', 'cut'] } },
    overflow_total: { type: 'counter', help: 'Delays not injected because `max_active` were under way.' },
  },

  check({ delay, abort, cut, by_header }) {
    if (delay === undefined && abort === undefined && cut === undefined && !by_header) return 'there is no fault: give `delay`, `abort`, `cut` or `by_header`'
    if (abort !== undefined && (abort.status === undefined) === (abort.reset !== true)) return '`abort` needs either `status` or `reset: true`'
    if (delay !== undefined && !(delay.fixed >= 1)) return '`delay.fixed` must be at least 1ms'
    return undefined
  },

  build({ delay, abort, cut, backends, when, by_header, max_active }, host) {
    const only: ReadonlySet<Backend> | null = backends === undefined ? null : new Set(backends.map((name) => host.backend(name)))
    const condition = when === undefined ? null : host.condition(when)
    const counted = { delay: host.metrics.total({ kind: 'delay' }), abort: host.metrics.total({ kind: 'abort' }), reset: host.metrics.total({ kind: 'reset' }), cut: host.metrics.total({ kind: 'cut' }) }
    const overflow = host.metrics.overflow_total()
    let active = 0

    /** Milliseconds to wait, 0 = none. */
    function drawDelay(x: Exchange): number {
      const asked = by_header ? askedFor(x, 'delay') : null
      const drawn = asked !== null ? asked : delay !== undefined && hits(delay.percent) ? delay.fixed : 0
      if (drawn === 0 || active < max_active) return drawn
      overflow.add()
      return 0
    }

    /** A status, `reset`, or null. */
    function drawAbort(x: Exchange): number | 'reset' | null {
      const asked = by_header ? askedFor(x, 'abort') : null
      if (asked !== null) return asked >= 400 && asked <= 599 ? asked : null
      return abort !== undefined && hits(abort.percent) ? (abort.status ?? 'reset') : null
    }

    /** The attempt, once it has waited. */
    function attempt(x: Exchange, leg: Leg, next: Send, fate: number | 'reset' | null): Answer | Promise<Answer> {
      if (fate !== null) return aborted(x, leg, fate)
      if (cut === undefined || !hits(cut.percent)) return next(x, leg)
      const shorten = (answer: Answer) => shortened(x, answer, cut.after, counted.cut)
      const answer = next(x, leg)
      return answer instanceof Promise ? answer.then(shorten) : shorten(answer)
    }

    function aborted(x: Exchange, leg: Leg, fate: number | 'reset'): Answer | Promise<Answer> {
      mark(x, 'FI')
      if (fate === 'reset') {
        counted.reset.add()
        return Promise.reject(new WeirError('RESET', 'The fault plugin broke the connection.'))
      }
      counted.abort.add()
      return failure(x, leg, fate)
    }

    async function delayed(x: Exchange, leg: Leg, ms: number): Promise<void> {
      mark(x, 'DI')
      counted.delay.add()
      active++
      const begun = host.now()
      const limit = leg.limits.response_headers_ms
      const late = limit > 0 && limit < ms
      try {
        await paused(host.after, leg, late ? limit : ms)
      } finally {
        active--
        // As a caller of the backend waits for it.
        x.waited += host.now() - begun
      }
      if (late) throw new WeirError('HEADERS_TIMEOUT')
    }

    return {
      // A condition on `input` needs the whole body.
      ...(condition?.body === true && { requestBody: () => undefined }),
      send: (next) =>
        function fault(x, leg) {
          if ((only !== null && !only.has(leg.backend)) || (condition !== null && !condition.test(x))) return next(x, leg)
          const fate = drawAbort(x)
          const ms = drawDelay(x)
          return ms === 0 ? attempt(x, leg, next, fate) : delayed(x, leg, ms).then(() => attempt(x, leg, next, fate))
        },
    }
  },
})

function hits(percent: number): boolean {
  return Math.random() * 100 < percent
}

/** Flags of Envoy's access log: DI a delay was injected, FI another fault was. One of a kind. */
function mark(x: Exchange, flag: 'DI' | 'FI'): void {
  x.leg.trace?.event('fault', { flag })
  const flags = (x.flags ??= [])
  if (!flags.includes(flag)) flags.push(flag)
}

/** What a trusted caller asks for and the dice give; null when it asks for nothing, 0 when the dice say no. */
function askedFor(x: Exchange, kind: 'delay' | 'abort'): number | null {
  if (x.caller.trusted !== true) return null
  const value = x.fields.get(`x-envoy-fault-${kind}-request`)
  if (value === undefined || !/^\d{1,7}$/.test(value)) return null
  const percent = x.fields.get(`x-envoy-fault-${kind}-request-percentage`)
  return percent === undefined || !/^\d{1,3}$/.test(percent) || hits(Number(percent)) ? Number(value) : 0
}

/** An answer as the backend might have given it: whoever looks at statuses sees one. */
function failure(x: Exchange, leg: Leg, status: number): Reply {
  const answer = reply(status, { error: 'This failure was injected by the fault plugin.', request_id: x.requestId })
  answer.backend = leg.backend.name
  return answer
}

// ---------------------------------------------------------------- cut answers

function shortened(x: Exchange, answer: Answer, after: number, counter: Counter): Answer {
  const { body } = answer
  if (body === null || answer.tunnel !== null || (Buffer.isBuffer(body) && body.length <= after)) return answer
  answer.body = new CutFlow(body, after, () => {
    counter.add()
    mark(x, 'FI')
  })
  return answer
}

/** A body that breaks once more than so many bytes have come. */
class CutFlow implements Flow, Sink {
  readonly length: number
  readonly #body: Buffer | Flow
  readonly #broke: () => void
  #left: number
  #sink: Sink | null = null

  constructor(body: NonNullable<Body>, after: number, broke: () => void) {
    this.length = body.length
    this.#body = body
    this.#left = after
    this.#broke = broke
  }

  start(sink: Sink): void {
    this.#sink = sink
    if (Buffer.isBuffer(this.#body)) this.data(this.#body)
    else this.#body.start(this)
  }

  pause(): void {
    if (!Buffer.isBuffer(this.#body)) this.#body.pause()
  }

  resume(): void {
    if (!Buffer.isBuffer(this.#body)) this.#body.resume()
  }

  cancel(): void {
    this.#sink = null
    if (!Buffer.isBuffer(this.#body)) this.#body.cancel()
  }

  data(chunk: Buffer): boolean {
    const sink = this.#sink!
    if (chunk.length <= this.#left) {
      this.#left -= chunk.length
      return sink.data(chunk)
    }
    if (this.#left > 0) sink.data(chunk.subarray(0, this.#left))
    // The receiver may have had enough with these bytes.
    if (this.#sink !== null) this.#break(sink)
    return true
  }

  #break(sink: Sink): void {
    this.cancel()
    this.#broke()
    sink.fail(new WeirError('RESET', 'The fault plugin cut the answer.'))
  }

  end(trailers: string[] | null): void {
    this.#sink?.end(trailers)
  }

  fail(error: WeirError): void {
    this.#sink?.fail(error)
  }
}
