/**
 * Passive ejection of one endpoint: what its answers say of it. A pure state machine; the roster asks it and decides.
 *
 * `in` → `out` for base × 2ⁿ (±10 %, at most `max`) when failures come in a row, or are a share of an exact window → `due`: the next request
 * is the probe → `probing`: everybody else avoids it → `in` when the probe is answered well, else `out` for twice as long.
 * Sources: Envoy's outlier detection (consecutive 5xx, multiplier that is forgiven with time); linkerd's circuit breaker (counts in ten
 * buckets instead of an average, 429 counts for the share and not for the row, one probe).
 */
import type { EjectionConfig } from '../../config/config.ts'
import type { WeirError } from '../errors.ts'
import type { EJECTION_REASONS } from '../vital.ts'

/** What one attempt says of its endpoint. `limited` is a 429; `none` was nobody's doing, or the caller's. */
export type Verdict = 'ok' | 'failed' | 'limited' | 'none'

export type EjectionReason = (typeof EJECTION_REASONS)[number]

/** @param error why there is no whole answer, or null. @param status of the answer, 0 = no head came */
export function verdictOf(status: number, error: WeirError | null): Verdict {
  if (status >= 500) return 'failed'
  if (error !== null) return blames(error, status) ? 'failed' : 'none'
  return status === 429 ? 'limited' : 'ok'
}

/** The endpoint is to blame, not the caller and not weir. An answer that was under way when all the time was over may just have been a long one. */
function blames({ code, reason }: WeirError, status: number): boolean {
  if (reason === 'timeout') return code !== 'REQUEST_TIMEOUT' && (code !== 'TOTAL_TIMEOUT' || status === 0)
  return reason === 'connect' || reason === 'reset' || reason === 'invalid'
}

const BUCKETS = 10

/** Requests and failures of the last ten buckets of time, the present one included: counts, no average that a burst could hide behind. */
export class Window {
  requests = 0
  failures = 0
  readonly #width: number
  readonly #requests = new Uint32Array(BUCKETS)
  readonly #failures = new Uint32Array(BUCKETS)
  #last = Number.NEGATIVE_INFINITY

  /** @param ms length of the window */
  constructor(ms: number) {
    this.#width = ms / BUCKETS
  }

  add(now: number, failed: boolean): void {
    this.advance(now)
    const at = this.#last % BUCKETS
    this.requests++
    this.#requests[at]!++
    if (!failed) return
    this.failures++
    this.#failures[at]!++
  }

  /** Forgets what is too old by `now`. */
  advance(now: number): void {
    const present = Math.floor(now / this.#width)
    if (present === this.#last) return
    if (present - this.#last >= BUCKETS) this.clear()
    else for (let old = this.#last + 1; old <= present; old++) this.#forget(old % BUCKETS)
    this.#last = present
  }

  clear(): void {
    this.requests = this.failures = 0
    this.#requests.fill(0)
    this.#failures.fill(0)
  }

  #forget(at: number): void {
    this.requests -= this.#requests[at]!
    this.failures -= this.#failures[at]!
    this.#requests[at] = this.#failures[at] = 0
  }
}

export class Gate {
  state: 'in' | 'out' | 'due' | 'probing' = 'in'
  /** `out`: when a probe may go. `probing` behind the head of the answer: when it has lasted long enough. */
  until = Number.POSITIVE_INFINITY
  /** Ejections in a row; one is forgiven for every window it stays in. */
  times = 0
  reason: EjectionReason | null = null
  readonly window: Window
  readonly #config: EjectionConfig
  readonly #random: () => number
  #row = 0
  #probe = 0
  #backAt = 0

  constructor(config: EjectionConfig, random: () => number) {
    this.#config = config
    this.#random = random
    this.window = new Window(config.window_ms)
  }

  /** Counts an attempt that was no probe. @returns why the endpoint should go out, or null */
  count(verdict: Verdict, now: number): EjectionReason | null {
    // What began before an ejection says nothing of the endpoint after it.
    if (this.state !== 'in' || verdict === 'none') return null
    this.window.add(now, verdict !== 'ok')
    if (verdict === 'ok') {
      this.#row = 0
      return null
    }
    const { consecutive, error_rate, min_requests } = this.#config
    if (verdict === 'failed' && ++this.#row >= consecutive) return 'consecutive'
    const { requests, failures } = this.window
    return error_rate > 0 && requests >= min_requests && failures >= error_rate * requests ? 'error_rate' : null
  }

  eject(reason: EjectionReason, now: number): void {
    const { base_ms, max_ms, window_ms } = this.#config
    if (this.state === 'in') this.times = Math.max(0, this.times - Math.floor((now - this.#backAt) / window_ms))
    if (reason !== 'probe') this.reason = reason
    this.state = 'out'
    this.until = now + Math.min(max_ms, base_ms * 2 ** this.times) * (0.9 + 0.2 * this.#random())
    this.times++
  }

  /** Takes it back, with nothing held against it but how often it was out. */
  admit(now: number): void {
    this.state = 'in'
    this.until = Number.POSITIVE_INFINITY
    this.#row = 0
    this.#backAt = now
    this.window.clear()
  }

  /** Time passed. @returns true when the state changed */
  tick(now: number): boolean {
    if (now < this.until) return false
    if (this.state === 'out') {
      this.state = 'due'
      this.until = Number.POSITIVE_INFINITY
    } else this.admit(now)
    return true
  }

  /** A request goes out. @returns the number of the probe it is, 0 = it is none */
  begin(): number {
    if (this.state !== 'due') return 0
    this.state = 'probing'
    return ++this.#probe
  }

  /** This is the probe that everybody waits for. */
  awaits(probe: number): boolean {
    return probe === this.#probe && this.state === 'probing'
  }

  /** The probe's answer has begun. A stream may go on for minutes: one that lasts as long as the first ejection has passed. */
  answered(now: number): void {
    this.until = now + this.#config.base_ms
  }

  /** The probe is over. */
  probed(verdict: Verdict, now: number): void {
    this.until = Number.POSITIVE_INFINITY
    if (verdict === 'ok') this.admit(now)
    else if (verdict === 'none') this.state = 'due'
    else this.eject('probe', now)
  }
}
