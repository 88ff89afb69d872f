/** The endpoints of a backend that has several, checks them or resolves their names: who they are, and everything that watches them. */
import net from 'node:net'
import type { Address, EndpointConfig, HttpBackendConfig } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { Outgoing } from '../exchange.ts'
import type { Log } from '../plugin.ts'
import type { Pool } from '../wire/pool.ts'
import { balancer } from './balance.ts'
import type { EndpointCounts } from './counts.ts'
import type { Endpoint, EndpointMaker } from './endpoint.ts'
import { type Check, Watch } from './health.ts'
import { PeakEwma, Usual } from './latency.ts'
import { type Lookup, Name } from './resolve.ts'
import { Roster } from './roster.ts'

export interface FleetDeps {
  readonly clock: Clock
  readonly random: () => number
  readonly lookup: Lookup
  readonly key: (x: Outgoing) => string | undefined
  readonly zone: string
  readonly log: Log
  readonly maker: EndpointMaker
  readonly counts: EndpointCounts
  readonly check: Check | null
}

/** True when a backend needs one: a single endpoint that nobody checks is simply asked. */
export function needsFleet({ endpoints, health, dns_refresh_ms }: HttpBackendConfig): boolean {
  return endpoints.length > 1 || health !== null || (dns_refresh_ms > 0 && endpoints.some(hasName))
}

export class Fleet {
  readonly roster: Roster
  readonly #config: HttpBackendConfig
  readonly #deps: FleetDeps
  readonly #usual = new Usual()
  /** By what the config says, since one name may be several. */
  readonly #places = new Map<EndpointConfig, readonly Endpoint[]>()
  readonly #watches = new Map<Endpoint, Watch>()
  readonly #names: readonly Name[]

  constructor(config: HttpBackendConfig, deps: FleetDeps) {
    const { clock, random, counts, zone, key, log } = deps
    const now = (): number => clock.now()
    this.#config = config
    this.#deps = deps
    this.roster = new Roster(config, { now, random, counts, zone, log, balancer: balancer(config.balance, { random, now, key }) })
    for (const place of config.endpoints) this.#places.set(place, [this.#add(place, place.address, 0)])
    this.roster.replace(this.#all())
    this.#names = config.dns_refresh_ms > 0 ? config.endpoints.filter(hasName).map((place) => this.#follow(place)) : []
  }

  close(): void {
    for (const name of this.#names) name.close()
    for (const endpoint of this.#all()) this.#remove(endpoint)
  }

  #all(): Endpoint[] {
    return [...this.#places.values()].flat()
  }

  #follow(place: EndpointConfig): Name {
    const { host, port } = place.address as { readonly host: string; readonly port: number }
    const { clock, random, lookup, counts } = this.#deps
    return new Name(host, this.#config.dns_refresh_ms, {
      clock, random, lookup,
      changed: (addresses) => this.#moved(place, addresses.map((address) => ({ host: address, port }))),
      resolved: (good) => counts.resolved(good),
    })
  }

  /** What is there stays with all that is known of it; what is gone takes no new request. */
  #moved(place: EndpointConfig, addresses: readonly Address[]): void {
    const before = this.#places.get(place)!
    const first = before.some(({ address }) => address === place.address)
    const since = first ? 0 : this.#deps.clock.now()
    const after = addresses.map((address) => before.find((endpoint) => sameAddress(endpoint.address, address)) ?? this.#add(place, address, since))
    this.#places.set(place, after)
    if (!first) this.#deps.log.info('a name stands for other addresses', { backend: this.#config.name, endpoint: after[0]!.url, addresses: after.length })
    this.roster.replace(this.#all())
    for (const endpoint of before) if (!after.includes(endpoint)) this.#remove(endpoint)
  }

  #add(place: EndpointConfig, address: Address, since: number): Endpoint {
    const { clock, random, maker, counts, check } = this.#deps
    const endpoint = maker.make(place, address)
    endpoint.since = since
    if (this.#config.balance === 'peak_ewma') endpoint.latency = new PeakEwma(this.#usual)
    if (check !== null && this.#config.health !== null) {
      const checked = (one: Endpoint, healthy: boolean, good: boolean): void => {
        counts.checked(good)
        this.roster.checked(one, healthy)
      }
      this.#watches.set(endpoint, new Watch(endpoint, this.#config.health, { clock, random, check, checked }))
    }
    return endpoint
  }

  #remove(endpoint: Endpoint): void {
    this.#watches.get(endpoint)?.close()
    this.#watches.delete(endpoint)
    endpoint.pool.close()
  }
}

/** A pool for the checks of each endpoint. */
export function checkPools(maker: EndpointMaker): (endpoint: Endpoint) => Pool {
  const pools = new WeakMap<Endpoint, Pool>()
  return function poolOf(endpoint) {
    const known = pools.get(endpoint)
    if (known !== undefined) return known
    const made = maker.checkPool(endpoint)
    pools.set(endpoint, made)
    return made
  }
}

function hasName({ address }: EndpointConfig): boolean {
  return 'host' in address && net.isIP(address.host) === 0
}

function sameAddress(a: Address, b: Address): boolean {
  return 'host' in a && 'host' in b && a.host === b.host
}
