/**
 * Expected values: scikit-learn 1.9.1, scipy and numpy on y and p = sin²((b + ½)π/512), b = 20 … 219, one score a cell, so that cells and
 * scores are the same thing:
 *   roc_auc_score(y, p), average_precision_score(y, p), ks_2samp(p[y==1], p[y==0]).statistic,
 *   DeLong: psi = (pos[:,None] > neg) + .5 * (pos[:,None] == neg); sqrt(psi.mean(1).var(ddof=1)/m + psi.mean(0).var(ddof=1)/n),
 *   ECE: sum(abs(p[i:i+20].mean() - y[i:i+20].mean()) * 20/200 for i in range(0, 200, 20)),
 *   LogisticRegression(C=inf).fit(logit(p), y).coef_ and the root of the inverse of X'WX,
 *   IsotonicRegression().fit_transform(x, rate, sample_weight).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { calibrationError, calibrationSlope, isotonic } from '../../gateway/stats/calibration.ts'
import { auc, averagePrecision, cellMiddle, hanleyMcNeil, SCORE_CELLS, scoreCell, separation } from '../../gateway/stats/scores.ts'
import { OUTCOMES } from './outcomes.ts'

function reference() {
  const [pos, neg, total, sums] = Array.from({ length: 4 }, () => new Float64Array(SCORE_CELLS))
  for (const [i, y] of [...OUTCOMES].entries()) {
    const cell = i + 20
    ;(y === '1' ? pos! : neg!)[cell] = 1
    total![cell] = 1
    sums![cell] = cellMiddle(cell)
  }
  return { pos: pos!, neg: neg!, total: total!, sums: sums! }
}

test('cells ascend, hold their middles, and ½ begins one', () => {
  for (let cell = 0; cell < SCORE_CELLS; cell++) expect(scoreCell(cellMiddle(cell))).toBe(cell)
  expect([scoreCell(0), scoreCell(1), scoreCell(0.5), scoreCell(0.5 - 1e-9)]).toEqual([0, 255, 128, 127])
})

describe('against scikit-learn', () => {
  const { pos, neg, total, sums } = reference()

  test('AUC and its standard error', () => {
    const found = auc(pos, neg)
    expect(found.value).toBeCloseTo(0.793979397939794, 12)
    expect(found.se).toBeCloseTo(0.03144751415751036, 12)
    expect(found.high).toBeCloseTo(0.793979397939794 + 1.959963984540054 * 0.03144751415751036, 10)
    expect(found.bound).toBe(0)
  })

  test('average precision and Kolmogorov-Smirnov', () => {
    const ap = averagePrecision(pos, neg)
    expect(ap.value).toBeCloseTo(0.7805550255359615, 12)
    expect(ap.low).toBeLessThan(ap.value)
    expect(ap.high).toBeLessThan(1)
    expect(separation(pos, neg).value).toBeCloseTo(0.47874787478747877, 12)
  })

  test('ties: y 0 0 1 1 0 1 1 0 at .1 .4 .4 .8 .8 .9 .4 .1', () => {
    expect(auc([0, 2, 1, 1], [2, 1, 1, 0]).value).toBe(0.78125)
    expect(averagePrecision([0, 2, 1, 1], [2, 1, 1, 0]).value).toBe(0.75)
  })

  test('calibration error over ten groups of equal mass', () => {
    const found = calibrationError(pos, total, sums)
    expect(found.value).toBeCloseTo(0.08333613365598545, 12)
    // 200 calibrated scores differ by about √(2/π) √(p(1−p)/20) ≤ 0.0892.
    expect(found.floor).toBeGreaterThan(0.05)
    expect(found.floor).toBeLessThan(0.0892)
  })

  test('calibration slope and its standard error', () => {
    const found = calibrationSlope(pos, total, sums)
    expect(found.value).toBeCloseTo(0.7301882765011521, 6)
    expect(found.se).toBeCloseTo(0.1144659792884581, 6)
  })

  test('isotonic map', () => {
    const map = isotonic([2, 1, 3, 1, 3, 3, 0], [4, 4, 4, 2, 5, 3, 0], () => -1)
    expect([...map]).toEqual([0.375, 0.375, 7 / 11, 7 / 11, 7 / 11, 1, -1])
  })
})

test('what cannot be told is NaN', () => {
  const none = new Float64Array(4)
  expect(auc([1, 2, 0, 0], none).value).toBeNaN()
  expect(averagePrecision(none, [1, 0, 0, 0]).value).toBeNaN()
  expect(calibrationError(none, none, none).value).toBeNaN()
  expect(calibrationSlope([0, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0]).value).toBeNaN()
  // Classes that scores separate have no finite slope.
  expect(calibrationSlope([0, 0, 5, 5], [5, 5, 5, 5], [0.5, 1, 4, 4.5]).value).toBeNaN()
  expect(auc([0, 1], [1, 0]).se).toBeNaN()
})

/** By hand: Q₁ = .75/1.25 = .6, Q₂ = 1.125/1.75 = .642857; (.1875 + .0375 + .080357) / 4. */
test('Hanley-McNeil', () => {
  expect(hanleyMcNeil(0.75, 2, 2)).toBeCloseTo(Math.sqrt((0.1875 + 0.0375 + 0.5625 / 7) / 4), 12)
})

const labelled = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean()), { minLength: 2, maxLength: 200 })

function histograms(cases: readonly (readonly [number, boolean])[]) {
  const [pos, neg] = [new Float64Array(SCORE_CELLS), new Float64Array(SCORE_CELLS)]
  for (const [p, y] of cases) (y ? pos : neg)[scoreCell(p)]!++
  return { pos, neg }
}

test('the bound of AUC holds against all pairs', () => {
  fc.assert(
    fc.property(labelled, (cases) => {
      const positives = cases.filter(([, y]) => y)
      const negatives = cases.filter(([, y]) => !y)
      fc.pre(positives.length > 0 && negatives.length > 0)
      let wins = 0
      for (const [a] of positives) for (const [b] of negatives) wins += a > b ? 1 : a === b ? 0.5 : 0
      const { pos, neg } = histograms(cases)
      const found = auc(pos, neg)
      expect(Math.abs(found.value - wins / (positives.length * negatives.length))).toBeLessThanOrEqual(found.bound + 1e-12)
    }),
  )
})

test('an interval of AUC holds its value in about 95 % of samples', () => {
  // Scores of positives are √u, of negatives u: P(√u > v) = 2/3. mulberry32.
  let seed = 12345
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  let inside = 0
  for (let run = 0; run < 1000; run++) {
    const cases = Array.from({ length: 200 }, (_, i): [number, boolean] => (i % 4 === 0 ? [Math.sqrt(next()), true] : [next(), false]))
    const { pos, neg } = histograms(cases)
    const { low, high } = auc(pos, neg)
    if (low <= 2 / 3 && 2 / 3 <= high) inside++
  }
  // Binomial(1000, 0.95): ± 4.5 standard deviations, and the little that a normal interval lacks.
  expect(inside).toBeGreaterThan(915)
  expect(inside).toBeLessThan(981)
})
