/** What the metrics say of a backend's endpoints. Gauges of several generations of one backend add up, so each takes back what it added. */
import type { Counter, Gauge, Handles } from '../metrics.ts'
import { type backendMetrics, EJECTION_REASONS, ENDPOINT_STATES, RESULTS } from '../vital.ts'
import type { EjectionReason } from './ejection.ts'
import type { Endpoint } from './endpoint.ts'

type EndpointState = (typeof ENDPOINT_STATES)[number]

export class EndpointCounts {
  readonly #states: Readonly<Record<EndpointState, Gauge>>
  readonly #ejections: Readonly<Record<EjectionReason, Counter>>
  readonly #checks: Readonly<Record<(typeof RESULTS)[number], Counter>>
  readonly #resolutions: Readonly<Record<(typeof RESULTS)[number], Counter>>
  readonly #told: Record<EndpointState, number> = { available: 0, ejected: 0, unhealthy: 0 }

  constructor(backend: string, metrics: Handles<typeof backendMetrics>) {
    this.#states = bound(ENDPOINT_STATES, (state) => metrics.weir_endpoints({ backend, state }))
    this.#ejections = bound(EJECTION_REASONS, (reason) => metrics.weir_ejections_total({ backend, reason }))
    this.#checks = bound(RESULTS, (result) => metrics.weir_health_checks_total({ backend, result }))
    this.#resolutions = bound(RESULTS, (result) => metrics.weir_dns_refreshes_total({ backend, result }))
  }

  /** How the endpoints stand now. */
  stand(all: readonly Endpoint[]): void {
    const now: Record<EndpointState, number> = { available: 0, ejected: 0, unhealthy: 0 }
    for (const endpoint of all) now[stateOf(endpoint)]++
    for (const state of ENDPOINT_STATES) this.#states[state].add(now[state] - this.#told[state])
    Object.assign(this.#told, now)
  }

  ejected(reason: EjectionReason): void {
    this.#ejections[reason].add()
  }

  checked(good: boolean): void {
    this.#checks[good ? 'ok' : 'error'].add()
  }

  resolved(good: boolean): void {
    this.#resolutions[good ? 'ok' : 'error'].add()
  }

  close(): void {
    this.stand([])
  }
}

function stateOf({ gate, healthy }: Endpoint): EndpointState {
  if (healthy === false) return 'unhealthy'
  return gate !== null && gate.state !== 'in' ? 'ejected' : 'available'
}

function bound<K extends string, V>(keys: readonly K[], bind: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, bind(key)])) as Record<K, V>
}
