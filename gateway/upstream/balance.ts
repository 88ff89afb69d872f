/** Choosing an endpoint. Compiled once per backend: one endpoint needs no choice. */
import type { HttpBackendConfig } from '../../config/config.ts'
import type { Endpoint } from './endpoint.ts'

export type Choose = () => Endpoint

/** @param random uniform in [0, 1) */
export function balancer(policy: HttpBackendConfig['balance'], endpoints: readonly Endpoint[], random: () => number): Choose {
  const first = endpoints[0]!
  if (endpoints.length === 1) return () => first
  if (policy === 'round_robin') return roundRobin(endpoints)
  if (policy === 'random') return () => endpoints[Math.floor(random() * endpoints.length)]!
  return leastRequest(endpoints, random)
}

function roundRobin(endpoints: readonly Endpoint[]): Choose {
  let next = 0
  return function roundRobin() {
    const chosen = endpoints[next]!
    next = (next + 1) % endpoints.length
    return chosen
  }
}

/** Power of two choices over requests in flight (Mitzenmacher 2001; Envoy's LEAST_REQUEST with equal weights). */
function leastRequest(endpoints: readonly Endpoint[], random: () => number): Choose {
  const count = endpoints.length
  return function leastRequest() {
    const a = Math.floor(random() * count)
    const b = (a + 1 + Math.floor(random() * (count - 1))) % count
    return endpoints[a]!.inFlight <= endpoints[b]!.inFlight ? endpoints[a]! : endpoints[b]!
  }
}
