/** The engine by itself: memory for several threads, a clock that is a number, labels as texts. */
import type { Baseline } from '../../../gateway/monitor/quality/baseline.ts'
import { labelReader } from '../../../gateway/monitor/quality/entries.ts'
import { idBytes } from '../../../gateway/monitor/quality/ids.ts'
import { type Active, Judge, type JudgeOptions } from '../../../gateway/monitor/quality/judge.ts'
import { layoutOf } from '../../../gateway/monitor/quality/layout.ts'
import { type Outcome, Quality } from '../../../gateway/monitor/quality/quality.ts'
import type { Receipt } from '../../../gateway/monitor/quality/receipt.ts'
import { Review } from '../../../gateway/monitor/quality/review.ts'
import { ringBytes } from '../../../gateway/monitor/quality/ring.ts'
import { type Setup, widthOf, windowsOf } from '../../../gateway/monitor/quality/setup.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
export const MONDAY = Date.UTC(2026, 2, 2)

const PLAIN: Setup = { kind: 'binary', window: HOUR, keep: 7 * DAY, span: DAY, delay: 0, thresholds: [0.5], classes: [], groups: [], k: 10, exponential: false, duplicates: 'first', grid: null }

export interface Options {
  readonly setup?: Partial<Setup>
  readonly judge?: Partial<JudgeOptions>
  readonly baseline?: Baseline
  readonly threads?: number
  readonly maxIds?: number
  readonly positive?: string
  readonly negative?: string
}

export function stand({ setup: given = {}, judge = {}, baseline, threads = 1, maxIds = 100_000, positive, negative }: Options = {}) {
  const setup: Setup = { ...PLAIN, ...given }
  const ids = new SharedArrayBuffer(idBytes(maxIds, widthOf(setup)))
  const parts = Array.from({ length: threads }, () => new SharedArrayBuffer(ringBytes(windowsOf(setup), layoutOf(setup).size * (setup.groups.length + 1))))
  const delays: number[] = []
  const engines = parts.map((ring) => new Quality(setup, { ids, ring }, maxIds, labelReader(setup, positive, negative), (delay) => delays.push(delay)))
  const active: Active = new Map()
  const options: JudgeOptions = { budget: 1, window: setup.window, span: setup.span, least: 100, limits: {}, ratio: 1.5, distance: 0.1, baseline: baseline ?? null, column: baseline?.column ?? 'label', ...judge }
  const review = new Review(setup, parts, new Judge(options, setup.groups.length + 1, active), MONDAY)
  return {
    setup, engines, review, delays, active, parts, ids,
    predict(id: string, scores: number | readonly number[], time = MONDAY, { thread = 0, group = 0, rows = 1 } = {}): string[] {
      const told: string[] = []
      engines[thread]!.predict(id, typeof scores === 'number' ? [scores] : scores, rows, time, group, (outcome) => told.push(outcome))
      return told
    },
    label(id: string, label: unknown, now = MONDAY, { thread = 0, row = null as number | null, receipt = null as Receipt | null, time = null as number | null, group = 0 } = {}): string {
      const outcome: Outcome = { accepted: 0, unknown: 0, duplicate: 0, late: 0 }
      const reason = engines[thread]!.label({ index: 0, id, receipt: '', row, label, time }, receipt, group, now, outcome)
      return reason ?? Object.entries(outcome).filter(([, count]) => count > 0).map(([name, count]) => (count === 1 ? name : `${name} ${count}`)).join(', ')
    },
  }
}
