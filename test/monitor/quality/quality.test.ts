import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cellMiddle } from '../../../gateway/stats/scores.ts'
import type { Receipt } from '../../../gateway/monitor/quality/receipt.ts'
import { OUTCOMES } from '../../stats/outcomes.ts'
import { DAY, HOUR, MONDAY, stand } from './stand.ts'

const AFTER = MONDAY + HOUR

describe('binary, against scikit-learn (test/stats/scores.test.ts says how)', () => {
  test('200 scores: every number', () => {
    const one = stand()
    for (const [i, y] of [...OUTCOMES].entries()) {
      one.predict(`id-${i}`, cellMiddle(i + 20))
      one.label(`id-${i}`, Number(y))
    }
    const all = one.review.latest(AFTER)['']!
    const expected = {
      auc: 0.793979397939794, pr_auc: 0.7805550255359615, ks: 0.47874787478747877, log_loss: 0.5677247217092198, brier: 0.1899249034695874,
      ece: 0.08333613365598545, slope: 0.7301882765011521, precision: 0.7391304347826086, recall: 0.6732673267326733, f1: 0.7046632124352331, accuracy: 0.715,
    }
    for (const [name, value] of Object.entries(expected)) {
      expect(all[name]!.value, name).toBeCloseTo(value, 5)
      expect(all[name]!.se, name).toBeGreaterThan(0)
      expect(all[name]!.low, name).toBeLessThan(value)
      expect(all[name]!.high, name).toBeGreaterThan(value)
      expect(all[name]!.n, name).toBe(200)
    }
  })

  test('without labels: p = .1 .4 .6 .9 are said to be .75 right, AUC .825, within half a cell', () => {
    const one = stand()
    for (const p of [0.1, 0.4, 0.6, 0.9]) one.predict(`id-${p}`, p)
    const all = one.review.latest(AFTER)['']!
    for (const name of ['estimated_accuracy', 'estimated_precision', 'estimated_recall', 'estimated_f1']) expect(Math.abs(all[name]!.value - 0.75), name).toBeLessThan(0.004)
    expect(Math.abs(all.estimated_auc!.value - 0.825)).toBeLessThan(0.004)
    expect(all.auc).toBeUndefined()
  })

  test('a threshold that is no edge of a cell counts exactly', () => {
    const one = stand({ setup: { thresholds: [0.5, 0.3001] } })
    for (const [i, p] of [0.3, 0.3001, 0.3002].entries()) {
      one.predict(`${i}`, p)
      one.label(`${i}`, 1)
    }
    expect(one.review.latest(AFTER)['']!['recall@0.3001']!.value).toBeCloseTo(2 / 3, 12)
  })
})

test('multiclass, against scikit-learn', () => {
  const P = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]
  const one = stand({ setup: { kind: 'multiclass', classes: ['a', 'b', 'c'] } })
  for (const [i, y] of ['a', 'b', 'c', 'a', 'b', 'c'].entries()) {
    one.predict(`${i}`, P[i]!)
    expect(one.label(`${i}`, y)).toBe('accepted')
  }
  const all = one.review.latest(AFTER)['']!
  // accuracy_score, f1_score(average='macro'), log_loss, mean of Σ (P − one_hot)².
  expect([all.accuracy!.value, all.macro_f1!.value]).toEqual([0.5, 0.5])
  expect(all.log_loss!.value).toBeCloseTo(1.0168799021858648, 5)
  expect(all.brier!.value).toBeCloseTo(0.6, 5)
  expect(all['precision@c']!.value).toBe(0.5)
  expect(one.label('9', 'd')).toBe('label: expected one of the 3 classes, found "d"')
})

test('regression', () => {
  const one = stand({ setup: { kind: 'regression' } })
  for (const [i, [y, p]] of ([[3, 2.5], [-0.5, 0], [2, 2], [7, 8]] as const).entries()) {
    one.predict(`${i}`, p)
    one.label(`${i}`, y)
  }
  const all = one.review.latest(AFTER)['']!
  // root_mean_squared_error, mean_absolute_error, r2_score.
  expect(all.rmse!.value).toBeCloseTo(0.6123724356957945, 12)
  expect(all.mae!.value).toBe(0.5)
  expect(all.r2!.value).toBeCloseTo(0.9486081370449679, 12)
  expect(one.label('0', 'three')).toBe('label: expected a number, found "three"')
})

test('rankings: labels are lists, the request is one case', () => {
  const one = stand({ setup: { kind: 'ranking' } })
  expect(one.predict('q', [0.1, 0.5, 0.5, 0.2, 0.9, 0.3], MONDAY, { rows: 6 })).toHaveLength(6)
  one.predict('nothing', [1, 2], MONDAY, { rows: 2 })
  expect(one.label('q', 1)).toContain('expected a list')
  expect(one.label('q', [0, 1, 2, 0, 1, 3, 0])).toBe('unknown')
  expect(one.label('q', [0, 1, 2, 0, 1, 3])).toBe('accepted')
  expect(one.label('q', [0, 1, 2, 0, 1, 3])).toBe('duplicate')
  expect(one.label('nothing', [0, 0])).toBe('accepted')
  const { ndcg } = one.review.latest(AFTER)['']!
  expect(ndcg!.value).toBeCloseTo(0.7681071935725143, 5)
  expect(ndcg!.n).toBe(1)
  expect(one.review.coverage(AFTER)['1h']).toMatchObject({ predicted: 2, labelled: 2 })
})

describe('joining', () => {
  test('accepted, unknown, duplicate, late', () => {
    const one = stand({ setup: { keep: DAY } })
    one.predict('a', 0.2)
    one.predict('b', 0.2)
    expect(one.label('a', 1, MONDAY + HOUR)).toBe('accepted')
    expect(one.label('a', 0, MONDAY + HOUR)).toBe('duplicate')
    expect(one.label('x', 1)).toBe('unknown')
    expect(one.label('b', 1, MONDAY + DAY + 1)).toBe('late')
    expect(one.delays).toEqual([HOUR])
    expect(one.review.coverage(MONDAY + HOUR)['1h']).toEqual({ predicted: 2, labelled: 1, share: 0.5 })
  })

  test('the last of several labels replaces the others, whichever thread counted them', () => {
    const one = stand({ setup: { duplicates: 'last' }, threads: 2 })
    const other = stand()
    for (const it of [one, other]) {
      it.predict('a', 0.2)
      it.predict('b', 0.9)
      it.label('b', 1)
    }
    one.label('a', 1, MONDAY, { thread: 0 })
    expect(one.label('a', 0, MONDAY, { thread: 1 })).toBe('duplicate')
    other.label('a', 0)
    expect(one.review.latest(AFTER)).toEqual(other.review.latest(AFTER))
  })

  test('rows of a request: one by one, or as a list in which null is not known', () => {
    const one = stand()
    one.predict('r', [0.1, 0.2, 0.3], MONDAY, { rows: 3 })
    expect(one.label('r', 1, MONDAY, { row: 2 })).toBe('accepted')
    expect(one.label('r', [0, null, 1])).toBe('accepted, duplicate')
    expect(one.label('r', [0, 1, 1, 1])).toBe('accepted, unknown, duplicate 2')
    expect(one.label('r', [0, 'x'])).toContain('expected 0 or 1')
  })

  test('a receipt needs no memory, and counts once', () => {
    const one = stand()
    const receipt: Receipt = { id: 'far', route: 'r', time: MONDAY - HOUR, model: '', group: '', rows: 2, scores: [0.9, 0.1] }
    expect(one.label('', 1, MONDAY, { receipt })).toBe('accepted')
    expect(one.label('', 1, MONDAY, { receipt })).toBe('duplicate')
    expect(one.label('', 0, MONDAY, { receipt, row: 1 })).toBe('accepted')
    expect(one.label('', 0, MONDAY, { receipt, row: 2 })).toBe('unknown')
    expect(one.label('', 0, MONDAY + 8 * DAY, { receipt: { ...receipt, id: 'old' } })).toBe('late')
    expect(one.review.latest(MONDAY)['']!.auc!.value).toBe(1)
  })

  test('scores that are no probabilities are told, and not kept', () => {
    const one = stand()
    expect(one.predict('a', [0.5, 1.5, NaN, -0.1], MONDAY, { rows: 4 })).toEqual(['kept', 'invalid', 'invalid', 'invalid'])
    expect(one.label('a', 1, MONDAY, { row: 1 })).toBe('unknown')
    const ranking = stand({ setup: { kind: 'ranking' } })
    ranking.predict('q', [1, NaN, 2], MONDAY, { rows: 3 })
    expect(ranking.label('q', [1, 0, 0])).toBe('unknown')
  })

  test('labels of another word', () => {
    const one = stand({ positive: 'yes', negative: 'no' })
    for (const id of ['a', 'b', 'c']) one.predict(id, 0.5)
    expect([one.label('a', 'yes'), one.label('b', 'no'), one.label('c', 'maybe')]).toEqual(['accepted', 'accepted', 'label: expected "yes" or "no", found "maybe"'])
  })

  test('segments have numbers of their own', () => {
    const one = stand({ setup: { groups: ['eu', 'us'] } })
    for (const [i, group] of [0, 1, 1, 2].entries()) {
      one.predict(`${i}`, i % 2 === 0 ? 0.9 : 0.1, MONDAY, { group })
      one.label(`${i}`, group === 1 ? (i % 2 === 0 ? 1 : 0) : 1)
    }
    const found = one.review.latest(AFTER)
    expect(Object.keys(found).sort()).toEqual(['', 'eu', 'us'])
    expect([found['']!.accuracy!.n, found.eu!.accuracy!.n, found.eu!.accuracy!.value, found.us!.accuracy!.value]).toEqual([4, 2, 1, 0])
  })
})

describe('windows', () => {
  test('a label counts in the window of its prediction, however late it comes', () => {
    const one = stand({ setup: { span: HOUR } })
    one.predict('a', 0.9, MONDAY)
    one.predict('b', 0.9, MONDAY + 1)
    one.predict('c', 0.9, MONDAY + HOUR)
    one.label('a', 1, MONDAY + 5 * HOUR)
    expect(one.review.latest(MONDAY + HOUR)['']!.accuracy!.n).toBe(1)
    one.label('b', 0, MONDAY + 9 * HOUR)
    expect(one.review.latest(MONDAY + HOUR)['']!.accuracy).toMatchObject({ n: 2, value: 0.5 })
    expect(one.review.latest(MONDAY + 2 * HOUR)['']!.accuracy).toBeUndefined()
    const { windows } = one.review.page(MONDAY + 2 * HOUR) as { windows: { from: string; predicted: number; labelled: number; share: number }[] }
    expect(windows.map(({ from, predicted, labelled, share }) => [from, predicted, labelled, share])).toEqual([['2026-03-02T01:00:00.000Z', 1, 0, 0], ['2026-03-02T00:00:00.000Z', 2, 2, 1]])
  })

  test('coverage by score band shows that only high scores are labelled', () => {
    const one = stand()
    for (let i = 0; i < 100; i++) {
      one.predict(`${i}`, i / 100)
      if (i >= 50) one.label(`${i}`, 1)
    }
    const { coverage_by_score: bands } = one.review.page(AFTER) as { coverage_by_score: { share: number }[] }
    expect(bands.map(({ share }) => Math.round(share))).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
  })

  test('the ring is bounded, and what it no longer holds is late', () => {
    const one = stand({ setup: { keep: 3 * HOUR } })
    one.predict('a', 0.9, MONDAY)
    one.predict('z', 0.9, MONDAY + 5 * HOUR)
    expect(one.label('a', 1, MONDAY)).toBe('late')
    expect(one.label('z', 1, MONDAY)).toBe('accepted')
  })
})

/** Any way of dealing predictions and labels to threads gives the same bits as one thread. */
test('merge(a, b) = ingest(a ‖ b)', () => {
  const row = fc.record({ p: fc.double({ min: 0, max: 1, noNaN: true }), y: fc.option(fc.boolean()), hour: fc.nat(5), predicts: fc.nat(2), labels: fc.nat(2), group: fc.nat(1) })
  fc.assert(
    fc.property(fc.array(row, { maxLength: 60 }), (rows) => {
      const setup = { groups: ['g'] }
      const [many, single] = [stand({ setup, threads: 3, maxIds: 1000 }), stand({ setup, maxIds: 1000 })]
      for (const [i, { p, y, hour, predicts, labels, group }] of rows.entries()) {
        const time = MONDAY + hour * HOUR
        many.predict(`${i}`, p, time, { thread: predicts, group })
        single.predict(`${i}`, p, time, { group })
        if (y === null) continue
        many.label(`${i}`, y, time, { thread: labels })
        single.label(`${i}`, y, time)
      }
      expect(many.review.page(MONDAY + DAY)).toEqual(single.review.page(MONDAY + DAY))
    }),
    { numRuns: 50 },
  )
})
