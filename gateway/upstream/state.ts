/** An endpoint as /backends shows it: where it is, whether it is asked, and why not. One thread's view. */
import type { Clock } from '../clock.ts'
import type { EjectionReason } from './ejection.ts'
import type { Endpoint } from './endpoint.ts'

export interface EndpointState {
  readonly url: string
  /** Where it connects to, where the name in the url is resolved by weir: an IP address; '' = as the url says. */
  readonly address: string
  readonly weight: number
  readonly zone: string
  readonly priority: number
  /** By active checks. */
  readonly health: 'healthy' | 'unhealthy' | 'unknown'
  readonly ejection: {
    /** ISO 8601; null: the next request is the probe, or it is under way. */
    readonly until: string | null
    readonly probing: boolean
    readonly reason: EjectionReason | null
    /** Ejections in a row. */
    readonly times: number
  } | null
  /** In the window of `ejection`; null when nobody ejects. */
  readonly requests: number | null
  /** Share of them that succeeded; null without requests. */
  readonly success_rate: number | null
  /** Decayed peak of the answer times, milliseconds; 0 = no answer yet; null unless `balance: peak_ewma`. */
  readonly ewma_ms: number | null
  readonly in_flight: number
  readonly connections: number
  readonly idle: number
  readonly answered: number
  readonly failed: number
}

export function stateOf(endpoint: Endpoint, clock: Clock): EndpointState {
  const { config, address, pool, healthy, gate, latency } = endpoint
  const now = clock.now()
  gate?.window.advance(now)
  return {
    url: endpoint.url,
    address: address === config.address || 'unix' in address ? '' : address.host,
    weight: config.weight,
    zone: config.zone,
    priority: config.priority,
    health: healthy === null ? 'unknown' : healthy ? 'healthy' : 'unhealthy',
    ejection: ejectionOf(endpoint, clock, now),
    requests: gate?.window.requests ?? null,
    success_rate: gate === null || gate.window.requests === 0 ? null : 1 - gate.window.failures / gate.window.requests,
    ewma_ms: latency === null ? null : latency.at(now),
    in_flight: endpoint.inFlight,
    connections: pool.open,
    idle: pool.idle,
    answered: endpoint.answered,
    failed: endpoint.failed,
  }
}

function ejectionOf({ gate }: Endpoint, clock: Clock, now: number): EndpointState['ejection'] {
  if (gate === null || gate.state === 'in') return null
  const until = gate.state === 'out' ? new Date(clock.wall() + gate.until - now).toISOString() : null
  return { until, probing: gate.state === 'probing', reason: gate.reason, times: gate.times }
}
