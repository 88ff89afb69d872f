/**
 * When shares of rows that break a rule are too many to be chance.
 *
 * Each share is tested by the binomial tail against what is tolerated; the level of a test is what the budget of false alarms leaves it:
 * budget (a week) × length of a window / week / number of tests. Windows of few rows are judged together. An alarm is raised when it
 * begins; it ends when the windows since show less than half of its share.
 */
import type { Alarm } from '../../alarm.ts'
import { binomialAtLeast, binomialAtMost } from '../../stats/tails.ts'
import { levelOf } from '../budget.ts'
import { percent, spanOf } from '../words.ts'
import { emptySums, type Sums } from './window.ts'

/** Rows that are judged together at least: one caller with two odd requests is no news. */
const LEAST_ROWS = 30
/** However few tests a week there are. */
const MOST_LEVEL = 0.05
/** That the share is still half of what it was is given up at this level. */
const ENDED = 1e-4

/** One share that is watched. */
export interface Test {
  readonly feature: string
  /** TFDV's name. */
  readonly anomaly: string
  readonly statistic: string
  readonly tolerated: number
  /** @returns how many of how many */
  count(sums: Sums): readonly [count: number, of: number]
  /** What was found, in words: `"payment_method" is none of 4 known values ("wallet")`. */
  words(sums: Sums): string
}

export interface Active {
  readonly feature: string
  readonly anomaly: string
  readonly statistic: string
  readonly since: number
  /** Rows up to the last window that showed it, and how many of them did: the first window alone tells more than is true. */
  rows: number
  count: number
  /** Rows since the last window that showed it, and how many of them did. */
  quietRows: number
  quietCount: number
}

export interface Ended extends Pick<Active, 'feature' | 'anomaly' | 'since'> {
  readonly time: number
}

/** What outlives a reload. */
export interface AlarmState {
  /** Not judged yet. */
  pool: Sums
  /** Begin of the pool, Unix milliseconds; 0 = it is empty. */
  poolFrom: number
  /** What was judged last, for whoever wants to see it. */
  last: { readonly sums: Sums; readonly from: number; readonly to: number } | null
  readonly active: Map<string, Active>
  /** The window that is to be closed next, and the first of all. */
  next: number
  first: number
}

export function alarmState(features: number): AlarmState {
  return { pool: emptySums(features), poolFrom: 0, last: null, active: new Map(), next: 0, first: 0 }
}

export class Judge {
  readonly tests: readonly Test[]
  readonly alpha: number
  readonly #features: number
  readonly #state: AlarmState

  /** @param budget expected false alarms a week @param window milliseconds */
  constructor(tests: readonly Test[], budget: number, window: number, features: number, state: AlarmState) {
    this.tests = tests
    this.alpha = levelOf(budget, window, tests.length, MOST_LEVEL)
    this.#features = features
    this.#state = state
  }

  /** The pool holds a window more. @returns what begins and what is over */
  window(from: number, to: number): { readonly alarms: readonly Alarm[]; readonly ended: readonly Ended[] } {
    const state = this.#state
    if (state.poolFrom === 0) state.poolFrom = from
    // Requests that cannot be read have no rows.
    if (state.pool.rows + state.pool.unreadable < LEAST_ROWS) return { alarms: [], ended: [] }
    const alarms: Alarm[] = []
    const ended: Ended[] = []
    for (const test of this.tests) this.#judge(test, to, alarms, ended)
    state.last = { sums: state.pool, from: state.poolFrom, to }
    state.pool = emptySums(this.#features)
    state.poolFrom = 0
    return { alarms, ended }
  }

  #judge(test: Test, time: number, alarms: Alarm[], ended: Ended[]): void {
    const { pool, poolFrom, active } = this.#state
    const [count, rows] = test.count(pool)
    if (rows === 0) return
    const key = `${test.anomaly} ${test.feature}`
    const known = active.get(key)
    const many = count > rows * test.tolerated && binomialAtLeast(count, rows, test.tolerated) <= this.alpha
    if (many && known !== undefined) {
      known.rows += known.quietRows + rows
      known.count += known.quietCount + count
      known.quietRows = known.quietCount = 0
    } else if (many) {
      const { feature, anomaly, statistic } = test
      active.set(key, { feature, anomaly, statistic, since: time, rows, count, quietRows: 0, quietCount: 0 })
      alarms.push({ time, kind: 'schema', feature, statistic, score: count / rows, threshold: this.critical(rows, test.tolerated), reason: reasonOf(test, pool, count, rows, poolFrom, time) })
    } else if (known !== undefined) {
      known.quietRows += rows
      known.quietCount += count
      if (binomialAtMost(known.quietCount, known.quietRows, known.count / known.rows / 2) > ENDED) return
      active.delete(key)
      ended.push({ feature: test.feature, anomaly: test.anomaly, since: known.since, time })
    }
  }

  /** The least share of so many rows that would be an alarm. */
  critical(rows: number, tolerated: number): number {
    let low = Math.floor(rows * tolerated)
    let high = rows + 1
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (binomialAtLeast(middle, rows, tolerated) <= this.alpha) high = middle
      else low = middle
    }
    return high / rows
  }
}

function reasonOf(test: Test, sums: Sums, count: number, of: number, from: number, to: number): string {
  return `${test.anomaly}: ${test.words(sums)} in ${count} of ${of} (${percent(count / of)}), at most ${percent(test.tolerated)} is tolerated; ${spanOf(from, to)}`
}
