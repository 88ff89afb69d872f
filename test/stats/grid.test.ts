import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cellOf, Grid, GRID_CELLS, lowerEdge, MIDDLE, upperEdge } from '../../gateway/stats/grid.ts'

const UNIT = { centre: 0, scale: 1 }
const cells = Array.from({ length: GRID_CELLS }, (_, cell) => cell)

function gridOf(values: Iterable<number>, affine = UNIT): Grid {
  const grid = new Grid(affine)
  for (const value of values) grid.add(value)
  return grid
}

describe('cells', () => {
  test('every cell begins at its lower edge and ends before its upper edge', () => {
    for (const cell of cells) {
      expect(cellOf(lowerEdge(cell))).toBe(cell)
      expect(lowerEdge(cell)).toBeLessThan(upperEdge(cell))
      if (cell < GRID_CELLS - 1) expect(cellOf(upperEdge(cell))).toBe(cell + 1)
    }
  })

  test('just below an edge is the cell before', () => {
    for (const cell of cells.slice(1)) {
      const edge = lowerEdge(cell)
      expect(cellOf(edge - (Math.abs(edge) + 1) * 2 ** -49)).toBe(cell - 1)
      expect(cellOf(edge + (Math.abs(edge) + 1) * 2 ** -49)).toBe(cell)
    }
  })

  test('edges by hand', () => {
    expect([lowerEdge(MIDDLE), upperEdge(MIDDLE)]).toEqual([-1 / 128, 1 / 128])
    expect(upperEdge(MIDDLE + 1)).toBe(3 / 128)
    // The last of the fine cells, the first of 1/32, the first and last of sixteen an octave.
    expect(upperEdge(MIDDLE + 63)).toBe(1 - 1 / 128)
    expect(upperEdge(MIDDLE + 64) - lowerEdge(MIDDLE + 64)).toBe(1 / 32)
    expect(lowerEdge(MIDDLE + 128)).toBe(3 - 1 / 128)
    expect(upperEdge(MIDDLE + 128) - lowerEdge(MIDDLE + 128)).toBe(1 / 4)
    expect(upperEdge(GRID_CELLS - 2)).toBe(4095 - 1 / 128)
    expect([lowerEdge(0), upperEdge(GRID_CELLS - 1)]).toEqual([-Infinity, Infinity])
    for (const cell of cells) expect(lowerEdge(cell)).toBe(-upperEdge(GRID_CELLS - 1 - cell))
  })

  test('values that are no ordinary numbers', () => {
    expect([cellOf(0), cellOf(-0), cellOf(5e-324), cellOf(-5e-324)]).toEqual([MIDDLE, MIDDLE, MIDDLE, MIDDLE])
    expect([cellOf(-Infinity), cellOf(-1e300), cellOf(-4096)]).toEqual([0, 0, 0])
    expect([cellOf(4096), cellOf(1e300), cellOf(Infinity)]).toEqual([GRID_CELLS - 1, GRID_CELLS - 1, GRID_CELLS - 1])
    expect(cellOf(NaN)).toBe(-1)
  })

  test('monotone, and within the edges', () => {
    const z = fc.oneof(fc.double(), fc.double({ min: -8, max: 8 }), fc.double({ min: -5000, max: 5000 }))
    fc.assert(
      fc.property(z, z, (a, b) => {
        if (Number.isNaN(a) || Number.isNaN(b)) return
        if (a <= b) expect(cellOf(a)).toBeLessThanOrEqual(cellOf(b))
        const slack = (Math.abs(a) + 1) * 2 ** -49
        if (Number.isFinite(a)) expect(lowerEdge(cellOf(a)) - slack <= a && a < upperEdge(cellOf(a)) + slack).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('a float32 lies where its float64 does, for values on steps of 1/64 of the scale', () => {
    const affine = { centre: 0.7, scale: 0.1 }
    for (let i = -40; i <= 40; i++) {
      const x = 0.7 + i * 0.1
      expect(cellOf((Math.fround(x) - affine.centre) / affine.scale)).toBe(cellOf((x - affine.centre) / affine.scale))
    }
  })
})

describe('a grid', () => {
  const values = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 300 })

  test('merging in any order is counting in one', () => {
    fc.assert(
      fc.property(values, values, (a, b) => {
        const [ab, ba] = [gridOf(a), gridOf(b)]
        ab.merge(gridOf(b))
        ba.merge(gridOf(a))
        expect(ab.cells).toEqual(gridOf([...a, ...b]).cells)
        expect(ba.cells).toEqual(ab.cells)
        expect(ab.total).toBe(a.length + b.length)
      }),
    )
  })

  test('grids of different scales are not merged', () => {
    expect(() => gridOf([1]).merge(new Grid({ centre: 0, scale: 2 }))).toThrow(RangeError)
  })

  test('a NaN is told and not counted', () => {
    const grid = new Grid(UNIT)
    expect([grid.add(NaN), grid.add(0)]).toEqual([-1, MIDDLE])
    expect(grid.total).toBe(1)
    expect([grid.quantile(0.5) <= 1 / 128, new Grid(UNIT).quantile(0.5), new Grid(UNIT).cdf(0)]).toEqual([true, NaN, NaN])
  })

  test('quantiles lie in the cell of the value of that rank, and within the stated bounds', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (sample, p) => {
        const grid = gridOf(sample, { centre: 3, scale: 7 })
        const exact = sample.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(p * sample.length) - 1)]!
        const [low, high] = grid.quantileBounds(p)
        expect(low - 1e-9 <= exact && exact < high + 1e-9).toBe(true)
        expect(grid.quantile(p)).toBeGreaterThanOrEqual(low)
        expect(grid.quantile(p)).toBeLessThanOrEqual(high)
      }),
    )
  })

  test('the share below a value is off by less than the share of its cell', () => {
    fc.assert(
      fc.property(values, fc.double({ min: -120, max: 120, noNaN: true }), (sample, x) => {
        const grid = gridOf(sample)
        const exact = sample.filter((value) => value < x).length / sample.length
        expect(Math.abs(grid.cdf(x) - exact)).toBeLessThanOrEqual(grid.cells[cellOf(x)]! / sample.length + 1e-12)
      }),
    )
  })

  test('an offset does not hide a shift: 1.7e9 ± 1000 moved by 200 (raw logarithmic cells see nothing)', () => {
    const affine = { centre: 1.7e9, scale: 1349 }
    const steps = Array.from({ length: 20_000 }, (_, i) => 1.7e9 + (i - 10_000) / 5)
    const [a, b] = [gridOf(steps, affine), gridOf(steps.map((x) => x + 200), affine)]
    // Uniform over 4000: a shift of 200 moves the distribution function by 0.05.
    expect(a.cdf(1.7e9) - b.cdf(1.7e9)).toBeCloseTo(0.05, 3)
  })

  test('counts in memory that is shared', () => {
    const memory = new SharedArrayBuffer(GRID_CELLS * 4)
    new Grid(UNIT, new Uint32Array(memory)).add(1)
    expect(new Grid(UNIT, new Uint32Array(memory)).total).toBe(1)
  })
})
