/**
 * HTTP backends: choose an endpoint, take a kept connection or open one, send, hand the answer on. No policy lives here: retries,
 * fallbacks and total deadlines are plugins. One thing is repaired: a bodyless GET, HEAD or OPTIONS on a *reused* connection that ends
 * before the first byte of an answer was not answered by anybody, and goes once more on a fresh connection.
 */
import type { HttpBackendConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import { WeirError } from '../errors.ts'
import type { Answer, Backend, Leg, Outgoing } from '../exchange.ts'
import type { Counter, Gauge, Handles } from '../metrics.ts'
import type { AttemptTrace } from '../trace.ts'
import type { Log } from '../plugin.ts'
import { backendMetrics, OUTCOMES } from '../vital.ts'
import { Attempt, type AttemptOwner, type AttemptTimeouts } from '../wire/attempt.ts'
import type { Deadlines } from '../wire/deadlines.ts'
import { EndpointCounts } from './counts.ts'
import { type Verdict, verdictOf } from './ejection.ts'
import { type Endpoint, EndpointMaker } from './endpoint.ts'
import { checkPools, Fleet, needsFleet } from './fleet.ts'
import { type Check, httpCheck, tcpCheck } from './health.ts'
import type { PeakEwma } from './latency.ts'
import { type Budget, headWriter, needsChunks, type WriteHead } from './request.ts'
import { type Lookup, platformLookup } from './resolve.ts'
import type { Roster } from './roster.ts'
import { type EndpointState, stateOf } from './state.ts'

export interface TransportDeps {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly metrics: Handles<typeof backendMetrics>
  readonly random: () => number
  /** Compiles the selector that `hash` hashes by. */
  readonly hashKey?: (selector: string) => (x: Outgoing) => string | undefined
  /** Weir's own; '' = not told. */
  readonly zone?: string
  readonly lookup?: Lookup
  readonly log?: Log
  /** Name of the header that tells a backend what time is left, lower case; '' = none. */
  readonly deadlineHeader?: () => string
}

export type { EndpointState } from './state.ts'

export interface HttpBackend extends Backend {
  readonly config: HttpBackendConfig
  state(): EndpointState[]
  close(): void
}

type Outcome = (typeof OUTCOMES)[number]

/** As `Send`, for whatever can be sent. */
export type Transmit = (x: Outgoing, leg: Leg) => Promise<Answer>

/** The network itself: what it sends need not be an exchange. */
export interface Transmitter extends HttpBackend {
  readonly send: Transmit
}

export function httpBackend(config: HttpBackendConfig, deps: TransportDeps): Transmitter {
  return new Transport(config, deps)
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

class Transport implements Transmitter {
  readonly name: string
  readonly kind = 'http'
  readonly config: HttpBackendConfig
  readonly send: Transmit
  readonly available?: () => boolean
  readonly timeouts: AttemptTimeouts
  readonly inFlight: Gauge
  readonly outcomes: Readonly<Record<Outcome, Counter>>
  readonly writeHead: WriteHead
  readonly deadlineHeader: () => string
  readonly clock: Clock
  /** null: one endpoint and nothing that could speak against it. */
  readonly roster: Roster | null = null
  readonly #only: Endpoint | null = null
  readonly #fleet: Fleet | null = null
  readonly #counts: EndpointCounts

  constructor(config: HttpBackendConfig, deps: TransportDeps) {
    this.name = config.name
    this.config = config
    this.clock = deps.clock
    this.timeouts = { connect_ms: config.connect_ms, response_headers_ms: config.response_headers_ms, first_byte_ms: 0, idle_ms: config.idle_ms }
    this.writeHead = headWriter(config)
    this.deadlineHeader = deps.deadlineHeader ?? (() => '')
    this.inFlight = deps.metrics.weir_backend_in_flight({ backend: config.name })
    this.outcomes = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, deps.metrics.weir_attempts_total({ backend: config.name, outcome })])) as Record<Outcome, Counter>
    this.send = (x, leg) => new Promise<Answer>((resolve, reject) => new Call(this, x, leg, resolve, reject).try(false))
    this.#counts = new EndpointCounts(config.name, deps.metrics)
    const connections = deps.metrics.weir_backend_connections({ backend: config.name })
    const maker = new EndpointMaker(config, deps.deadlines, (delta) => connections.add(delta))
    if (needsFleet(config)) {
      const roster = (this.roster = (this.#fleet = this.#gather(maker, deps)).roster)
      this.available = () => roster.available()
    } else {
      this.#only = maker.make(config.endpoints[0]!, config.endpoints[0]!.address)
      this.#counts.stand([this.#only])
    }
  }

  #gather(maker: EndpointMaker, { clock, random, lookup = platformLookup, hashKey, zone = '', log = SILENT }: TransportDeps): Fleet {
    const { balance, hash_by, health } = this.config
    const key = balance === 'hash' && hashKey !== undefined ? hashKey(hash_by) : () => undefined
    const http = (path: string): Check => httpCheck(path, clock, this, checkPools(maker), this.writeHead)
    const check = health === null ? null : health.check === 'tcp' ? tcpCheck(clock) : http(health.path)
    return new Fleet(this.config, { clock, random, lookup, key, zone, log, maker, counts: this.#counts, check })
  }

  /** Limits of the leg where it has any, else the backend's own. */
  timeoutsOf(leg: Leg): AttemptTimeouts {
    const { limits } = leg
    if (limits.connect_ms === 0 && limits.response_headers_ms === 0 && limits.first_byte_ms === 0 && limits.idle_ms === 0) return this.timeouts
    return {
      connect_ms: limits.connect_ms || this.timeouts.connect_ms,
      response_headers_ms: limits.response_headers_ms || this.timeouts.response_headers_ms,
      first_byte_ms: limits.first_byte_ms,
      idle_ms: limits.idle_ms || this.timeouts.idle_ms,
    }
  }

  /** What is left of the leg's time; null = no end. */
  budgetOf({ deadline }: Leg, now: number): Budget | null {
    return deadline === Infinity ? null : { header: this.deadlineHeader(), ms: deadline - now }
  }

  /** The endpoint to ask; null: `refusal` says why. */
  pick(x: Outgoing, leg: Leg): Endpoint | null {
    if (this.roster !== null) return this.roster.pick(x, leg)
    return this.#only!.pool.hasRoom ? this.#only : null
  }

  refusal(): WeirError {
    return this.roster === null ? overloaded() : this.roster.refusal()
  }

  state(): EndpointState[] {
    const all = this.roster === null ? [this.#only!] : this.roster.all
    return all.map((endpoint) => stateOf(endpoint, this.clock))
  }

  close(): void {
    this.#fleet?.close()
    this.#only?.pool.close()
    this.#counts.close()
  }
}

/** One `send`: at most two attempts, one outcome. */
class Call implements AttemptOwner {
  readonly #transport: Transport
  readonly #x: Outgoing
  readonly #leg: Leg
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: WeirError) => void
  #endpoint: Endpoint | null = null
  #repaired = false
  /** Number of the probe this attempt is, 0 = none. */
  #probe = 0
  #trace: AttemptTrace | null = null
  /** Of the answer; 0 = no head yet. */
  #status = 0

  constructor(transport: Transport, x: Outgoing, leg: Leg, resolve: (answer: Answer) => void, reject: (error: WeirError) => void) {
    this.#transport = transport
    this.#x = x
    this.#leg = leg
    this.#resolve = resolve
    this.#reject = reject
  }

  try(onlyFresh: boolean): void {
    const cause = this.#leg.cancelled
    if (cause !== null) return this.#reject(cause)
    const transport = this.#transport
    const x = this.#x
    const now = transport.clock.now()
    const budget = transport.budgetOf(this.#leg, now)
    if (budget !== null && budget.ms <= 0) return this.#reject(new WeirError('DEADLINE_EXCEEDED'))
    const endpoint = transport.pick(x, this.#leg)
    if (endpoint === null) return this.#refused()
    const { pool, gate } = endpoint
    // Who failed once may have lost every kept connection at the same time.
    const anew = onlyFresh || (this.#leg.tried !== null && this.#leg.tried.includes(endpoint))
    const connection = (anew ? (pool.fresh() ?? pool.kept()) : (pool.kept() ?? pool.fresh()))!
    this.#endpoint = endpoint
    if (gate !== null) this.#probe = gate.begin()
    if (this.#leg.tried !== null) this.#leg.tried.push(endpoint)
    endpoint.inFlight++
    transport.inFlight.add(1)
    x.attempts++
    x.upstream = endpoint
    this.#trace = this.#leg.trace === null ? null : this.#leg.trace.attempt({ method: x.method, target: x.target, fields: x.fields, backend: transport.name, endpoint: endpoint.config, attempt: x.attempts })
    const head = transport.writeHead(x, endpoint.config, budget, this.#leg.hedge)
    new Attempt(x, this.#leg, connection, head, needsChunks(x.body), transport.timeoutsOf(this.#leg), this, now).begin()
  }

  #refused(): void {
    const error = this.#transport.refusal()
    this.#transport.outcomes[error.reason as Outcome].add()
    this.#leg.trace?.event('refused', { backend: this.#transport.name, reason: error.reason })
    this.#reject(error)
  }

  attemptAnswered(attempt: Attempt, answer: Answer): void {
    const endpoint = this.#endpoint!
    const { status } = answer
    answer.backend = this.#transport.name
    answer.upstream = endpoint
    if (this.#trace !== null) this.#trace.answered(status)
    this.#status = status
    endpoint.answered++
    this.#transport.outcomes[status >= 500 ? '5xx' : status >= 400 ? '4xx' : 'ok'].add()
    if (endpoint.latency !== null) this.#timed(endpoint.latency, attempt, status < 500 && status !== 429)
    if (this.#probe !== 0 && status < 500 && status !== 429) this.#transport.roster!.probeAnswered(endpoint, this.#probe, this.#transport.clock.now())
    this.#resolve(answer)
  }

  attemptFailed(attempt: Attempt, error: WeirError, stale: boolean): void {
    const outcome = error.reason as Outcome
    this.#transport.outcomes[outcome].add()
    if (outcome !== 'aborted') this.#endpoint!.failed++
    const again = stale && !this.#repaired && mayRepeat(this.#x)
    // A kept connection that was closed just now says nothing of the endpoint, as long as a fresh one answers.
    this.#judge(attempt, again ? 'none' : verdictOf(0, error), this.#transport.clock.now())
    if (again) {
      this.#repaired = true
      this.try(true)
    } else this.#reject(error)
  }

  /** An answer that broke off counts as a failure, whatever its head said; where none began, `attemptFailed` judges. */
  attemptOver(attempt: Attempt, error: WeirError | null): void {
    const now = this.#transport.clock.now()
    this.#endpoint!.inFlight--
    this.#transport.inFlight.add(-1)
    this.#x.waited += now - attempt.started
    if (this.#trace !== null) this.#trace.over(error)
    if (error === null || this.#status !== 0) this.#judge(attempt, verdictOf(this.#status, error), now)
  }

  #judge(attempt: Attempt, verdict: Verdict, now: number): void {
    const { gate, latency } = this.#endpoint!
    // What was wrong with a 5xx was known at its head.
    if (latency !== null && verdict === 'failed' && this.#status < 500) this.#timed(latency, attempt, false)
    if (gate !== null) this.#transport.roster!.outcome(this.#endpoint!, verdict, this.#probe, now)
  }

  #timed(latency: PeakEwma, attempt: Attempt, good: boolean): void {
    const now = this.#transport.clock.now()
    if (good) latency.answered(now - attempt.started, now)
    else latency.failed(now - attempt.started, now)
  }
}

function overloaded(): WeirError {
  const error = new WeirError('OVERLOADED', 'the backend has no free connection')
  error.retryAfter = 1
  return error
}

function mayRepeat(x: Outgoing): boolean {
  return x.body === null && x.upgrade === '' && (x.method === 'GET' || x.method === 'HEAD' || x.method === 'OPTIONS')
}
