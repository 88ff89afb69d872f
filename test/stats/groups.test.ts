import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { affineOf } from '../../gateway/stats/affine.ts'
import { jsBias, jsBits, jsFloor, occupied } from '../../gateway/stats/divergence.ts'
import { cellOf, Grid, GRID_CELLS } from '../../gateway/stats/grid.ts'
import { coarsen, countGroups } from '../../gateway/stats/groups.ts'
import { random } from './random.ts'

function gridOf(values: readonly number[]): Grid {
  const grid = new Grid(affineOf(values.toSorted((a, b) => a - b)))
  for (const value of values) grid.add(value)
  return grid
}

describe('groups', () => {
  test('deciles of even values, and what lies outside', () => {
    const { cells } = gridOf(Array.from({ length: 10_000 }, (_, i) => i / 10_000))
    const groups = coarsen(cells, 10)
    expect(groups.count).toBe(12)
    const counts = countGroups(groups, cells)
    expect([counts[0], counts[11]]).toEqual([0, 0])
    // Cells are 1/64 of half the values: 78 rows; a cut is off by half a cell at most.
    for (const count of counts.subarray(1, 11)) expect(Math.abs(count - 1000)).toBeLessThanOrEqual(79)
  })

  test('a cut is made where it is nearer to the share', () => {
    const cells = new Uint32Array(GRID_CELLS)
    cells.set([24, 20, 16, 20, 20], 300)
    // Goals 25, 50, 75 of 24, 44, 60, 80, 100.
    expect(Array.from(countGroups(coarsen(cells, 4), cells))).toEqual([0, 24, 20, 36, 20, 0])
  })

  test('a value that many rows have is a group of its own', () => {
    const values = [...Array.from({ length: 600 }, () => 0), ...Array.from({ length: 400 }, (_, i) => 10 + i / 10)]
    const grid = gridOf(values)
    const groups = coarsen(grid.cells, 10)
    const atom = groups.of[cellOf((0 - grid.centre) / grid.scale)]!
    expect(countGroups(groups, grid.cells)[atom]).toBe(600)
    expect(groups.of.filter((group) => group === atom)).toHaveLength(1)
  })

  test('what lies between two values that are all there is was never seen', () => {
    const grid = gridOf([0, 0, 0, 1, 1])
    const groups = coarsen(grid.cells, 10)
    expect(Array.from(countGroups(groups, grid.cells))).toEqual([0, 3, 0, 2, 0])
    grid.add(0.5)
    expect(Array.from(countGroups(groups, grid.cells))).toEqual([0, 3, 1, 2, 0])
  })

  test('no data: one group; values beyond the cells: the ends', () => {
    expect(coarsen(new Uint32Array(GRID_CELLS), 10)).toMatchObject({ count: 1, edges: Float64Array.of(-Infinity, Infinity) })
    const ends = new Uint32Array(GRID_CELLS)
    ends[0] = 5
    ends[GRID_CELLS - 1] = 5
    const groups = coarsen(ends, 10)
    expect(Array.from(countGroups(groups, ends))).toEqual([5, 0, 5])
  })

  test('groups are runs of cells in order, cover everything, keep every count, and none within the reference is empty for want of a cut', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.double({ min: -50, max: 50, noNaN: true }), fc.constant(3)), { minLength: 1, maxLength: 400 }), fc.integer({ min: 1, max: 40 }), (values, k) => {
        const { cells } = gridOf(values)
        const groups = coarsen(cells, k)
        expect(groups.of[0]).toBe(0)
        expect(groups.of[GRID_CELLS - 1]).toBe(groups.count - 1)
        expect(groups.of.every((group, i) => i === 0 || group === groups.of[i - 1]! || group === groups.of[i - 1]! + 1)).toBe(true)
        expect(groups.edges.every((edge, i) => i === 0 || edge > groups.edges[i - 1]!)).toBe(true)
        expect(countGroups(groups, cells).reduce((a, b) => a + b, 0)).toBe(values.length)
        const empty = countGroups(groups, cells).filter((count) => count === 0).length
        // Below, above, and between atoms, of which there are at most k.
        expect(empty).toBeLessThanOrEqual(2 + Math.max(0, k - 1))
      }),
    )
  })
})

describe('centre and scale', () => {
  const of = (...values: number[]) => affineOf(values.toSorted((a, b) => a - b))

  test('median and interquartile range, of values of the data', () => {
    expect(affineOf(Array.from({ length: 101 }, (_, i) => i))).toEqual({ centre: 50, scale: 50 })
  })

  test('one outlier does not move them', () => {
    const values = Array.from({ length: 101 }, (_, i) => i)
    expect(affineOf([...values.slice(0, 100), 1e12])).toEqual(affineOf(values))
  })

  test('skewed: twice the narrower half', () => {
    // Quartiles 1, 2, 5.
    expect(of(0, 1, 2, 5, 9)).toEqual({ centre: 2, scale: 2 })
    // Not less than a quarter of the range.
    expect(of(1, 2, 2.01, 10, 11)).toEqual({ centre: 2.01, scale: (10 - 2) / 4 })
  })

  test('where half the values are equal the next wider span that is not zero', () => {
    const zeros = (count: number) => Array.from({ length: count }, () => 0)
    expect(affineOf([...zeros(80), ...Array.from({ length: 20 }, () => 19)])).toEqual({ centre: 0, scale: 10 })
    const { centre, scale } = affineOf([...zeros(999), 100])
    // sd = 100 · √(0.001 · 0.999) = 3.1607
    expect([centre, Math.round(scale * 1000)]).toEqual([0, Math.round(3.16069 * 1.3489795 * 1000)])
    expect([of(5, 5, 5), of(-5), of(0, 0), affineOf([])]).toEqual([{ centre: 5, scale: 5 }, { centre: -5, scale: 5 }, { centre: 0, scale: 1 }, { centre: 0, scale: 1 }])
  })

  test('never zero, never infinite', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 40 }), (values) => {
        const { centre, scale } = of(...values)
        expect(Number.isFinite(centre) && Number.isFinite(scale) && scale > 0).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})

test('beyond the outermost value by less than its distance is the outermost group; further is never seen', () => {
  const grid = gridOf(Array.from({ length: 1001 }, (_, i) => i))
  const groups = coarsen(grid.cells, 10)
  const groupOf = (x: number) => groups.of[cellOf((x - grid.centre) / grid.scale)]
  expect([groupOf(1000), groupOf(1450), groupOf(1600)]).toEqual([10, 10, 11])
  expect([groupOf(0), groupOf(-450), groupOf(-600)]).toEqual([1, 1, 0])
})

const uniforms = random(8)
test.each<[string, number, () => number]>([
  ['normal', 200, uniforms.normal],
  ['normal', 20_000, uniforms.normal],
  ['Pareto without a mean', 1000, () => 1 / (1 - uniforms.uniform())],
  ['Pareto without a mean', 20_000, () => 1 / (1 - uniforms.uniform())],
  ['mostly zero', 20_000, () => (uniforms.uniform() < 0.6 ? 0 : Math.exp(uniforms.normal()))],
])('groups that follow a reference of 5000 rows, %s, %i live rows without drift: the floor holds', (_, rows, draw) => {
  const runs = rows > 10_000 ? 40 : 100
  let alarms = 0
  let sum = 0
  for (let run = 0; run < runs; run++) {
    const reference = gridOf(Array.from({ length: 5000 }, draw))
    const live = new Grid(reference)
    for (let i = 0; i < rows; i++) live.add(draw())
    const groups = coarsen(reference.cells, 10)
    const [a, b] = [countGroups(groups, reference.cells), countGroups(groups, live.cells)]
    const score = jsBits(a, b)
    if (score > jsFloor(occupied(a, b), 5000, rows, 0.01)) alarms++
    sum += score / jsBias(occupied(a, b), 5000, rows)
  }
  // 1 % of 100: P(> 6) < 0.0001.
  expect(alarms).toBeLessThanOrEqual(6)
  // χ²₉ over its mean has a standard deviation of 0.47: four of its errors in 40 runs are 0.3.
  expect(Math.abs(sum / runs - 1)).toBeLessThan(0.3)
})
