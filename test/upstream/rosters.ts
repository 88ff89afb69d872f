/** A roster over endpoints without sockets, on a fake clock: what is said of them is said by the test. */
import type { EjectionConfig, HttpBackendConfig } from '../../config/config.ts'
import { Leg, type Outgoing } from '../../gateway/exchange.ts'
import { balancer } from '../../gateway/upstream/balance.ts'
import type { EndpointCounts } from '../../gateway/upstream/counts.ts'
import type { EjectionReason, Verdict } from '../../gateway/upstream/ejection.ts'
import type { Endpoint } from '../../gateway/upstream/endpoint.ts'
import { Roster } from '../../gateway/upstream/roster.ts'
import { FakeClock } from '../fake_clock.ts'
import { random } from '../conformance/wire/fuzz.ts'
import { backendConfig, keepingLog } from '../wire/thin.ts'

export const EJECTION: EjectionConfig = { consecutive: 3, error_rate: 0, min_requests: 10, window_ms: 10_000, base_ms: 1000, max_ms: 8000, max_share: 1 }

export interface Said {
  readonly weight?: number
  readonly zone?: string
  readonly priority?: number
}

export interface Bench {
  readonly clock: FakeClock
  readonly roster: Roster
  readonly all: readonly FakeEndpoint[]
  readonly ejections: EjectionReason[]
  /** Warnings in the log. */
  readonly complaints: string[]
  /** @returns the position of the endpoint, -1 = nobody */
  pick(tried?: object[] | null): number
  /** A whole request that takes no time. */
  request(verdict: (endpoint: number) => Verdict, tried?: object[] | null): number
  /** Shares of many picks, none of which stays. */
  shares(times: number): number[]
}

export type FakeEndpoint = Endpoint & { pool: { hasRoom: boolean; open: number; idle: number } }

export function bench(said: readonly Said[], config: Partial<HttpBackendConfig> = {}, zone = ''): Bench {
  const clock = new FakeClock()
  // Time does not begin at 0 anywhere.
  clock.advance(1_000_000)
  const all = said.map(({ weight = 1, zone: where = '', priority = 0 }, i) => ({
    config: { weight, zone: where, priority }, pool: { hasRoom: true, open: 0, idle: 0 }, inFlight: 0, gate: null, latency: null, healthy: null, since: 0, share: weight, scale: 1, turn: 0, identity: String(i),
  })) as unknown as FakeEndpoint[]
  const whole = { ...backendConfig(said.map((_, i) => 1000 + i), config) }
  const ejections: EjectionReason[] = []
  const complaints: string[] = []
  const counts = { stand() {}, ejected: (reason: EjectionReason) => void ejections.push(reason) } as unknown as EndpointCounts
  const now = (): number => clock.now()
  const picked = balancer(config.balance ?? 'random', { random: random(3), now, key: () => undefined })
  // 0.5 is no jitter at all.
  const roster = new Roster(whole, { now, random: () => 0.5, balancer: picked, counts, zone, log: keepingLog(complaints) })
  roster.replace(all)
  const leg = new Leg({ name: 'b', kind: 'http', send: () => Promise.reject(new Error('nothing is sent')) })
  const pick = (tried: object[] | null = null): number => {
    leg.tried = tried
    const endpoint = roster.pick({} as Outgoing, leg)
    return endpoint === null ? -1 : all.indexOf(endpoint as FakeEndpoint)
  }
  return {
    clock, roster, all, ejections, complaints, pick,
    request(verdict, tried = null) {
      const at = pick(tried)
      if (at < 0) return at
      const probe = all[at]!.gate?.begin() ?? 0
      if (all[at]!.gate !== null) roster.outcome(all[at]!, verdict(at), probe, clock.now())
      return at
    },
    shares(times) {
      const found = all.map(() => 0)
      for (let i = 0; i < times; i++) found[pick()]!++
      return found.map((count) => count / times)
    },
  }
}
