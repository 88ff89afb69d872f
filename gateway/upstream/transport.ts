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
import { backendMetrics, OUTCOMES } from '../vital.ts'
import { Attempt, type AttemptOwner, type AttemptTimeouts } from '../wire/attempt.ts'
import type { Deadlines } from '../wire/deadlines.ts'
import { balancer, type Choose } from './balance.ts'
import { Endpoint } from './endpoint.ts'
import { headWriter, needsChunks, type WriteHead } from './request.ts'

export interface TransportDeps {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly metrics: Handles<typeof backendMetrics>
  readonly random: () => number
}

/** An endpoint as /backends shows it. */
export interface EndpointState {
  readonly url: string
  readonly in_flight: number
  readonly connections: number
  readonly idle: number
  readonly answered: number
  readonly failed: number
}

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

class Transport implements Transmitter {
  readonly name: string
  readonly kind = 'http'
  readonly config: HttpBackendConfig
  readonly send: Transmit
  readonly timeouts: AttemptTimeouts
  readonly endpoints: readonly Endpoint[]
  readonly inFlight: Gauge
  readonly outcomes: Readonly<Record<Outcome, Counter>>
  readonly writeHead: WriteHead
  readonly choose: Choose
  readonly now: () => number

  constructor(config: HttpBackendConfig, deps: TransportDeps) {
    this.name = config.name
    this.config = config
    this.now = () => deps.clock.now()
    this.timeouts = { connect_ms: config.connect_ms, response_headers_ms: config.response_headers_ms, first_byte_ms: 0, idle_ms: config.idle_ms }
    const connections = deps.metrics.weir_backend_connections({ backend: config.name })
    this.endpoints = config.endpoints.map((endpoint) => new Endpoint(endpoint, config, deps.deadlines, (delta) => connections.add(delta)))
    this.choose = balancer(config.balance, this.endpoints, deps.random)
    this.writeHead = headWriter(config)
    this.inFlight = deps.metrics.weir_backend_in_flight({ backend: config.name })
    this.outcomes = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, deps.metrics.weir_attempts_total({ backend: config.name, outcome })])) as Record<Outcome, Counter>
    this.send = (x, leg) => new Promise<Answer>((resolve, reject) => new Call(this, x, leg, resolve, reject).try(false))
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

  /** The chosen endpoint, or another one when that is full. */
  withRoom(): Endpoint | null {
    const chosen = this.choose()
    return chosen.pool.hasRoom ? chosen : (this.endpoints.find((endpoint) => endpoint.pool.hasRoom) ?? null)
  }

  state(): EndpointState[] {
    return this.endpoints.map((endpoint) => ({
      url: `${endpoint.config.scheme}://${endpoint.config.authority}${endpoint.config.prefix}`,
      in_flight: endpoint.inFlight,
      connections: endpoint.pool.open,
      idle: endpoint.pool.idle,
      answered: endpoint.answered,
      failed: endpoint.failed,
    }))
  }

  close(): void {
    for (const endpoint of this.endpoints) endpoint.pool.close()
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
    const endpoint = transport.withRoom()
    if (endpoint === null) return this.#overloaded()
    const { pool } = endpoint
    const connection = (onlyFresh ? (pool.fresh() ?? pool.kept()) : (pool.kept() ?? pool.fresh()))!
    this.#endpoint = endpoint
    endpoint.inFlight++
    transport.inFlight.add(1)
    x.attempts++
    const head = transport.writeHead(x, endpoint.config)
    new Attempt(x, this.#leg, connection, head, needsChunks(x.body), transport.timeoutsOf(this.#leg), this).begin()
  }

  #overloaded(): void {
    const error = new WeirError('OVERLOADED', 'the backend has no free connection')
    error.retryAfter = 1
    this.#transport.outcomes.overload.add()
    this.#reject(error)
  }

  attemptAnswered(_attempt: Attempt, answer: Answer): void {
    answer.backend = this.#transport.name
    this.#endpoint!.answered++
    this.#transport.outcomes[answer.status >= 500 ? '5xx' : answer.status >= 400 ? '4xx' : 'ok'].add()
    this.#resolve(answer)
  }

  attemptFailed(_attempt: Attempt, error: WeirError, stale: boolean): void {
    const outcome = error.reason as Outcome
    this.#transport.outcomes[outcome].add()
    if (outcome !== 'aborted') this.#endpoint!.failed++
    if (stale && !this.#repaired && mayRepeat(this.#x)) {
      this.#repaired = true
      this.try(true)
    } else this.#reject(error)
  }

  attemptOver(attempt: Attempt): void {
    this.#endpoint!.inFlight--
    this.#transport.inFlight.add(-1)
    this.#x.waited += this.#transport.now() - attempt.started
  }
}

function mayRepeat(x: Outgoing): boolean {
  return x.body === null && x.upgrade === '' && (x.method === 'GET' || x.method === 'HEAD' || x.method === 'OPTIONS')
}
