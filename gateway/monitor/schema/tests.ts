/** The shares that are watched, and what would have to change in the rules so that they passed. */
import { shown } from '../words.ts'
import { BIG, DOMAIN, INFINITE, LONG, MISSING, NAN, nameOf, NEW_COLUMN, NULL, SHORT, SMALL, STATISTICS, TYPE, UNREADABLE } from './anomalies.ts'
import type { Test } from './alarms.ts'
import type { FeatureRule, RuleOptions } from './rules.ts'
import { cellOf } from './validator.ts'
import { type Sums, TEXTS } from './window.ts'

/** Of requests; callers that send nonsense once in a while are no news. */
const UNREADABLE_SHARE = 0.05

/** @param newColumns share of rows with columns nobody told of that is tolerated; null = they are no anomaly */
export function testsOf(rules: readonly FeatureRule[], newColumns: number | null): Test[] {
  const ofFeatures = rules.flatMap((rule, feature) => kindsOf(rule).filter((kind) => rule.ofWindow[kind]! < 1).map((kind) => featureTest(rule, feature, kind)))
  const unreadable: Test = {
    feature: '', anomaly: UNREADABLE, statistic: 'unreadable_share', tolerated: UNREADABLE_SHARE,
    count: (sums) => [sums.unreadable, sums.requests],
    words: () => 'requests could not be read and are not judged',
  }
  const unknown = newColumns === null ? [] : [{
    feature: '', anomaly: NEW_COLUMN, statistic: 'new_column_share', tolerated: newColumns,
    count: (sums: Sums) => [sums.unknown, sums.rows] as const,
    words: () => 'columns that no rule tells of',
  }]
  return [...ofFeatures, unreadable, ...unknown]
}

/** What can be wrong with it at all. */
function kindsOf({ type, min, max, values, length }: FeatureRule): number[] {
  const numbers = type === null || type === 'INT' || type === 'FLOAT'
  return [
    MISSING, NULL,
    ...(type === null ? [] : [TYPE]),
    ...(values === null ? [] : [DOMAIN]),
    ...(numbers ? [NAN, INFINITE] : []),
    ...(max < Infinity && numbers ? [BIG] : []),
    ...(min > -Infinity && numbers ? [SMALL] : []),
    ...(length[0] > 0 ? [SHORT] : []),
    LONG,
  ]
}

function featureTest(rule: FeatureRule, feature: number, kind: number): Test {
  const cell = cellOf(feature, kind)
  const whole = kind === MISSING || kind === SHORT || kind === LONG
  return {
    feature: rule.name, anomaly: nameOf(kind, rule.type), statistic: STATISTICS[kind]!, tolerated: rule.ofWindow[kind]!,
    count(sums) {
      const there = sums.rows - sums.counts[cellOf(feature, MISSING)]!
      const of = whole ? sums.rows : kind === NULL ? there : there - sums.counts[cellOf(feature, NULL)]!
      return [sums.counts[cell]!, of]
    },
    words: (sums) => `${shown(rule.name)} ${said(rule, feature, kind, sums)}`,
  }
}

function said({ min, max, values, type, length }: FeatureRule, feature: number, kind: number, sums: Sums): string {
  switch (kind) {
    case MISSING:
      return 'is missing'
    case NULL:
      return 'is null'
    case TYPE:
      return `is no ${type}`
    case DOMAIN:
      return `is none of the ${values!.length} known values${sums.texts[feature]!.length === 0 ? '' : `, but ${sums.texts[feature]!.map(shown).join(', ')}`},`
    case BIG:
      return `is above ${max}, up to ${sums.greatest[feature]},`
    case SMALL:
      return `is below ${min}, down to ${sums.least[feature]},`
    case NAN:
      return 'is NaN'
    case INFINITE:
      return 'is infinite'
    default:
      return `has not ${length[0]} to ${length[1]} values`
  }
}

/** Changes of the rules, by feature, with which the rows of these sums would pass. */
export function relaxed(rules: readonly FeatureRule[], tests: readonly Test[], sums: Sums): Record<string, RuleOptions> {
  const proposal: Record<string, RuleOptions> = {}
  rules.forEach((rule, feature) => {
    const changes = kindsOf(rule).map((kind): RuleOptions => {
      const test = tests.find((one) => one.feature === rule.name && one.anomaly === nameOf(kind, rule.type))
      if (test === undefined) return {}
      const [count, of] = test.count(sums)
      return count > of * test.tolerated ? relaxation(rule, feature, kind, count / of, sums) : {}
    })
    const change: RuleOptions = Object.assign({}, ...changes)
    if (Object.keys(change).length > 0) Object.defineProperty(proposal, rule.name, { value: change, enumerable: true })
  })
  return proposal
}

function relaxation({ min, max, values, type }: FeatureRule, feature: number, kind: number, share: number, sums: Sums): RuleOptions {
  // Rounded up, so that the rows it was made from pass.
  const percent = Math.min(100, Math.ceil(share * 110))
  switch (kind) {
    case MISSING:
      return { required: false }
    case NULL:
      return { nulls: percent }
    case NAN:
    case INFINITE:
      return { nan: percent }
    case BIG:
      return { max: Math.max(max, sums.greatest[feature]!) }
    case SMALL:
      return { min: Math.min(min, sums.least[feature]!) }
    case DOMAIN:
      // There may be more of them than are kept.
      return { values: [...values!, ...sums.texts[feature]!], ...(sums.texts[feature]!.length >= TEXTS && { mostly: 100 - percent }) }
    case TYPE:
      return type === 'INT' ? { type: 'FLOAT' } : { mostly: 100 - percent }
    default:
      return { mostly: 100 - percent }
  }
}
