import { type Answer, Duration, type EventScanner, type Exchange, FirstContent, type Flow, HOLD_BYTES, type Host, isFlow, type Leg, type Limits, plugin, Relay, scannerOf, type Send, slot, streams, type Timer, Type, WeirError, type Wrap } from '../gateway/plugin.ts'

const deadline = slot<Timer>('timeout.total')

/** A timer cannot wait longer. */
const LONGEST_MS = 24 * 24 * 3_600_000

const Limit = (description: string) => Type.Optional(Duration({ description }))

export default plugin({
  name: 'timeout',
  summary: 'Limits how long an exchange, an attempt and the parts of an answer may take.',
  stability: 'beta',
  onError: 'closed',
  config: Type.Object(
    {
      total: Limit('From the moment the request goes to the backend until the last byte of the answer was read, retries and fallbacks included. 504 before the answer began; after that the answer is cut. Backends are told what is left of it.'),
      per_try: Limit('One attempt, until its answer begins; where a fallback holds it, until it is whole or, of a stream, until its first content. A retry or fallback may follow.'),
      connect: Limit('Until the connection to the backend stands, TLS included. Default: that of the backend.'),
      response_headers: Limit('From the end of the request to the head of the answer. Default: that of the backend.'),
      first_byte: Limit('From the head of the answer to the first byte of its body. Default: `idle`.'),
      first_token: Limit(
        'From the beginning of an attempt to the first event of a streamed answer (server-sent events, newline-delimited JSON) that carries content: a role, a ping or a comment does not. Where the request asks for a stream (`accept`, or `"stream": true`; bodies up to 1 MiB are then read whole before they go on) the head is awaited no longer either.',
      ),
      idle: Limit('Between two bytes of a body, in either direction: a backend that stops, a caller that stops sending or reading. Default: that of the backend, and of the listener.'),
    },
    { additionalProperties: false, minProperties: 1 },
  ),
  example: { total: '2s', per_try: '800ms', connect: '200ms' },
  metrics: { total: { type: 'counter', help: 'Timers that fired, by limit.', labels: { limit: ['total', 'per_try', 'first_token'] } } },

  check({ total, ...rest }) {
    for (const [name, ms] of Object.entries({ total, ...rest })) {
      if (ms !== undefined && !(ms >= 1)) return `\`${name}\` must be at least 1ms`
      if (ms !== undefined && ms > LONGEST_MS) return `\`${name}\` must be at most 24d`
    }
    for (const name of ['per_try', 'first_token'] as const) {
      const ms = rest[name]
      if (total !== undefined && ms !== undefined && ms > total) return `\`${name}\` (${ms}ms) is longer than \`total\` (${total}ms): it would never be reached`
    }
    return undefined
  },

  build({ total, per_try, first_token, ...rest }, host) {
    const cell = total === undefined ? null : host.provide(deadline)
    const limits = limitsOf(rest)
    const fired = { total: host.metrics.total({ limit: 'total' }), per_try: host.metrics.total({ limit: 'per_try' }), first_token: host.metrics.total({ limit: 'first_token' }) }

    const whole = (ms: number): Wrap => (next) =>
      function total(x, leg) {
        const now = host.now()
        const end = now + ms
        // The caller's own deadline, where it comes first, has its own timer.
        if (leg.deadline <= end) return next(x, leg)
        leg.deadline = end
        const timer = host.after(ms, () => {
          if (leg.cancelled !== null) return
          fired.total.add()
          leg.cancel(new WeirError('TOTAL_TIMEOUT', `The exchange took longer than ${ms} ms.`))
        }, now)
        cell!.set(x, timer)
        return next(x, leg)
      }

    const attempt: Wrap = (next) =>
      function attempt(x, leg) {
        const own = leg.child()
        own.limits = merged(own.limits, limits)
        return new Try(own, { host, per_try, first_token, fired }).run(next, x)
      }

    const limited: Wrap = (next) =>
      function limited(x, leg) {
        leg.limits = merged(leg.limits, limits)
        return next(x, leg)
      }

    const inner = per_try !== undefined || first_token !== undefined ? attempt : limits !== null ? limited : null
    return {
      ...(first_token !== undefined && { replayBytes: HOLD_BYTES }),
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

/** What an attempt is limited by, for all attempts of a route. */
interface Terms {
  readonly host: Pick<Host, 'now' | 'after'>
  readonly per_try: number | undefined
  readonly first_token: number | undefined
  readonly fired: Readonly<Record<'per_try' | 'first_token', { add(): void }>>
}

/** The timers of one attempt, on a leg of its own. */
class Try {
  readonly #leg: Leg
  readonly #terms: Terms
  readonly #started: number
  #perTry: Timer | null = null
  #firstToken: Timer | null = null

  constructor(leg: Leg, terms: Terms) {
    this.#leg = leg
    this.#terms = terms
    this.#started = terms.host.now()
    const { per_try } = terms
    if (per_try === undefined) return
    leg.deadline = Math.min(leg.deadline, this.#started + per_try)
    this.#perTry = terms.host.after(per_try, () => this.#fire('per_try', new WeirError('TRY_TIMEOUT', `The attempt took longer than ${per_try} ms.`)), this.#started)
  }

  run(next: Send, x: Exchange): Answer | Promise<Answer> {
    if (this.#terms.first_token !== undefined && asksForStream(x)) this.#awaitToken()
    const answer = next(x, this.#leg)
    if (answer instanceof Promise) return answer.then((one) => this.#begun(one), (error: unknown) => this.#failed(error))
    return this.#begun(answer)
  }

  #fire(limit: 'per_try' | 'first_token', cause: WeirError): void {
    if (this.#leg.cancelled !== null) return
    this.#terms.fired[limit].add()
    this.#leg.cancel(cause)
  }

  #awaitToken(): void {
    const { host, first_token } = this.#terms
    const left = this.#started + first_token! - host.now()
    const late = (): void => this.#fire('first_token', new WeirError('FIRST_TOKEN_TIMEOUT', `Nothing of content was streamed within ${first_token!} ms.`))
    if (left > 0) this.#firstToken = host.after(left, late)
    else late()
  }

  #failed(error: unknown): never {
    this.stop()
    this.#leg.close()
    throw error
  }

  /** The answer begins. Its body may have to be followed: to its end where somebody holds it, to its first content where it streams. */
  #begun(answer: Answer): Answer {
    const { body } = answer
    const scanner = isFlow(body) ? scannerOf(answer) : null
    if (!isFlow(body)) this.stop()
    else if (scanner !== null) answer.body = this.#followEvents(body, scanner)
    else answer.body = this.#followBytes(body, this.#leg.held && !streams(answer))
    return answer
  }

  #followEvents(body: Flow, scanner: EventScanner): Flow {
    // Once nobody holds the stream any more, the attempt is over.
    const { held, peek } = this.#leg
    if (!held || peek === 0) this.stopPerTry()
    if (this.#terms.first_token !== undefined && this.#firstToken === null) this.#awaitToken()
    if (this.#leg.cancelled !== null) this.#failed(this.#leg.cancelled)
    if (this.#perTry === null && this.#firstToken === null) return body
    const first = new FirstContent(scanner)
    return new FollowedFlow(body, this, (chunk) => {
      const found = first.push(chunk)
      if (first.bytes > peek) this.stopPerTry()
      return found
    })
  }

  #followBytes(body: Flow, held: boolean): Flow {
    this.#stopToken()
    if (!held || this.#perTry === null) {
      this.stopPerTry()
      return body
    }
    let bytes = 0
    return new FollowedFlow(body, this, (chunk) => (bytes += chunk.length) > HOLD_BYTES)
  }

  stop(): void {
    this.stopPerTry()
    this.#stopToken()
  }

  stopPerTry(): void {
    this.#perTry?.cancel()
    this.#perTry = null
  }

  #stopToken(): void {
    this.#firstToken?.cancel()
    this.#firstToken = null
  }
}

const STREAM_KEY = /"stream"\s*:\s*true\b/

/** By its Accept, or as the APIs of language models say it in the body. A quote inside of a JSON string is escaped: no text looks like the key. */
function asksForStream({ fields, body }: Exchange): boolean {
  if (fields.get('accept')?.toLowerCase().includes('text/event-stream') === true) return true
  return Buffer.isBuffer(body) && body.includes('"stream"') && STREAM_KEY.test(body.toString('latin1'))
}

/** A body that stops the timers of its attempt when it has come far enough, ends, or is given up. */
class FollowedFlow extends Relay {
  readonly #try: Try
  readonly #enough: (chunk: Buffer) => boolean
  #followed = true

  constructor(flow: Flow, attempt: Try, enough: (chunk: Buffer) => boolean) {
    super(flow)
    this.#try = attempt
    this.#enough = enough
  }

  override data(chunk: Buffer): boolean {
    if (this.#followed && this.#enough(chunk)) this.over()
    return super.data(chunk)
  }

  protected override over(): void {
    this.#followed = false
    this.#try.stop()
  }
}
