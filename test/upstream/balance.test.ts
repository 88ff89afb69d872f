/** Which endpoint is chosen: distributions by arithmetic, not by luck. */
import { describe, expect, it } from 'vitest'
import { balancer } from '../../gateway/upstream/balance.ts'
import type { Endpoint } from '../../gateway/upstream/endpoint.ts'
import { random } from '../conformance/wire/fuzz.ts'

const endpoints = (...inFlight: number[]): Endpoint[] => inFlight.map((count) => ({ inFlight: count }) as Endpoint)

function counts(choose: () => Endpoint, all: readonly Endpoint[], times: number): number[] {
  const found = all.map(() => 0)
  for (let i = 0; i < times; i++) found[all.indexOf(choose())]!++
  return found
}

describe('balancer', () => {
  it('one endpoint needs no choice', () => {
    const all = endpoints(0)
    const never = (): number => {
      throw new Error('no choice is needed')
    }
    for (const policy of ['round_robin', 'random', 'least_request'] as const) expect(balancer(policy, all, never)()).toBe(all[0])
  })

  it('round_robin goes round', () => {
    const all = endpoints(0, 0, 0)
    const choose = balancer('round_robin', all, Math.random)
    expect([choose(), choose(), choose(), choose()].map((one) => all.indexOf(one))).toEqual([0, 1, 2, 0])
  })

  it('random is uniform: within four standard deviations of n·p', () => {
    const all = endpoints(0, 0, 0, 0)
    const sigma = Math.sqrt(40_000 * 0.25 * 0.75)
    for (const count of counts(balancer('random', all, random(1)), all, 40_000)) expect(Math.abs(count - 10_000)).toBeLessThan(4 * sigma)
  })

  it('random is never beyond the end', () => {
    const all = endpoints(0, 0, 0)
    expect(balancer('random', all, () => 0.999_999_999_999)()).toBe(all[2])
  })

  it('least_request: two different ones are compared, the less busy wins', () => {
    const all = endpoints(5, 1, 9)
    // Every pair is drawn with probability 1/3: (5,1) → 1, (5,9) → 5, (1,9) → 1; the busiest never.
    const [five, one, nine] = counts(balancer('least_request', all, random(2)), all, 30_000)
    expect(nine).toBe(0)
    const sigma = Math.sqrt(30_000 * (1 / 3) * (2 / 3))
    expect(Math.abs(five! - 10_000)).toBeLessThan(4 * sigma)
    expect(Math.abs(one! - 20_000)).toBeLessThan(4 * sigma)
  })

  it('least_request is uniform among equals', () => {
    const all = endpoints(3, 3, 3)
    const sigma = Math.sqrt(30_000 * (1 / 3) * (2 / 3))
    for (const count of counts(balancer('least_request', all, random(3)), all, 30_000)) expect(Math.abs(count - 10_000)).toBeLessThan(4 * sigma)
  })
})
