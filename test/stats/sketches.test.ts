import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrequentItems } from '../../gateway/stats/frequent.ts'
import { HyperLogLog } from '../../gateway/stats/hyperloglog.ts'
import { Moments } from '../../gateway/stats/moments.ts'
import { Reservoir } from '../../gateway/stats/reservoir.ts'
import { random } from './random.ts'

function momentsOf(values: readonly number[]): Moments {
  const moments = new Moments()
  for (const value of values) moments.add(value)
  return moments
}

const near = (value: number, expected: number, slack: number) => expect(Math.abs(value - expected)).toBeLessThanOrEqual(slack)

describe('moments', () => {
  test('by hand', () => {
    const moments = momentsOf([2, 4, 4, 4, 5, 5, 7, 9])
    expect([moments.count, moments.mean, moments.variance, moments.sd, moments.min, moments.max]).toEqual([8, 5, 4, 2, 2, 9])
    const empty = new Moments()
    expect([empty.count, empty.mean, empty.sd, empty.min, empty.max]).toEqual([0, NaN, NaN, NaN, NaN])
    expect(momentsOf([-3]).max).toBe(-3)
  })

  test('a far offset does not swallow the variance', () => {
    near(momentsOf([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]).variance, 22.5, 1e-6)
  })

  test('merged in either order is counted in one, to 1e-12', () => {
    const values = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { maxLength: 100 })
    fc.assert(
      fc.property(values, values, (a, b) => {
        const one = momentsOf([...a, ...b])
        for (const [x, y] of [[a, b], [b, a]] as const) {
          const merged = momentsOf(x)
          merged.merge(momentsOf(y))
          expect([merged.count, merged.min, merged.max]).toEqual([one.count, one.min, one.max])
          if (one.count === 0) return
          near(merged.mean, one.mean, 1e-9)
          near(merged.variance, one.variance, 1e-12 * (1 + one.variance) * 1e3)
        }
      }),
    )
  })
})

describe('HyperLogLog', () => {
  function estimateOf(count: number, seed: number, text: boolean): number {
    const sketch = new HyperLogLog()
    for (let i = 0; i < count; i++) {
      if (text) sketch.addText(`user-${seed}-${i}`)
      else sketch.addNumber(seed * 1e7 + i)
    }
    return sketch.estimate()
  }

  test.each([1, 10, 100, 1000, 5000, 12_000, 100_000])('%i values: within three standard errors, and unbiased over seeds', (count) => {
    const seeds = count > 50_000 ? 4 : 12
    for (const text of [true, false]) {
      const errors = Array.from({ length: seeds }, (_, seed) => estimateOf(count, seed, text) / count - 1)
      // One collision of registers is a whole value.
      for (const error of errors) near(error, 0, 3 * 0.0163 + (count < 1000 ? 1 / count : 0))
      near(errors.reduce((a, b) => a + b, 0) / seeds, 0, (4 * 0.0163) / Math.sqrt(seeds))
    }
  })

  test('merged is counted in one, in either order, bit by bit', () => {
    const texts = fc.array(fc.string(), { maxLength: 200 })
    const of = (values: readonly string[]) => {
      const sketch = new HyperLogLog()
      for (const value of values) sketch.addText(value)
      return sketch
    }
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        const [ab, ba] = [of(a), of(b)]
        ab.merge(of(b))
        ba.merge(of(a))
        expect(ab.registers).toEqual(of([...a, ...b]).registers)
        expect(ba.registers).toEqual(ab.registers)
      }),
    )
  })

  test('nothing, and values that are the same', () => {
    const sketch = new HyperLogLog()
    expect(sketch.estimate()).toBe(0)
    for (const value of [0, -0, 0]) sketch.addNumber(value)
    for (let i = 0; i < 1000; i++) sketch.addNumber(0)
    expect(Math.round(sketch.estimate())).toBe(1)
  })
})

describe('frequent items', () => {
  const stream = fc.array(fc.nat(60).map((n) => `v${Math.floor(n ** 2 / 60)}`), { maxLength: 400 })

  function counted(values: readonly string[], k: number): FrequentItems {
    const items = new FrequentItems(k)
    for (const value of values) items.add(value)
    return items
  }

  function check(items: FrequentItems, values: readonly string[], k: number): void {
    const exact = new Map<string, number>()
    for (const value of values) exact.set(value, (exact.get(value) ?? 0) + 1)
    expect(items.total).toBe(values.length)
    expect(items.error).toBeLessThanOrEqual(values.length / (k + 1))
    expect(items.items().length).toBeLessThanOrEqual(2 * k)
    for (const [value, count] of exact) {
      expect(items.count(value)).toBeLessThanOrEqual(count)
      expect(items.count(value)).toBeGreaterThanOrEqual(count - items.error)
    }
  }

  test('never too much, too little by at most N / (k + 1), merged too', () => {
    fc.assert(
      fc.property(stream, stream, fc.integer({ min: 1, max: 12 }), (a, b, k) => {
        const items = counted(a, k)
        check(items, a, k)
        items.merge(counted(b, k))
        check(items, [...a, ...b], k)
      }),
    )
  })

  test('exact while the values fit, the most frequent first', () => {
    const items = counted(['b', 'a', 'c', 'a', 'b', 'a'], 2)
    expect(items.items()).toEqual([['a', 3], ['b', 2], ['c', 1]])
    expect(items.error).toBe(0)
    items.add('d', 5)
    expect(items.items()[0]).toEqual(['d', 5])
  })

  test('by hand: five values in room for four leave those above the third', () => {
    const items = counted(['a', 'a', 'a', 'b', 'b', 'c', 'd', 'e'], 2)
    expect(items.items()).toEqual([['a', 2], ['b', 1]])
    expect(items.error).toBe(1)
  })
})

describe('a reservoir', () => {
  test('everything while it fits; the same for the same seed', () => {
    const of = (seed: number, n: number) => {
      const reservoir = new Reservoir<number>(5, seed)
      for (let i = 0; i < n; i++) reservoir.add(i)
      return reservoir.items
    }
    expect(of(1, 4)).toEqual([0, 1, 2, 3])
    expect(of(7, 1000)).toEqual(of(7, 1000))
    expect(of(7, 1000)).not.toEqual(of(8, 1000))
  })

  test('each value with the same probability, early and late', () => {
    const [size, n, runs] = [10, 100, 4000]
    const kept = new Uint32Array(n)
    const { uniform } = random(5)
    for (let run = 0; run < runs; run++) {
      const reservoir = new Reservoir<number>(size, uniform() * 2 ** 32)
      for (let i = 0; i < n; i++) reservoir.add(i)
      expect(reservoir.items).toHaveLength(size)
      for (const item of reservoir.items) kept[item]!++
    }
    // Binomial, 4000 · 0.1 = 400 ± 19; five of them, over 100 values.
    for (const count of kept) near(count, 400, 95)
    near(kept.subarray(0, 10).reduce((a, b) => a + b, 0), 4000, 300)
    near(kept.subarray(90).reduce((a, b) => a + b, 0), 4000, 300)
  })
})
