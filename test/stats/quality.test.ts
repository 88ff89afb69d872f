/** Expected values: monitoring's oracle for CBPE, scikit-learn 1.9.1 for the rest, arithmetic by hand where it says so. */
import { describe, expect, test } from 'vitest'
import { estimatedAt, estimatedAuc } from '../../gateway/stats/cbpe.ts'
import { addError, ERROR_CELLS, ERROR_SUMS, errorCell, errorQuantile, errorsOf } from '../../gateway/stats/errors.ts'
import { mean, share } from '../../gateway/stats/estimate.ts'
import { ndcg } from '../../gateway/stats/ndcg.ts'

describe('without labels', () => {
  const [cases, p] = [[1, 1, 1, 1], [0.1, 0.4, 0.6, 0.9]]

  test('p = .1 .4 .6 .9 at ½', () => {
    const { accuracy, precision, recall, f1 } = estimatedAt(cases, p, 2)
    for (const one of [accuracy, precision, recall, f1]) expect(one.value).toBeCloseTo(0.75, 12)
    expect(estimatedAuc(cases, p).value).toBeCloseTo(0.825, 12)
  })

  /** By hand: Σ p(1−p) = .09 + .24 + .24 + .09 = .66 over 4 cases; .33 over the 2 predicted; recall: √((.25² + .75²) · .33) / 2. */
  test('the sampling error of outcomes with these probabilities', () => {
    const { accuracy, precision, recall, f1 } = estimatedAt(cases, p, 2)
    expect(accuracy.se).toBeCloseTo(Math.sqrt(0.66) / 4, 12)
    expect(precision.se).toBeCloseTo(Math.sqrt(0.33) / 2, 12)
    expect(recall.se).toBeCloseTo(Math.sqrt(0.0625 * 0.33 + 0.5625 * 0.33) / 2, 12)
    expect(f1.se).toBeCloseTo(Math.sqrt(1.25 ** 2 * 0.33 + 0.75 ** 2 * 0.33) / 4, 12)
  })

  test('nothing predicted, nothing at all', () => {
    expect(estimatedAt(cases, p, 4).precision.value).toBeNaN()
    expect(estimatedAt(cases, p, 4).recall.value).toBe(0)
    expect(estimatedAt([0, 0], [0, 0], 1).accuracy.value).toBeNaN()
    expect(estimatedAuc([1, 1], [1, 1]).value).toBeNaN()
  })
})

describe('rankings, against ndcg_score', () => {
  test('ties share their places', () => {
    expect(ndcg([0.1, 0.5, 0.5, 0.2, 0.9, 0.3], [0, 1, 2, 0, 1, 3])).toBeCloseTo(0.7681071935725143, 12)
    expect(ndcg([0.1, 0.5, 0.5, 0.2, 0.9, 0.3], [0, 1, 2, 0, 1, 3], 3)).toBeCloseTo(0.5662482537152813, 12)
  })
  test('the example of its documentation', () => {
    expect(ndcg([0.1, 0.2, 0.3, 4, 70], [10, 0, 0, 1, 5])).toBeCloseTo(0.6956940443813076, 12)
  })
  test('nothing relevant', () => {
    expect(ndcg([1, 2], [0, 0])).toBeNaN()
  })
})

describe('numbers', () => {
  function errors(pairs: readonly (readonly [y: number, predicted: number])[], centre = 0) {
    const sums = new Float64Array(ERROR_SUMS)
    for (const [y, predicted] of pairs) addError(sums, predicted - y, y - centre, 1)
    return sums
  }

  test('scikit-learn’s own example', () => {
    const found = errorsOf(errors([[3, 2.5], [-0.5, 0], [2, 2], [7, 8]]))
    expect(found.rmse.value).toBeCloseTo(0.6123724356957945, 12)
    expect(found.mae.value).toBe(0.5)
    expect(found.r2.value).toBeCloseTo(0.9486081370449679, 12)
    expect(found.bias.value).toBe(0.25)
  })

  /** i = arange(1, 1001); y = 1e6 + 3 sin i; prediction = y + 0.5 + cos 7i; np.quantile(abs(e), .5 and .9). */
  test('truths far from zero, and quantiles of the error', () => {
    const pairs = Array.from({ length: 1000 }, (_, k): [number, number] => [1e6 + 3 * Math.sin(k + 1), 1e6 + 3 * Math.sin(k + 1) + 0.5 + Math.cos(7 * (k + 1))])
    const found = errorsOf(errors(pairs, 1e6))
    expect(found.rmse.value).toBeCloseTo(0.8664466711901655, 8)
    expect(found.mae.value).toBeCloseTo(0.7185312783871778, 8)
    expect(found.r2.value).toBeCloseTo(0.8332351555007826, 8)
    const cells = new Float64Array(ERROR_CELLS)
    for (const [y, predicted] of pairs) cells[errorCell(Math.abs(predicted - y))]!++
    for (const [q, value] of [[0.5, 0.5020319733885117], [0.9, 1.450010911282152]] as const) {
      expect(errorQuantile(cells, q) / value).toBeGreaterThan(1 - 1 / 16)
      expect(errorQuantile(cells, q) / value).toBeLessThan(1 + 1 / 16)
    }
  })

  test('cells of powers of two, zero and what is beyond', () => {
    for (let k = -20; k < 20; k++) expect(errorCell(2 ** k)).toBe((k + 20) * 16)
    expect([errorCell(0), errorCell(1e-9), errorCell(1e300), errorCell(Infinity)]).toEqual([0, 0, ERROR_CELLS - 1, ERROR_CELLS - 1])
  })

  test('what is taken off was never there', () => {
    const sums = errors([[1, 2], [4, 3]])
    addError(sums, 2, 1, 1)
    addError(sums, 2, 1, -1)
    expect([...sums]).toEqual([...errors([[1, 2], [4, 3]])])
  })
})

describe('estimates', () => {
  /** statsmodels' proportion_confint(8, 10, method='wilson'): 0.49016, 0.94332. */
  test('shares', () => {
    const found = share(8, 10)
    expect(found.low).toBeCloseTo(0.49016, 5)
    expect(found.high).toBeCloseTo(0.94332, 5)
    expect(share(0, 0).value).toBeNaN()
  })
  /** 1, 2, 3: mean 2, s² = 1, standard error 1/√3. */
  test('means', () => {
    expect(mean(3, 6, 14)).toMatchObject({ value: 2, se: Math.sqrt(1 / 3) })
    expect(mean(1, 6, 36).se).toBeNaN()
  })
})
