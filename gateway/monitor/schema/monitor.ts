/** Requests against a schema: a verdict for each at once, and for all of a window by what is tolerated of them. No Exchange, no HTTP. */
import type { Alarm } from '../../alarm.ts'
import type { Columns } from '../../payload/columns.ts'
import { binomialAtLeast } from '../../stats/tails.ts'
import { shown } from '../words.ts'
import { type AlarmState, type Ended, Judge } from './alarms.ts'
import { BIG, DOMAIN, FEW_ROWS, KINDS, MANY_ROWS, nameOf, NEW_COLUMN, SMALL } from './anomalies.ts'
import type { FeatureRule, Rules } from './rules.ts'
import { relaxed, testsOf } from './tests.ts'
import { type Found, Validator } from './validator.ts'
import { emptySums, SLOTS, windowBytes, WindowReader, WindowWriter } from './window.ts'
import { expected, found } from './words.ts'

/** Of a request with a tolerated share, chance explains what is likelier than this. */
const CHANCE = 0.001
/** What is written to a window is there this long after its end. */
const GRACE_MS = 1000

export interface Anomaly {
  readonly anomaly: string
  /** '' = none. */
  readonly feature: string
  /** The first row. */
  readonly row: number
  readonly expected: string
  readonly found: string
  readonly rows: number
}

export interface SchemaOptions {
  /** Milliseconds. */
  readonly window: number
  /** Expected false alarms a week. */
  readonly budget: number
  /** As given to `rulesOf`. */
  readonly tolerance: number
  readonly newColumns: boolean
  readonly matrix: readonly string[] | null
  readonly leastRows: number
  readonly mostRows: number
}

export interface SchemaMemory {
  readonly mine: SharedArrayBuffer
  readonly all: readonly SharedArrayBuffer[]
}

/** Rows that broke a rule, tolerated or not. @param anomaly TFDV's name */
export type Count = (anomaly: string, feature: string, rows: number) => void

export function schemaBytes(rules: Rules): number {
  return windowBytes(rules.features.length)
}

export class SchemaMonitor {
  readonly #rules: readonly FeatureRule[]
  readonly #options: SchemaOptions
  readonly #validator: Validator
  readonly #writer: WindowWriter
  readonly #reader: WindowReader
  readonly #judge: Judge
  readonly #state: AlarmState
  readonly #count: Count
  /** End of the window that is written to. */
  #until = 0

  constructor(rules: Rules, options: SchemaOptions, memory: SchemaMemory, state: AlarmState, count: Count) {
    const features = rules.features.length
    this.#rules = rules.features
    this.#options = options
    this.#validator = new Validator(rules, options.matrix)
    this.#writer = new WindowWriter(memory.mine, features)
    this.#reader = new WindowReader(memory.all, features)
    this.#judge = new Judge(testsOf(rules.features, options.newColumns ? options.tolerance : null), options.budget, options.window, features, state)
    this.#state = state
    this.#count = count
  }

  /** @param wall Unix milliseconds @returns what is wrong with this request, or null */
  observe(columns: Columns, wall: number): readonly Anomaly[] | null {
    this.#turn(wall)
    const { rows, found: all, unknown } = this.#validator.check(columns)
    const strange = unknown.length > 0
    this.#writer.request(rows, strange)
    if (all === null && !(strange && this.#options.newColumns)) return null
    const anomalies: Anomaly[] = []
    for (const one of all ?? []) {
      const rule = this.#rules[one.feature]!
      this.#keep(one, rule)
      if (isOdd(one, rule, rows)) anomalies.push({ anomaly: nameOf(one.kind, rule.type), feature: rule.name, row: one.row, expected: expected(rule, one.kind), found: found(one), rows: one.count })
    }
    if (strange && this.#options.newColumns) {
      this.#count(NEW_COLUMN, '', rows)
      anomalies.push({ anomaly: NEW_COLUMN, feature: '', row: 0, expected: 'the columns of the schema alone', found: shown(unknown[0]!), rows })
    }
    return anomalies.length === 0 ? null : anomalies
  }

  /** A body that nobody can read is counted, not passed over. */
  unreadable(wall: number): void {
    this.#turn(wall)
    this.#writer.unreadable()
  }

  /** Judges the windows that are over; on one thread alone, at least once a window. */
  close(wall: number): { readonly alarms: readonly Alarm[]; readonly ended: readonly Ended[] } {
    const { window } = this.#options
    const state = this.#state
    const current = Math.floor((wall - GRACE_MS) / window)
    if (state.next === 0 || state.next > current + 1) state.next = state.first = Math.floor(wall / window)
    const alarms: Alarm[] = []
    const ended: Ended[] = []
    for (let index = Math.max(state.next, current - SLOTS + 1); index < current; index++) {
      const before = state.pool.rows
      this.#reader.add(stampOf(index), state.pool)
      const to = (index + 1) * window
      // The first one was not seen from its beginning.
      if (index !== state.first) alarms.push(...this.#volume(state.pool.rows - before, to))
      const judged = this.#judge.window(index * window, to)
      alarms.push(...judged.alarms)
      ended.push(...judged.ended)
    }
    state.next = Math.max(state.next, current)
    return { alarms, ended }
  }

  /** Alarms that are on. */
  get active(): number {
    return this.#state.active.size
  }

  /** For `/state`: what was counted in the windows judged last, what is tolerated, and with which rules it would pass. */
  report(): unknown {
    const { last, active } = this.#state
    const sums = last?.sums ?? emptySums(this.#rules.length)
    return {
      window: last === null ? null : { from: new Date(last.from).toISOString(), to: new Date(last.to).toISOString(), rows: sums.rows, requests: sums.requests, unreadable: sums.unreadable, rows_with_new_columns: sums.unknown },
      level_of_a_test: this.#judge.alpha,
      tests: this.#judge.tests.flatMap((test) => {
        const [rows, of] = test.count(sums)
        const alarmed = active.get(`${test.anomaly} ${test.feature}`)
        if (rows === 0 && alarmed === undefined) return []
        const verdict = of === 0 ? 'insufficient_data' : alarmed === undefined ? 'tolerated' : 'alarm'
        return [{ feature: test.feature, anomaly: test.anomaly, rows, of, share: of === 0 ? null : rows / of, tolerated: test.tolerated, threshold: of === 0 ? null : this.#judge.critical(of, test.tolerated), verdict, ...(alarmed !== undefined && { since: new Date(alarmed.since).toISOString() }) }]
      }),
      tests_without_a_row: this.#judge.tests.filter((test) => test.count(sums)[0] === 0).length,
      proposal: relaxed(this.#rules, this.#judge.tests, sums),
    }
  }

  #turn(wall: number): void {
    const { window } = this.#options
    if (wall < this.#until && wall >= this.#until - window) return
    const index = Math.floor(wall / window)
    this.#until = (index + 1) * window
    this.#writer.turn(stampOf(index))
  }

  #keep(one: Found, rule: FeatureRule): void {
    this.#writer.count(one.feature * KINDS + one.kind, one.count)
    this.#count(nameOf(one.kind, rule.type), rule.name, one.count)
    if (one.kind === DOMAIN) this.#writer.unexpected(one.feature, String(one.value))
    else if (one.kind === BIG || one.kind === SMALL) this.#writer.outOfRange(one.feature, Number(one.value))
  }

  /** Rows of a window, where somebody said how many there are. */
  #volume(rows: number, time: number): Alarm[] {
    const { leastRows, mostRows, window } = this.#options
    const { active } = this.#state
    const check = (anomaly: string, odd: boolean, threshold: number): Alarm[] => {
      const known = active.has(`${anomaly} `)
      if (!odd) active.delete(`${anomaly} `)
      if (!odd || known) return []
      active.set(`${anomaly} `, { feature: '', anomaly, statistic: 'rows', since: time, rows: 1, count: 1, quietRows: 0, quietCount: 0 })
      return [{ time, kind: 'schema', feature: '', statistic: 'rows', score: rows, threshold, reason: `${anomaly}: ${rows} rows in ${window / 1000} s up to ${new Date(time).toISOString()}, expected ${leastRows} to ${mostRows}` }]
    }
    return [...(leastRows > 0 ? check(FEW_ROWS, rows < leastRows, leastRows) : []), ...(mostRows < Infinity ? check(MANY_ROWS, rows > mostRows, mostRows) : [])]
  }
}

/** Stamps are never 0, which is a slot nobody wrote to. */
function stampOf(index: number): number {
  return (index % 0xffff_fffe) + 1
}

/** What is tolerated of rows is odd in one request only when chance does not explain so many. */
function isOdd({ kind, count }: Found, rule: FeatureRule, rows: number): boolean {
  const tolerated = rule.ofRequest[kind]!
  if (tolerated === 0) return true
  return tolerated < 1 && count > rows * tolerated && binomialAtLeast(count, rows, tolerated) < CHANCE
}
