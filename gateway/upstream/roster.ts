/**
 * The endpoints of a backend and which of them may be asked now: what checks, ejection, priorities, zones and slow start say, put together
 * when one of them changes. A request only asks the balancer.
 *
 * Small sets: at most `max_percent` of the endpoints are ejected, but one always may be; the only endpoint never is, and the last
 * available one only with `max_percent: 100`. When nobody is available, `panic` decides: all are asked, or nobody (503, NO_ENDPOINT).
 * When an ejection is over the next request is the probe, whatever the policy; until it is answered nobody else goes there.
 */
import type { HttpBackendConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import type { Leg, Outgoing } from '../exchange.ts'
import type { Log } from '../plugin.ts'
import type { Balancer } from './balance.ts'
import { type EjectionReason, Gate, type Verdict } from './ejection.ts'
import type { Endpoint } from './endpoint.ts'
import type { EndpointCounts } from './counts.ts'
import { tier } from './tiers.ts'

/** Share of its weight that an endpoint begins with (Envoy's `min_weight_percent`). */
const FIRST_SHARE = 0.1
/** Slow start grows in so many steps. */
const STEPS = 50

export interface RosterDeps {
  readonly now: () => number
  readonly random: () => number
  readonly balancer: Balancer
  readonly counts: EndpointCounts
  /** Weir's own. */
  readonly zone: string
  readonly log: Log
}

export class Roster {
  readonly #config: HttpBackendConfig
  readonly #deps: RosterDeps
  #all: readonly Endpoint[] = []
  #available: readonly Endpoint[] = []
  #candidates: readonly Endpoint[] = []
  /** Waiting for their probe. */
  #probes: Endpoint[] = []
  /** When time alone changes something. */
  #wake = Number.POSITIVE_INFINITY

  constructor(config: HttpBackendConfig, deps: RosterDeps) {
    this.#config = config
    this.#deps = deps
  }

  get all(): readonly Endpoint[] {
    return this.#all
  }

  /** These are the endpoints from now on. */
  replace(endpoints: readonly Endpoint[]): void {
    const { ejection, endpoints: written, dns_refresh_ms } = this.#config
    // One that will always be the only one is never ejected.
    if (ejection !== null && (written.length > 1 || dns_refresh_ms > 0)) for (const endpoint of endpoints) endpoint.gate ??= new Gate(ejection, this.#deps.random)
    this.#all = endpoints
    this.refresh(this.#deps.now())
  }

  // ---------------------------------------------------------------- choosing

  /** @returns null when nobody may be asked, or nobody has a connection to spare: `refusal` says which */
  pick(x: Outgoing, leg: Leg): Endpoint | null {
    if (this.#wake !== Number.POSITIVE_INFINITY) this.#look()
    if (this.#probes.length > 0) {
      const probe = this.#takeProbe(leg.tried)
      if (probe !== null) return probe
    }
    if (this.#candidates.length === 0) return null
    const chosen = this.#deps.balancer.choose(x)
    const again = leg.tried !== null && leg.tried.includes(chosen)
    return chosen.pool.hasRoom && !again ? chosen : this.#another(x, leg.tried)
  }

  #look(): void {
    const now = this.#deps.now()
    if (now >= this.#wake) this.refresh(now)
  }

  #takeProbe(tried: readonly object[] | null): Endpoint | null {
    const at = this.#probes.findIndex((endpoint) => endpoint.gate!.state === 'due' && endpoint.pool.hasRoom && tried?.includes(endpoint) !== true)
    return at < 0 ? null : this.#probes.splice(at, 1)[0]!
  }

  /** The chosen one is full, or was asked already: another candidate, else whoever else is available, else one that was asked. */
  #another(x: Outgoing, tried: readonly object[] | null): Endpoint | null {
    const fresh = (endpoint: Endpoint): boolean => endpoint.pool.hasRoom && tried?.includes(endpoint) !== true
    for (const suits of [fresh, ({ pool }: Endpoint) => pool.hasRoom]) {
      for (const from of [this.#candidates, this.#available]) {
        const some = from.filter(suits)
        if (some.length > 0) return this.#deps.balancer.among(some, x)
      }
    }
    return null
  }

  /** Some endpoint may be asked now. */
  available(): boolean {
    if (this.#wake !== Number.POSITIVE_INFINITY) this.#look()
    return this.#candidates.length > 0 || this.#probes.some(({ gate }) => gate!.state === 'due')
  }

  /** Why `pick` gave nobody. */
  refusal(): WeirError {
    const nobody = this.#candidates.length === 0
    const error = nobody ? new WeirError('NO_ENDPOINT') : new WeirError('OVERLOADED', 'the backend has no free connection')
    error.retryAfter = nobody ? Math.max(1, this.#soonest() / 1000) : 1
    return error
  }

  /** Milliseconds until somebody may be asked again: the next probe, or the next check. */
  #soonest(): number {
    const now = this.#deps.now()
    let soonest = this.#config.health?.interval_ms ?? Number.POSITIVE_INFINITY
    for (const { gate } of this.#all) if (gate?.state === 'out') soonest = Math.min(soonest, gate.until - now)
    // A probe is under way; it will say.
    return soonest === Number.POSITIVE_INFINITY ? 1000 : soonest
  }

  // ---------------------------------------------------------------- what became of it

  /** An attempt is over. @param probe what `gate.begin()` gave for it */
  outcome(endpoint: Endpoint, verdict: Verdict, probe: number, now: number): void {
    const gate = endpoint.gate!
    if (gate.awaits(probe)) {
      gate.probed(verdict, now)
      return this.#moved(endpoint, verdict === 'failed' || verdict === 'limited' ? 'probe' : null, now)
    }
    const reason = gate.count(verdict, now)
    if (reason === null || !this.#mayEject(endpoint)) return
    gate.eject(reason, now)
    this.#moved(endpoint, reason, now)
  }

  /** The answer of a probe has begun. */
  probeAnswered(endpoint: Endpoint, probe: number, now: number): void {
    if (!endpoint.gate!.awaits(probe)) return
    endpoint.gate!.answered(now)
    this.refresh(now)
  }

  /** An active check has spoken. A good one ends an ejection (Envoy). */
  checked(endpoint: Endpoint, healthy: boolean): void {
    const now = this.#deps.now()
    const { gate, healthy: before } = endpoint
    const out = gate !== null && gate.state !== 'in'
    if (before === healthy && !(healthy && out)) return
    endpoint.healthy = healthy
    if (before !== healthy) this.#tell(endpoint, healthy ? 'endpoint is healthy' : 'endpoint is unhealthy', !healthy)
    if (healthy && out) gate.admit(now)
    if (healthy && (out || before === false)) endpoint.since = now
    this.refresh(now)
  }

  #mayEject(endpoint: Endpoint): boolean {
    const count = this.#all.length
    const { max_share } = this.#config.ejection!
    if (count === 1 || !this.#all.includes(endpoint)) return false
    const ejected = this.#all.filter(({ gate }) => gate!.state !== 'in').length
    // A product of decimals may be a hair below the whole number that is meant.
    if (ejected >= Math.max(1, Math.floor(max_share * count + 1e-9))) return false
    return max_share >= 1 || this.#all.some((other) => other !== endpoint && usable(other))
  }

  #moved(endpoint: Endpoint, reason: EjectionReason | null, now: number): void {
    const { state, until, times } = endpoint.gate!
    if (reason !== null) {
      this.#deps.counts.ejected(reason)
      this.#tell(endpoint, 'endpoint ejected', true, { reason, times, for_ms: Math.round(until - now) })
    } else if (state === 'in') this.#tell(endpoint, 'endpoint is back', false)
    if (state === 'in') endpoint.since = now
    this.refresh(now)
  }

  /** Each thread of what it found itself; how often is bounded by back-off and by the interval of checks. */
  #tell(endpoint: Endpoint, what: string, bad: boolean, more: Readonly<Record<string, unknown>> = {}): void {
    const fields = { backend: this.#config.name, endpoint: endpoint.identity, ...more }
    if (bad) this.#deps.log.warn(what, fields)
    else this.#deps.log.info(what, fields)
  }

  // ---------------------------------------------------------------- putting together

  /** Everything that was said of the endpoints, as of `now`. */
  refresh(now: number): void {
    const { slow_start_ms, panic } = this.#config
    const all = this.#all
    for (const endpoint of all) {
      if (endpoint.gate?.tick(now) === true && endpoint.gate.state === 'in') endpoint.since = now
      if (slow_start_ms > 0) endpoint.share = endpoint.config.weight * grown(endpoint.since, now, slow_start_ms)
    }
    const usables = all.filter(usable)
    // Envoy's panic: too few are left to carry the load, or nobody is; some of the others may still answer.
    this.#available = panic > 0 && usables.length <= panic * all.length ? all : usables
    this.#candidates = tier(this.#available, all, this.#deps.zone)
    this.#probes = all.filter((one) => one.gate?.state === 'due' && one.healthy !== false && tier([...this.#available, one], all, this.#deps.zone).includes(one))
    this.#wake = this.#next(now)
    this.#deps.counts.stand(all)
    if (this.#candidates.length > 0) this.#deps.balancer.arrange(this.#candidates)
  }

  #next(now: number): number {
    const { slow_start_ms } = this.#config
    let next = Number.POSITIVE_INFINITY
    for (const { gate, since } of this.#all) {
      if (gate !== null) next = Math.min(next, gate.until)
      if (since > 0 && now < since + slow_start_ms) next = Math.min(next, now + slow_start_ms / STEPS, since + slow_start_ms)
    }
    return next
  }
}

function usable({ gate, healthy }: Endpoint): boolean {
  return healthy !== false && (gate === null || gate.state === 'in')
}

/** Share of its weight that an endpoint has so long after it came: a straight line from a tenth to all. */
function grown(since: number, now: number, ms: number): number {
  return since === 0 ? 1 : Math.min(1, FIRST_SHARE + ((1 - FIRST_SHARE) * (now - since)) / ms)
}
