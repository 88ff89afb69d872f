import { describe, expect, test } from 'vitest'
import { baselineOf, labelColumn } from '../../../gateway/monitor/quality/baseline.ts'
import { labelReader } from '../../../gateway/monitor/quality/entries.ts'
import { categories, normals, numbers, profileOf, random, times } from '../drift/profiles.ts'
import { DAY, HOUR, MONDAY, stand } from './stand.ts'

const twoPercent = { column: 'fraud', counts: Float64Array.of(19_600, 400), rows: 20_000, names: ['negative', 'positive'] }

/** A thousand labels a day of this rate, hour by hour. */
function feed(one: ReturnType<typeof stand>, day: number, rate: number, seed: number, perDay = 1000, score = (_y: number): number => 0.5) {
  const next = random(seed)
  const alarms = []
  for (let i = 0; i < perDay; i++) {
    const time = MONDAY + day * DAY + Math.floor((i / perDay) * DAY)
    const y = next() < rate ? 1 : 0
    one.predict(`${day}-${i}`, score(y), time)
    one.label(`${day}-${i}`, y, time)
    alarms.push(...one.review.advance(time))
  }
  alarms.push(...one.review.advance(MONDAY + (day + 1) * DAY))
  return alarms
}

/** As many positives in every span as the rate says, without chance. */
function feedEvenly(one: ReturnType<typeof stand>, day: number, rate: number) {
  const alarms = []
  for (let i = 0; i < 1000; i++) {
    const time = MONDAY + day * DAY + Math.floor((i / 1000) * DAY)
    const y = Math.floor((i + 1) * rate) - Math.floor(i * rate)
    one.predict(`${day}-${i}`, 0.5, time)
    one.label(`${day}-${i}`, y, time)
    alarms.push(...one.review.advance(time))
  }
  alarms.push(...one.review.advance(MONDAY + (day + 1) * DAY))
  return alarms
}

describe('label drift', () => {
  test('a rate that doubles is told within a day, once, with the numbers', () => {
    const one = stand({ baseline: twoPercent })
    for (let day = 0; day < 3; day++) expect(feed(one, day, 0.02, day)).toEqual([])
    const alarms = [3, 4, 5].flatMap((day) => feed(one, day, 0.045, day))
    expect(alarms).toHaveLength(1)
    expect(alarms[0]).toMatchObject({ kind: 'label', feature: 'fraud', statistic: 'share_ratio', threshold: 1.5 })
    expect(alarms[0]!.time).toBeLessThanOrEqual(MONDAY + 4 * DAY)
    expect(alarms[0]!.score).toBeGreaterThanOrEqual(1.5)
    expect(alarms[0]!.reason).toMatch(/^fraud: positive are [\d.]+ % of \d+ labels, 2 % in training \([\d.]+ times, p = .*\); 2026-03-0\dT\d\d:00:00.000Z to 2026-03-0\dT\d\d:00:00.000Z$/)
  })

  test('it may be told again after a span without', () => {
    const one = stand({ baseline: twoPercent })
    expect([0.06, 0.02, 0.02, 0.06].map((rate, day) => feed(one, day, rate, 40 + day).length)).toEqual([1, 0, 0, 1])
  })

  test('it is not over because chance hides it for two days: half of it is still there', () => {
    const one = stand({ baseline: twoPercent })
    // 3 % of 1000 against 2 % of 20,000 has p = 0.03: no alarm by itself, and more than half of what was told.
    expect([0.05, 0.03, 0.03, 0.05].map((rate, day) => feedEvenly(one, day, rate).length)).toEqual([1, 0, 0, 0])
    expect([0.02, 0.02, 0.05].map((rate, day) => feedEvenly(one, 4 + day, rate).length)).toEqual([0, 0, 1])
  })

  test('too few labels are no verdict', () => {
    const one = stand({ baseline: twoPercent })
    expect(feed(one, 0, 1, 1, 99)).toEqual([])
    expect((one.review.page(MONDAY + DAY).labels as { state: string }).state).toBe('insufficient_data')
  })

  test('numbers are compared by their distribution', () => {
    const z = normals(1)
    const column = numbers(times(5000, () => 100 + 10 * z()), { role: 'label' })
    const setup = { kind: 'regression' as const, grid: column.numeric!.grid }
    const baseline = baselineOf('price', column, { kind: 'regression', classes: [] }, Number)!
    const one = stand({ setup, baseline })
    const day = (n: number, shift: number) => {
      for (let i = 0; i < 500; i++) {
        one.predict(`${n}-${i}`, 100, MONDAY + n * DAY)
        one.label(`${n}-${i}`, 100 + shift + 10 * z(), MONDAY + n * DAY)
      }
      return one.review.advance(MONDAY + (n + 1) * DAY)
    }
    expect(day(0, 0)).toEqual([])
    expect(day(1, 5)).toMatchObject([{ kind: 'label', feature: 'price', statistic: 'ks', threshold: 0.1 }])
  })

  /**
   * Null: 15 weeks of 1000 labels a day at the training rate, whose sample is one too. Budget 1 a week, and no effect asked for; spans overlap,
   * so that fewer come: at most what Poisson(15) is below with probability 0.999.
   */
  test('false alarms stay within the budget', () => {
    let alarms = 0
    const next = random(99)
    for (let run = 0; run < 15; run++) {
      const ones = times(20_000, () => (next() < 0.02 ? 1 : 0)).reduce<number>((sum, y) => sum + y, 0)
      const one = stand({ baseline: { ...twoPercent, counts: Float64Array.of(20_000 - ones, ones) }, judge: { ratio: 1 }, maxIds: 8 })
      for (let hour = 0; hour < 7 * 24; hour++) {
        for (let i = 0; i < 42; i++) one.label('', next() < 0.02 ? 1 : 0, MONDAY + hour * HOUR, { receipt: { id: `${hour}-${i}`, route: '', time: MONDAY + hour * HOUR, model: '', group: '', rows: 1, scores: [0.5] } })
        alarms += one.review.advance(MONDAY + (hour + 1) * HOUR).length
      }
    }
    expect(alarms).toBeLessThan(29)
    expect(alarms).toBeGreaterThan(0)
  })
})

describe('quality', () => {
  const limits = { auc: { min: 0.7 }, ece: { max: 0.05 } }
  const scored = (seed: number, power: number) => {
    const next = random(seed)
    return (y: number) => (y === 1 ? next() ** (1 / power) : next())
  }

  test('an AUC below what was set is told, with its error and n; one that chance explains is not', () => {
    const one = stand({ judge: { limits: { auc: { min: 0.7 } } } })
    // P(u^(1/k) > v) = k / (k + 1): 0.75, 0.69 and 0.5.
    expect(feed(one, 0, 0.3, 1, 1000, scored(11, 3))).toEqual([])
    expect(feed(one, 1, 0.3, 2, 200, scored(12, 0.69 / 0.31))).toEqual([])
    const alarms = feed(one, 2, 0.3, 3, 1000, scored(13, 1))
    expect(alarms).toMatchObject([{ kind: 'quality', feature: 'label', statistic: 'auc', threshold: 0.7 }])
    expect(alarms[0]!.reason).toMatch(/^auc 0\.\d+ ± 0\.0\d+ \(standard error\) of \d+ labels, expected at least 0\.7; /)
  })

  test('calibrated scores have no calibration error beyond what few labels explain', () => {
    const next = random(5)
    const calibrated = stand({ judge: { limits } })
    for (let i = 0; i < 2000; i++) {
      const p = next()
      calibrated.predict(`${i}`, p)
      calibrated.label(`${i}`, next() < p ? 1 : 0)
    }
    expect(calibrated.review.advance(MONDAY + HOUR)).toEqual([])
    const extreme = stand({ judge: { limits: { ece: limits.ece } } })
    for (let i = 0; i < 2000; i++) {
      const p = next()
      extreme.predict(`${i}`, p)
      extreme.label(`${i}`, next() < 0.3 + 0.4 * p ? 1 : 0)
    }
    expect(extreme.review.advance(MONDAY + HOUR).map(({ statistic }) => statistic)).toEqual(['ece'])
  })

  test('windows wait for labels as long as these usually take', () => {
    const one = stand({ setup: { delay: 6 * HOUR }, judge: { limits: { accuracy: { min: 0.9 } } } })
    for (let i = 0; i < 300; i++) one.predict(`${i}`, 0.9)
    expect(one.review.advance(MONDAY + 5 * HOUR)).toEqual([])
    for (let i = 0; i < 300; i++) one.label(`${i}`, i % 2, MONDAY + 5 * HOUR)
    expect(one.review.advance(MONDAY + 7 * HOUR - 1)).toEqual([])
    expect(one.review.advance(MONDAY + 7 * HOUR)).toMatchObject([{ statistic: 'accuracy', score: 0.5, time: MONDAY + HOUR }])
  })

  test('segments are judged for themselves', () => {
    const one = stand({ setup: { groups: ['a', 'b'] }, judge: { limits: { accuracy: { min: 0.9 } } } })
    for (let i = 0; i < 4000; i++) {
      one.predict(`${i}`, 0.9, MONDAY, { group: i % 40 === 0 ? 1 : 2 })
      one.label(`${i}`, i % 40 === 0 ? 0 : 1)
    }
    const alarms = one.review.advance(MONDAY + HOUR)
    expect(alarms).toHaveLength(1)
    expect(alarms[0]!.reason).toContain('segment a')
  })

  test('what is estimated from scores alone raises its alarm without a label', () => {
    const one = stand({ judge: { limits: { estimated_accuracy: { min: 0.8 } } } })
    for (let i = 0; i < 500; i++) one.predict(`${i}`, 0.6)
    expect(one.review.advance(MONDAY + HOUR)).toMatchObject([{ kind: 'quality', statistic: 'estimated_accuracy' }])
  })

  test('estimates go by what earlier labels said of scores, where that is better', () => {
    const one = stand()
    const next = random(8)
    // Scores say 0.9 and 0.6; 70 % and 20 % are true.
    const day = (n: number, labelled: boolean) => {
      for (let i = 0; i < 2000; i++) {
        const [p, rate] = i % 2 === 0 ? [0.9, 0.7] : [0.6, 0.2]
        const time = MONDAY + n * DAY + Math.floor((i / 2000) * DAY)
        one.predict(`${n}-${i}`, p, time)
        if (labelled) one.label(`${n}-${i}`, next() < rate ? 1 : 0, time)
      }
    }
    day(0, true)
    day(1, false)
    const page = one.review.page(MONDAY + 2 * DAY) as { span: { calibrated_by_labels: boolean; estimated: Record<string, { value: number }> } }
    expect(page.span.calibrated_by_labels).toBe(true)
    // Both are predicted to be of the class: (0.7 + 0.2) / 2 of them are, ± 4 of the standard errors of a thousand labels each.
    expect(Math.abs(page.span.estimated.estimated_accuracy!.value - 0.45)).toBeLessThan(4 * Math.sqrt((0.21 + 0.16) / 4 / 1000))
  })
})

describe('baselines', () => {
  const { read } = labelReader({ kind: 'binary', classes: [] })

  test('the label column is the one whose role says so, or the one that is named', () => {
    const profile = profileOf({ a: categories({ x: 1 }), y: categories({ 0: 80, 1: 20 }, { role: 'label' }) })
    expect((labelColumn(profile) as readonly [string, unknown])[0]).toBe('y')
    expect((labelColumn(profile, 'a') as readonly [string, unknown])[0]).toBe('a')
    expect(labelColumn(profile, 'b')).toBe('the profile has no column "b"; it has a, y')
    expect(labelColumn(profileOf({ a: categories({ x: 1 }) }))).toContain('no column whose role is label')
  })

  test('binary labels, as codes or as a mean', () => {
    expect([...baselineOf('y', categories({ 0: 80, 1: 20 }), { kind: 'binary', classes: [] }, read)!.counts]).toEqual([80, 20])
    expect([...baselineOf('y', numbers([0, 0, 0, 1]), { kind: 'binary', classes: [] }, read)!.counts]).toEqual([3, 1])
    expect(baselineOf('y', categories({ cat: 80, dog: 20 }), { kind: 'binary', classes: [] }, read)).toBeNull()
  })
})
