import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cellOf, GRID_CELLS, lowerEdge } from '../../gateway/stats/grid.ts'
import { kolmogorov, kolmogorovSf, ks, ksP } from '../../gateway/stats/ks.ts'
import { binomialAtLeast } from '../../gateway/stats/tails.ts'
import { wasserstein } from '../../gateway/stats/wasserstein.ts'
import { random } from './random.ts'
import { ksexact, kstwo, kstwobign, w1 } from './scipy.ts'

// Evidently's tests/stattests: a against b.
const A = [38.7, 41.5, 43.8, 44.5, 45.5, 46.0, 47.7, 58.0]
const B = [39.2, 39.3, 39.7, 41.4, 41.8, 42.9, 43.3, 45.8]
const EDGES = [...Array.from({ length: GRID_CELLS }, (_, i) => lowerEdge(i)), Infinity]

function cellsOf(values: readonly number[]): Uint32Array {
  const cells = new Uint32Array(GRID_CELLS)
  for (const value of values) cells[cellOf(value)]!++
  return cells
}

/** Largest difference of the distribution functions of the values. */
function exactD(a: readonly number[], b: readonly number[]): number {
  const below = (values: readonly number[], x: number) => values.filter((value) => value <= x).length / values.length
  return Math.max(...[...a, ...b].map((x) => Math.abs(below(a, x) - below(b, x))))
}

const relative = (value: number, expected: number) => Math.abs(value / expected - 1)

describe('Kolmogorov–Smirnov', () => {
  test('the pair of Evidently: D, exact p, and the limit', () => {
    // Each value in a cell of its own.
    const sorted = [...A, ...B].toSorted((x, y) => x - y)
    const at = (values: readonly number[]) => sorted.map((x) => values.filter((value) => value === x).length)
    expect(ks(at(A), at(B)).distance).toBe(0.625)
    expect(ksP(0.625, 8, 8)).toBeCloseTo(0.087024087, 9)
  })

  test.each(ksexact)('exact for small samples, as scipy: n = %d, m = %d, D = %d', (n, m, d, p) => expect(relative(ksP(d!, n!, m!), p!)).toBeLessThan(1e-9))
  test.each(kstwobign)('the limit as scipy: %d', (x, p) => expect(relative(kolmogorov(x!), p!)).toBeLessThan(1e-12))

  test.each(kstwo)("near scipy's kstwo, and in the far tail never below: D = %d, n = %d", (d, n, p) => {
    const ours = kolmogorovSf(d!, n!)
    if (n! >= 100 && p! >= 1e-6) expect(relative(ours, p!)).toBeLessThan(0.01)
    else if (n! >= 20 && p! >= 1e-3) expect(relative(ours, p!)).toBeLessThan(0.03)
    else expect(ours).toBeGreaterThan(0.99 * p!)
  })

  test('two samples of the reference: kstwo at the effective n', () => {
    expect(relative(ksP(0.05, 1000, 1000), 0.1586626)).toBeLessThan(0.002)
    expect(relative(ksP(0.02, 10_000, 5000), 0.1371104688)).toBeLessThan(0.002)
    expect(relative(kolmogorovSf(0.2, 50), 0.0314387778)).toBeLessThan(0.005)
  })

  test('on cells: D ≤ D of the values ≤ D + the heaviest cell', () => {
    const values = fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(values, values, (a, b) => {
        const { distance, slack } = ks(cellsOf(a), cellsOf(b))
        const exact = exactD(a, b)
        expect(distance).toBeLessThanOrEqual(exact + 1e-12)
        expect(exact).toBeLessThanOrEqual(distance + slack + 1e-12)
      }),
    )
  })

  test('without drift no more alarms than promised, on cells', () => {
    const { normal } = random(11)
    const runs = 400
    let alarms = 0
    for (let i = 0; i < runs; i++) {
      const [a, b] = [0, 1].map(() => cellsOf(Array.from({ length: 400 }, () => normal() / 1.349)))
      if (ksP(ks(a!, b!).distance, 400, 400) < 0.05) alarms++
    }
    expect(binomialAtLeast(alarms, runs, 0.05)).toBeGreaterThan(1e-3)
    expect(alarms).toBeGreaterThan(0)
  })

  test('nothing to compare, and no difference', () => {
    expect(ks([0], [1])).toEqual({ distance: NaN, cell: -1, slack: NaN })
    expect([ksP(0, 5, 5), ksP(NaN, 0, 0), ksP(1, 3, 3), kolmogorovSf(1, 1e6)]).toEqual([1, 1, expect.closeTo(0.1, 12), 0])
  })
})

describe('Wasserstein', () => {
  test('of values, as scipy', () => {
    const ascending = (values: readonly number[]) => values.toSorted((x, y) => x - y)
    expect(wassersteinSorted(ascending(w1.a), ascending(w1.b))).toBeCloseTo(w1.distance, 12)
    expect(wassersteinSorted(A, B)).toBeCloseTo(4.1625, 12)
    const mean = A.reduce((x, y) => x + y, 0) / 8
    const sd = Math.sqrt(A.reduce((x, y) => x + (y - mean) ** 2, 0) / 8)
    expect(wassersteinSorted(A, B) / sd).toBeCloseTo(0.7812361058, 9)
    expect([wassersteinSorted([], [1]), wasserstein([0], [1], [0, 1])]).toEqual([NaN, NaN])
  })

  test('on cells by hand: half the mass one cell further; all of it within two', () => {
    expect(wasserstein([2, 0], [1, 1], [0, 1, 2])).toBeCloseTo(0.5, 12)
    // The difference goes 0, 1, 0: two triangles.
    expect(wasserstein([1, 0], [0, 1], [0, 1, 2])).toBe(1)
    // 0, ½, −½, 0: triangles ¼, twice ⅛, ¼.
    expect(wasserstein([1, 0, 1], [0, 2, 0], [0, 1, 2, 3])).toBeCloseTo(0.75, 12)
    expect(wasserstein([1, 0, 0], [0, 0, 1], [-Infinity, 0, 5, Infinity])).toBe(5)
  })

  test('on cells within the width of the cells', () => {
    const values = fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(values, values, (a, b) => {
        const width = (all: readonly number[]) => all.reduce((sum, value) => sum + EDGES[cellOf(value) + 1]! - EDGES[cellOf(value)]!, 0) / all.length
        const exact = wassersteinSorted(a.toSorted((x, y) => x - y), b.toSorted((x, y) => x - y))
        expect(Math.abs(wasserstein(cellsOf(a), cellsOf(b), EDGES) - exact)).toBeLessThanOrEqual(width(a) + width(b))
      }),
    )
  })
})

/** The distance of the values themselves: the definition, which scipy confirms below. @param a, b ascending */
function wassersteinSorted(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [n, m] = [a.length, b.length]
  let [i, j, area] = [0, 0, 0]
  let at = Math.min(a[0]!, b[0]!)
  while (i < n || j < m) {
    const next = Math.min(i < n ? a[i]! : Infinity, j < m ? b[j]! : Infinity)
    area += Math.abs(i / n - j / m) * (next - at)
    at = next
    while (i < n && a[i] === at) i++
    while (j < m && b[j] === at) j++
  }
  return n > 0 && m > 0 ? area : NaN
}
