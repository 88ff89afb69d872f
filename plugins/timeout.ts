import { type Answer, type Body, Duration, type Exchange, type Flow, HOLD_BYTES, type Leg, type Limits, plugin, type Send, type Sink, slot, streams, type Timer, Type, WeirError, type Wrap } from '../gateway/plugin.ts'

const deadline = slot<Timer>('timeout.total')

const Limit = (description: string) => Type.Optional(Duration({ description }))

export default plugin({
  name: 'timeout',
  summary: 'Limits how long an exchange, an attempt and the parts of an answer may take.',
  stability: 'beta',
  onError: 'closed',
  config: Type.Object(
    {
      total: Limit('From the moment the request goes to the backend until the last byte of the answer was read, retries and fallbacks included. 504 before the answer began; after that the answer is cut.'),
      per_try: Limit('One attempt, until its answer begins, or until it is whole where a fallback holds it. A retry or fallback may follow.'),
      connect: Limit('Until the connection to the backend stands, TLS included. Default: that of the backend.'),
      response_headers: Limit('From the end of the request to the head of the answer. Default: that of the backend.'),
      first_byte: Limit('From the head of the answer to the first byte of its body. Default: `idle`.'),
      idle: Limit('Between two reads from the backend. Default: that of the backend.'),
    },
    { additionalProperties: false, minProperties: 1 },
  ),
  example: { total: '2s', per_try: '800ms', connect: '200ms' },
  metrics: { total: { type: 'counter', help: 'Timers that fired, by limit.', labels: { limit: ['total', 'per_try'] } } },

  check({ total, per_try, ...rest }) {
    for (const [name, ms] of Object.entries({ total, per_try, ...rest })) if (ms !== undefined && !(ms >= 1)) return `\`${name}\` must be at least 1ms`
    if (total !== undefined && per_try !== undefined && per_try > total) return `\`per_try\` (${per_try}ms) is longer than \`total\` (${total}ms): it would never be reached`
    return undefined
  },

  build({ total, per_try, ...rest }, host) {
    const cell = total === undefined ? null : host.provide(deadline)
    const limits = limitsOf(rest)
    const fired = { total: host.metrics.total({ limit: 'total' }), per_try: host.metrics.total({ limit: 'per_try' }) }

    const whole = (ms: number): Wrap => (next) =>
      function total(x, leg) {
        const timer = host.after(ms, () => {
          fired.total.add()
          leg.cancel(new WeirError('TOTAL_TIMEOUT', `The exchange took longer than ${ms} ms.`))
        })
        cell!.set(x, timer)
        return next(x, leg)
      }

    const attempt = (ms: number): Wrap => (next) =>
      function attempt(x, leg) {
        const own = leg.child()
        own.limits = merged(own.limits, limits)
        const timer = host.after(ms, () => {
          fired.per_try.add()
          own.cancel(new WeirError('TRY_TIMEOUT', `The attempt took longer than ${ms} ms.`))
        })
        return settled(next, x, own, timer)
      }

    const limited: Wrap = (next) =>
      function limited(x, leg) {
        leg.limits = merged(leg.limits, limits)
        return next(x, leg)
      }

    const inner = per_try !== undefined ? attempt(per_try) : limits !== null ? limited : null
    return {
      send: { ...(total !== undefined && { total: whole(total) }), ...(inner !== null && { attempt: inner }) },
      ...(cell !== null && { done: (x: Exchange) => cell.get(x)?.cancel() }),
    }
  },
})

function limitsOf(own: { readonly connect?: number; readonly response_headers?: number; readonly first_byte?: number; readonly idle?: number }): Limits | null {
  const { connect = 0, response_headers = 0, first_byte = 0, idle = 0 } = own
  if (connect + response_headers + first_byte + idle === 0) return null
  return { connect_ms: connect, response_headers_ms: response_headers, first_byte_ms: first_byte, idle_ms: idle }
}

/** What this plugin does not limit stays as it was. */
function merged(inherited: Limits, own: Limits | null): Limits {
  if (own === null) return inherited
  return {
    connect_ms: own.connect_ms || inherited.connect_ms,
    response_headers_ms: own.response_headers_ms || inherited.response_headers_ms,
    first_byte_ms: own.first_byte_ms || inherited.first_byte_ms,
    idle_ms: own.idle_ms || inherited.idle_ms,
  }
}

/** The attempt's timer stops when the answer begins, or when it is whole where somebody holds it. */
function settled(next: Send, x: Exchange, leg: Leg, timer: Timer): Answer | Promise<Answer> {
  const over = (answer: Answer): Answer => {
    if (leg.held && isFlow(answer.body) && !streams(answer)) answer.body = new TimedFlow(answer.body, timer)
    else timer.cancel()
    return answer
  }
  const failed = (error: unknown): never => {
    timer.cancel()
    leg.close()
    throw error
  }
  const answer = next(x, leg)
  return answer instanceof Promise ? answer.then(over, failed) : over(answer)
}

function isFlow(body: Body): body is Flow {
  return body !== null && !Buffer.isBuffer(body)
}

/** A body that stops a timer when it ends, or turns out too long to be held. */
class TimedFlow implements Flow, Sink {
  readonly length: number
  readonly #flow: Flow
  readonly #timer: Timer
  #sink: Sink | null = null
  #bytes = 0

  constructor(flow: Flow, timer: Timer) {
    this.length = flow.length
    this.#flow = flow
    this.#timer = timer
  }

  start(sink: Sink): void {
    this.#sink = sink
    this.#flow.start(this)
  }

  pause(): void {
    this.#flow.pause()
  }

  resume(): void {
    this.#flow.resume()
  }

  cancel(): void {
    this.#timer.cancel()
    this.#flow.cancel()
  }

  data(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#bytes > HOLD_BYTES) this.#timer.cancel()
    return this.#sink!.data(chunk)
  }

  end(trailers: string[] | null): void {
    this.#timer.cancel()
    this.#sink!.end(trailers)
  }

  fail(error: WeirError): void {
    this.#timer.cancel()
    this.#sink!.fail(error)
  }
}
