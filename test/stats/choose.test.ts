import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { choose, draw, type Weighted } from '../../gateway/stats/choose.ts'
import { hash53, uniform } from '../../gateway/stats/hash.ts'

describe('hash53', () => {
  // NIST, "Secure Hash Standard" examples (FIPS 180-4): the first 56 bits of the digests.
  test.each([
    ['', 'e3b0c44298fc1c'],
    ['abc', 'ba7816bf8f01cf'],
    ['abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq', '248d6a61d20638'],
  ])('%j: the first 53 bits of the published digest', (text, digest) => {
    expect(hash53(text)).toBe(Number(BigInt(`0x${digest}`) >> 3n))
  })

  test('text is hashed as UTF-8', () => {
    // printf 'é' | sha256sum
    expect(hash53('é')).toBe(Number(BigInt('0x4a99557e4033c3') >> 3n))
  })

  test('uniform stays inside (0, 1) at both ends', () => {
    expect(uniform('abc')).toBeCloseTo(0xba7816bf / 2 ** 32, 9)
    expect((2 ** 53 - 1 + 0.5) / 2 ** 53).toBe(1)
    for (let i = 0; i < 1000; i++) {
      const u = uniform(`u${i}`)
      expect(u > 0 && u < 1).toBe(true)
    }
  })
})

/** Pearson's statistic; 99.9 % quantiles of chi-square: 1 degree 10.83, 2 degrees 13.82, 3 degrees 16.27. */
function chiSquare(counts: readonly number[], weights: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  return counts.reduce((sum, count, i) => sum + (count - (total * weights[i]!) / all) ** 2 / ((total * weights[i]!) / all), 0)
}

const QUANTILE = [0, 10.83, 13.82, 16.27]

function arms(weights: readonly number[]): Weighted[] {
  return weights.map((weight, i) => ({ name: `arm${i}`, weight }))
}

describe('choose', () => {
  test.each([[[95, 5]], [[1, 1]], [[50, 30, 20]], [[1, 2, 3, 4]], [[0.5, 99.5]]])('shares of %j are what the weights say', (weights) => {
    const counts = weights.map(() => 0)
    for (let i = 0; i < 20_000; i++) counts[choose(arms(weights), 'fixed seed', `user ${i}`)]!++
    expect(chiSquare(counts, weights)).toBeLessThan(QUANTILE[weights.length - 1]!)
  })

  // By the formula of plugins/README.md in Python: min(arms, key=lambda a: -math.log(u(f"{salt}\0{a}\0{unit}")) / arms[a]).
  test.each([
    ['ada', 'v1', 'v2', 'b'],
    ['grace', 'v1', 'v2', 'b'],
    ['user 1', 'v1', 'v1', 'c'],
    ['user 3', 'v1', 'v2', 'a'],
    ['é', 'v2', 'v2', 'c'],
    ['', 'v1', 'v1', 'a'],
    ['user 9', 'v1', 'v2', 'c'],
  ])('%j is where another implementation puts it', (unit, canary, halves, three) => {
    const pick = (salt: string, weights: Readonly<Record<string, number>>): string => {
      const list = Object.entries(weights).map(([name, weight]) => ({ name, weight }))
      return list[choose(list, salt, unit)]!.name
    }
    expect([pick('fraud', { v1: 95, v2: 5 }), pick('fraud', { v1: 50, v2: 50 }), pick('spring', { a: 1, b: 2, c: 3 })]).toEqual([canary, halves, three])
    if (unit === 'ada') expect(uniform('fraud\0v1\0ada')).toBeCloseTo(0.1685901413054865, 15)
  })

  test('two salts deal independently', () => {
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 20_000; i++) counts[2 * choose(arms([1, 1]), 'a', `user ${i}`) + choose(arms([1, 1]), 'b', `user ${i}`)]!++
    expect(chiSquare(counts, [1, 1, 1, 1])).toBeLessThan(QUANTILE[3]!)
  })

  const weight = fc.integer({ min: 1, max: 1000 })
  const weightsOf = fc.array(weight, { minLength: 2, maxLength: 6 })
  const units = Array.from({ length: 200 }, (_, i) => `unit ${i}`)

  test('raising one weight only adds units to that arm: nobody leaves it, nobody else moves', () => {
    fc.assert(
      fc.property(weightsOf, fc.nat(), weight, (weights, at, more) => {
        const grown = at % weights.length
        const after = weights.map((old, i) => (i === grown ? old + more : old))
        for (const unit of units) {
          const old = choose(arms(weights), 's', unit)
          const now = choose(arms(after), 's', unit)
          expect(now === old || now === grown).toBe(true)
        }
      }),
      { seed: 1 },
    )
  })

  test('whatever changes, a unit only leaves for an arm whose weight grew relative to its own', () => {
    fc.assert(
      fc.property(weightsOf, fc.array(weight, { minLength: 6, maxLength: 6 }), (weights, others) => {
        const after = weights.map((_, i) => others[i]!)
        for (const unit of units) {
          const old = choose(arms(weights), 's', unit)
          const now = choose(arms(after), 's', unit)
          if (now !== old) expect(after[now]! * weights[old]!).toBeGreaterThan(weights[now]! * after[old]!)
        }
      }),
      { seed: 2 },
    )
  })

  test('a rollout of two arms in percent only adds users', () => {
    let inside = new Set<string>()
    for (const percent of [1, 5, 25, 50, 99]) {
      const now = new Set(units.filter((unit) => choose(arms([100 - percent, percent]), 'rollout', unit) === 1))
      for (const unit of inside) expect(now.has(unit)).toBe(true)
      expect(now.size).toBeGreaterThanOrEqual(inside.size)
      inside = now
    }
    expect(inside.size).toBeGreaterThan(180)
  })

  test('taking an arm away moves only its own; the order of arms means nothing', () => {
    for (const unit of units) {
      const three = arms([5, 3, 2])
      const old = three[choose(three, 's', unit)]!.name
      const reversed = three.toReversed()
      expect(reversed[choose(reversed, 's', unit)]!.name).toBe(old)
      if (old !== 'arm2') expect(arms([5, 3])[choose(arms([5, 3]), 's', unit)]!.name).toBe(old)
    }
  })
})

describe('draw', () => {
  test('stretches of the line follow the weights; the ends belong to the first and the last', () => {
    const three = arms([1, 2, 1])
    expect([0, 0.2499, 0.25, 0.7499, 0.75, 0.9999].map((u) => draw(three, u))).toEqual([0, 0, 1, 1, 2, 2])
  })
})
