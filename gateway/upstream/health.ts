/**
 * Active checks of one endpoint, each on a connection of its own. Every data thread checks for itself: results need no messages, and what is
 * found is what this thread's requests would find. Checks begin after a random part of a tenth of the interval and keep ±10 % of jitter.
 * The first result counts at once; later it takes `unhealthy` failures or `healthy` successes in a row to change it.
 */
import net from 'node:net'
import type { HealthConfig } from '../../config/config.ts'
import type { Clock, Timer } from '../clock.ts'
import { WeirError } from '../errors.ts'
import { type Answer, type Backend, Leg, type Outgoing } from '../exchange.ts'
import { Fields } from '../headers.ts'
import { Attempt, type AttemptOwner } from '../wire/attempt.ts'
import type { Pool } from '../wire/pool.ts'
import type { Endpoint } from './endpoint.ts'
import type { WriteHead } from './request.ts'

const JITTER = 0.1

/** One check under way; `done` is called once, unless it is cancelled. */
export type Check = (endpoint: Endpoint, timeoutMs: number, done: (good: boolean) => void) => { cancel(): void }

export interface HealthDeps {
  readonly clock: Clock
  readonly random: () => number
  readonly check: Check
  /** What an endpoint's checks say by now, after each of them. */
  readonly checked: (endpoint: Endpoint, healthy: boolean, good: boolean) => void
}

export class Watch {
  readonly #endpoint: Endpoint
  readonly #config: HealthConfig
  readonly #deps: HealthDeps
  #timer: Timer
  #running: { cancel(): void } | null = null
  #healthy: boolean | null = null
  /** Results in a row that contradict `#healthy`. */
  #row = 0
  #closed = false

  constructor(endpoint: Endpoint, config: HealthConfig, deps: HealthDeps) {
    this.#endpoint = endpoint
    this.#config = config
    this.#deps = deps
    this.#timer = deps.clock.after(config.interval_ms * JITTER * deps.random(), () => this.#run())
  }

  #run(): void {
    const { clock, random, check } = this.#deps
    const { interval_ms, timeout_ms } = this.#config
    const next = clock.now() + interval_ms * (1 - JITTER + 2 * JITTER * random())
    this.#running = check(this.#endpoint, timeout_ms, (good) => {
      this.#running = null
      if (this.#closed) return
      this.#timer = clock.after(Math.max(0, next - clock.now()), () => this.#run())
      this.#judge(good)
    })
  }

  #judge(good: boolean): void {
    this.#row = good === this.#healthy ? 0 : this.#row + 1
    if (this.#healthy === null || this.#row >= (good ? this.#config.healthy : this.#config.unhealthy)) {
      this.#healthy = good
      this.#row = 0
    }
    this.#deps.checked(this.#endpoint, this.#healthy, good)
  }

  close(): void {
    this.#closed = true
    this.#timer.cancel()
    this.#running?.cancel()
  }
}

/** A connection that stands. TLS is not spoken. */
export function tcpCheck(clock: Clock): Check {
  return (endpoint, timeoutMs, done) => {
    const { address } = endpoint
    const socket = net.connect('unix' in address ? { path: address.unix } : { host: address.host, port: address.port })
    const end = (good: boolean | null): void => {
      timer.cancel()
      socket.removeAllListeners('connect').destroy()
      if (good !== null && !over) done(good)
      over = true
    }
    let over = false
    const timer = clock.after(timeoutMs, () => end(false))
    socket.once('connect', () => end(true))
    // Stays: a socket that was given up may still fail.
    socket.on('error', () => end(false))
    return { cancel: () => end(null) }
  }
}

/** GET `path` behind the prefix of the endpoint, with the backend's own fields; 2xx is good. What follows the head of the answer is not read. */
export function httpCheck(path: string, clock: Clock, backend: Backend, pool: (endpoint: Endpoint) => Pool, writeHead: WriteHead): Check {
  return (endpoint, timeoutMs, done) => new HttpCheck(path, clock, backend, endpoint, pool(endpoint), writeHead, timeoutMs, done)
}

class HttpCheck implements AttemptOwner {
  readonly #leg: Leg
  readonly #timer: Timer
  #done: ((good: boolean) => void) | null

  constructor(path: string, clock: Clock, backend: Backend, endpoint: Endpoint, pool: Pool, writeHead: WriteHead, timeoutMs: number, done: (good: boolean) => void) {
    this.#done = done
    this.#leg = new Leg(backend)
    this.#timer = clock.after(timeoutMs, () => this.#leg.cancel(new WeirError('HEADERS_TIMEOUT')))
    const x: Outgoing = { method: 'GET', target: path, headers: [], fields: Fields.of([]), body: null, upgrade: '', caller: { inform: () => undefined }, attempts: 0, waited: 0 }
    const timeouts = { connect_ms: timeoutMs, response_headers_ms: timeoutMs, first_byte_ms: timeoutMs, idle_ms: timeoutMs }
    new Attempt(x, this.#leg, pool.fresh()!, writeHead(x, endpoint.config), false, timeouts, this).begin()
  }

  attemptAnswered(_attempt: Attempt, { status, body }: Answer): void {
    if (body !== null && !Buffer.isBuffer(body)) body.cancel()
    this.#end(status >= 200 && status <= 299)
  }

  attemptFailed(): void {
    this.#end(false)
  }

  attemptOver(): void {}

  cancel(): void {
    this.#done = null
    this.#timer.cancel()
    this.#leg.cancel(new WeirError('CALLER_LEFT'))
  }

  #end(good: boolean): void {
    const done = this.#done
    this.#done = null
    this.#timer.cancel()
    done?.(good)
  }
}
