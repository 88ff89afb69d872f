/** The way of one exchange through the gateway, from the caller's head to the last byte of the answer. */
import type { Clock, Timer } from '../clock.ts'
import { type Code, codes, WeirError } from '../errors.ts'
import { Answer, type Caller, Exchange, Leg } from '../exchange.ts'
import type { Candidate, Generation } from '../generation.ts'
import * as headers from '../headers.ts'
import { holdFlow } from '../hold.ts'
import type { Handles, Registry } from '../metrics.ts'
import { runDone, runFinish, runRequest, runRequestBody, runResponse, runResponseBody, tapChunks } from '../pipeline/run.ts'
import type { CompiledRoute } from '../pipeline/route.ts'
import type { Log } from '../plugin.ts'
import type { ExchangeRecord } from '../telemetry/access.ts'
import { requestIdFrom } from '../telemetry/request_id.ts'
import type { ExchangeTrace, Tracer } from '../telemetry/tracer.ts'
import { exchangeMetrics, listenerMetrics } from '../vital.ts'
import type { Inbound } from '../wire/inbound.ts'
import type { Incoming, IncomingWatcher } from '../wire/incoming.ts'
import { phraseOf } from '../wire/write.ts'
import { gather, tapped } from './buffer.ts'
import { type Deadlines, deadlines } from './deadline.ts'
import { finishing } from './finish.ts'
import { type Forwarding, forwarding, isLastHop } from './forwarded.ts'
import { answerLines, Lane } from './lane.ts'
import type { Overload } from './overload.ts'
import { exchangeRecord, refusedRecord } from './record.ts'
import { asWeirError, rescue } from './rescue.ts'
import { upgradeOf } from './upgrade.ts'

export interface ForwarderDeps {
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  /** A new UUIDv7. */
  readonly inferenceId: () => string
  /** Writes the access log; null = off. */
  readonly record: ((record: ExchangeRecord) => void) | null
  /** Absent: only `limits.in_flight` refuses. */
  readonly overload?: Overload
}

export class Forwarder {
  readonly clock: Clock
  readonly log: Log
  readonly inferenceId: () => string
  record: ((record: ExchangeRecord) => void) | null
  /** null = nothing is traced. */
  tracer: Tracer | null = null
  readonly overload: Overload | null
  forwarding: Forwarding = forwarding({ trusted: [], write: 'none', via: '' })
  deadlines: Deadlines = deadlines({ header: '' })
  readonly #metrics: Handles<typeof exchangeMetrics>
  readonly #refused: Handles<typeof listenerMetrics>['weir_refused_requests_total']
  readonly #lanes = new Map<string, Lane>()
  #generation: Generation | null = null
  inFlight = 0

  constructor(deps: ForwarderDeps) {
    this.clock = deps.clock
    this.log = deps.log
    this.inferenceId = deps.inferenceId
    this.record = deps.record
    this.overload = deps.overload ?? null
    this.#metrics = deps.registry.handles(exchangeMetrics)
    this.#refused = deps.registry.handles(listenerMetrics).weir_refused_requests_total
  }

  get generation(): Generation | null {
    return this.#generation
  }

  /** From here on exchanges begin on this generation. */
  set generation(generation: Generation) {
    this.forwarding = forwarding(generation.config.forwarded)
    this.overload?.configure(generation.config.overload, generation.config.limits.in_flight)
    this.deadlines = deadlines(generation.config.deadlines)
    for (const route of generation.config.routes) this.lane(route.name).bind(route.backend)
    this.#generation = generation
  }

  lane(name: string): Lane {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    const lane = new Lane(name, this.#metrics)
    this.#lanes.set(name, lane)
    return lane
  }

  /** Takes a request from the wire. */
  readonly serve = (request: Incoming): void => {
    const generation = this.#generation
    if (generation === null) return this.refuse(request.connection, new WeirError('DRAINING', 'the gateway is starting'))
    new Passage(this, generation, request).begin()
  }

  /** Answers what never became a request, and closes its connection. */
  readonly refuse = (connection: Inbound, error: WeirError): void => {
    this.#refused({ code: error.code }).add()
    const requestId = requestIdFrom(undefined)
    const answer = rescue(error, requestId, this.log)
    const body = answer.body as Buffer
    const head = `HTTP/1.1 ${answer.status} ${phraseOf(answer.status)}\r\n${answer.fields.lines}${connection.dateLine}content-length: ${body.length}\r\nx-request-id: ${requestId}\r\nconnection: close\r\n\r\n`
    connection.socket.write(head + body.toString('latin1'), 'latin1')
    connection.close()
    this.record?.(refusedRecord(connection, error, requestId, answer.status, body.length))
  }
}

const NO_HEADERS: readonly string[] = []

/** One exchange under way. */
class Passage implements IncomingWatcher {
  readonly #forwarder: Forwarder
  readonly #generation: Generation
  readonly #request: Incoming
  readonly #requestId: string
  #caller: Caller
  #route: CompiledRoute | null = null
  #x: Exchange | null = null
  #trace: ExchangeTrace | null = null
  /** Why nobody waits for the answer any more, or why the request cannot go on. */
  #broken: WeirError | null = null
  #status = 0
  /** Of weir's own answer, which there may be without an exchange. */
  #code: Code | null = null
  #firstByteAt = 0
  /** What the caller gave, milliseconds from the head on. */
  #given = Infinity
  #timer: Timer | null = null
  #finished = false

  constructor(forwarder: Forwarder, generation: Generation, request: Incoming) {
    this.#forwarder = forwarder
    this.#generation = generation
    this.#request = request
    this.#caller = request
    this.#requestId = requestIdFrom(request.head.requestId === '' ? undefined : request.head.requestId)
    request.watcher = this
    generation.enter()
    forwarder.inFlight++
  }

  begin(): void {
    const { tracer } = this.#forwarder
    if (tracer !== null) this.#trace = tracer.begin(this.#request.head, this.#request.started)
    void this.#pass()
  }

  // ---------------------------------------------------------------- from head to answer

  async #pass(): Promise<void> {
    try {
      this.#check()
      if (isLastHop(this.#request.head)) return this.#respond(new Answer(204, [], null))
      const found = this.#find(0)
      const candidate = found.when === null ? found : await this.#judge(found)
      const x = this.#x ?? this.#exchange(candidate)
      this.#route = candidate.route
      x.phase = 'request'
      const { overload, inFlight } = this.#forwarder
      if (overload !== null && (overload.level > 0 || inFlight > overload.crowd)) this.#shed(overload, candidate.route, x)
      const answer = candidate.route.plain ? await this.#ask(candidate.route, x) : await this.#answer(candidate.route, x)
      if (this.#left) return this.#finish(null)
      this.#respond(answer)
    } catch (error) {
      this.#fail(asWeirError(error))
    }
  }

  get #left(): boolean {
    return this.#broken !== null && this.#broken.code === 'CALLER_LEFT'
  }

  /** What must be right before any route is looked at. */
  #check(): void {
    const { head } = this.#request
    const { limits } = this.#generation.config
    if (this.#forwarder.inFlight > limits.in_flight) throw this.#crowded()
    this.#caller = this.#forwarder.forwarding.apply(this.#request)
    if (head.timed || this.#forwarder.deadlines.unusual) this.#given = this.#forwarder.deadlines.take(head, this.#request.trusted)
    if (head.requestIds === 0) head.fields.append('x-request-id', this.#requestId)
    else if (head.requestIds > 1 || head.requestId !== this.#requestId) headers.set(head.headers, 'x-request-id', this.#requestId)
  }

  /** Before its route is known, so that a flood costs as little as it can. */
  #crowded(): WeirError {
    this.#forwarder.overload?.count('', 'in_flight', 'critical')
    return overloaded()
  }

  #shed(overload: Overload, route: CompiledRoute, x: Exchange): void {
    const refusal = overload.refusal(route, this.#forwarder.inFlight)
    if (refusal === null) return
    ;(x.flags ??= []).push('shed')
    x.leg.trace?.event('shed')
    throw refusal
  }

  #find(from: number): Candidate<CompiledRoute> {
    const { head } = this.#request
    const { router } = this.#generation
    const found = router.find(head.method, head.target, router.looksAtHeaders ? head.headers : NO_HEADERS, from)
    if (found.route !== null) return found
    if (found.allow === null) throw new WeirError('NO_ROUTE')
    throw new NotAllowed(found.allow)
  }

  /** Tests conditions, on an exchange made for the route, until one holds. */
  async #judge(candidate: Candidate<CompiledRoute>): Promise<Candidate<CompiledRoute>> {
    for (;;) {
      const { when, route } = candidate
      if (when === null) return candidate
      const x = this.#exchange(candidate)
      if (when.body) x.body = this.#request.body = await gather(this.#request.body, route.maxBodyBytes)
      if (when.test(x)) return candidate
      this.#x = null
      candidate = this.#find(candidate.next)
    }
  }

  #exchange(candidate: Candidate<CompiledRoute>): Exchange {
    const { route } = candidate
    const { head } = this.#request
    const x = new Exchange({
      method: head.method,
      target: head.target,
      headers: head.fields,
      body: this.#request.body,
      caller: this.#caller,
      route,
      minor: head.minor,
      upgrade: upgradeOf(head),
      requestId: this.#requestId,
      inferenceId: this.#forwarder.inferenceId(),
      started: this.#request.started,
      leg: new Leg(route.backend),
      slots: route.slots,
    })
    x.params = candidate.params
    x.leg.trace = this.#trace
    this.#x = x
    if (this.#given !== Infinity) this.#limit(route, x)
    return x
  }

  /** The caller's own deadline holds on every route, whatever its plugins say. */
  #limit(route: CompiledRoute, x: Exchange): void {
    x.leg.deadline = this.#request.started + this.#given
    const left = x.leg.deadline - this.#forwarder.clock.now()
    if (left <= 0) {
      this.#route = route
      throw new WeirError('DEADLINE_EXCEEDED')
    }
    this.#timer ??= this.#forwarder.clock.after(left, () => this.#expire())
  }

  #expire(): void {
    const cause = new WeirError('DEADLINE_EXCEEDED')
    this.#x?.leg.cancel(cause)
    this.#request.expire(cause)
  }

  /** A route whose plugins look at neither request nor answer; errors are rescued by `#fail`. */
  #ask(route: CompiledRoute, x: Exchange): Answer | Promise<Answer> {
    x.reached = route.plugins.length
    return this.#send(route, x)
  }

  /** A body that may have to be sent again is made whole, if it is short enough. */
  #send(route: CompiledRoute, x: Exchange): Answer | Promise<Answer> {
    const { replayBytes } = route
    const { body } = x
    if (replayBytes === 0 || body === null || Buffer.isBuffer(body) || body.length > replayBytes) return this.#dispatch(route, x)
    return holdFlow(body, x.leg, replayBytes).then((held) => {
      x.body = held
      return this.#dispatch(route, x)
    })
  }

  #dispatch(route: CompiledRoute, x: Exchange): Answer | Promise<Answer> {
    x.phase = 'backend'
    const { leg } = x
    if (leg.deadline !== Infinity) {
      // A timer may be late; whoever has no time left is not asked.
      if (leg.deadline <= this.#forwarder.clock.now()) leg.cancel(new WeirError('DEADLINE_EXCEEDED'))
      if (leg.cancelled !== null) throw leg.cancelled
    }
    return route.send(x, leg)
  }

  /** The hooks and the backend: from the exchange to its answer, everything of it seen by those who asked. */
  async #answer(route: CompiledRoute, x: Exchange): Promise<Answer> {
    try {
      x.answer = await this.#turn(route, x)
    } catch (error) {
      // An error that weir answers is an answer too: plugins on the way back see it, as those of Envoy see local replies.
      x.answer = this.#rescued(error)
    }
    x.phase = 'response'
    return this.#response(route, x)
  }

  /** The way there: to the answer of a plugin, or of a backend. */
  async #turn(route: CompiledRoute, x: Exchange): Promise<Answer> {
    let verdict = runRequest(route, x)
    if (verdict instanceof Promise) verdict = await verdict
    if (verdict === null && route.requestBody !== null) {
      x.body = await gather(x.body, route.maxBodyBytes)
      verdict = runRequestBody(route, x)
      if (verdict instanceof Promise) verdict = await verdict
    }
    if (verdict !== null) return verdict
    return this.#send(route, x)
  }

  /** @throws when nobody waits for the answer, or the request itself broke off */
  #rescued(error: unknown): Answer {
    const cause = asWeirError(error)
    if (this.#broken !== null) throw this.#broken
    this.#x!.error ??= cause
    return rescue(cause, this.#requestId, this.#forwarder.log)
  }

  async #response(route: CompiledRoute, x: Exchange): Promise<Answer> {
    const pending = runResponse(route, x)
    if (pending !== undefined) await pending
    if (route.responseBody !== null && x.answer!.tunnel === null && x.answer!.body !== null) {
      x.answer!.body = await gatherAnswer(x.answer!, route.maxBodyBytes)
      const body = runResponseBody(route, x)
      if (body !== undefined) await body
    }
    const answer = x.answer!
    const tap = route.responseChunk === null ? null : tapChunks(route, x)
    if (tap !== null) answer.body = tapped(answer.body, tap)
    return answer
  }

  // ---------------------------------------------------------------- the answer goes out

  #fail(error: WeirError): void {
    // A request that broke off is answered by its own fault, whatever the cancelled backend call says.
    const cause = this.#broken ?? error
    if (this.#x !== null) this.#x.error ??= cause
    if (this.#left) return this.#finish(null)
    const answer = rescue(cause, this.#requestId, this.#forwarder.log)
    if (cause instanceof NotAllowed) answer.headers.push('allow', cause.allow)
    this.#respond(answer)
  }

  #respond(answer: Answer): void {
    const request = this.#request
    const x = this.#x
    this.#status = answer.status
    this.#code = answer.code
    this.#firstByteAt = this.#forwarder.clock.now()
    if (x !== null) {
      x.answer = answer
      x.phase = 'response'
      x.status = answer.status
      const route = this.#route
      if (route !== null && route.finish !== null && answer.tunnel === null) answer.body = finishing(answer.body, () => runFinish(route, x))
    }
    request.respond(answer, this.#lines(answer), this.#broken !== null)
  }

  #lines(answer: Answer): string {
    const own = this.#forwarder.forwarding.answerLines
    if (!this.#generation.config.answer_headers) return own
    const x = this.#x
    if (x === null) return `${own}x-request-id: ${this.#requestId}\r\n`
    return own + answerLines(this.#forwarder.lane(x.route.name), x, answer, this.#firstByteAt - this.#request.started)
  }

  // ---- IncomingWatcher

  callerLeft(cause: WeirError): void {
    this.#broken = cause
    const x = this.#x
    if (x !== null) {
      x.error ??= cause
      x.leg.cancel(cause)
    }
    // An answer that was going out ends here; one that was still awaited ends when the cancelled work says so.
    if (this.#request.answering) this.#finish(cause)
  }

  answered(error: WeirError | null): void {
    this.#finish(error)
  }

  #finish(error: WeirError | null): void {
    if (this.#finished) return
    this.#finished = true
    this.#timer?.cancel()
    const x = this.#x
    this.#forwarder.inFlight--
    if (x !== null && this.#route !== null) this.#measure(x, this.#route, error)
    this.#generation.leave()
    const { record } = this.#forwarder
    if (record === null && this.#trace === null) return
    const told = this.#record(error)
    record?.(told)
    this.#trace?.end(told)
  }

  #measure(x: Exchange, route: CompiledRoute, error: WeirError | null): void {
    const duration = this.#forwarder.clock.now() - this.#request.started
    const lane = this.#forwarder.lane(route.name)
    if (error !== null) x.error ??= error
    else if (this.#broken === null) x.phase = 'done'
    lane.duration.observe(duration / 1000)
    lane.overhead.observe(Math.max(0, duration - x.waited) / 1000)
    lane.count(x.answer?.backend ?? '', this.#left ? 0 : this.#status)
    runDone(route, x)
  }

  #record(error: WeirError | null): ExchangeRecord {
    return exchangeRecord({
      request: this.#request, caller: this.#caller, requestId: this.#requestId, x: this.#x, route: this.#route?.name ?? '',
      status: this.#left && this.#status === 0 ? codes.CALLER_LEFT.status : this.#status,
      code: this.#broken?.code ?? error?.code ?? this.#code, firstByteAt: this.#firstByteAt, endedAt: this.#forwarder.clock.now(),
    })
  }
}

class NotAllowed extends WeirError {
  readonly allow: string
  constructor(allow: string) {
    super('METHOD_NOT_ALLOWED')
    this.allow = allow
  }
}

function overloaded(): WeirError {
  const error = new WeirError('OVERLOADED', 'the gateway has as many exchanges under way as `limits.in_flight` allows')
  error.retryAfter = 1
  return error
}

async function gatherAnswer(answer: Answer, max: number): Promise<Buffer> {
  try {
    return await gather(answer.body, max)
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== 'BODY_TOO_LARGE') throw error
    throw new WeirError('INVALID_ANSWER', `the answer of the backend is larger than the ${max} bytes this route buffers`)
  }
}
