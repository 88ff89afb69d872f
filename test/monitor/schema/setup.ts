/** A schema over rows of JSON, on a clock that the test turns. */
import type { Alarm } from '../../../gateway/alarm.ts'
import { Fields } from '../../../gateway/headers.ts'
import { alarmState, type Ended } from '../../../gateway/monitor/schema/alarms.ts'
import { type Anomaly, schemaBytes, SchemaMonitor, type SchemaOptions } from '../../../gateway/monitor/schema/monitor.ts'
import { type RuleOptions, type Rules, rulesOf } from '../../../gateway/monitor/schema/rules.ts'
import type { Columns } from '../../../gateway/payload/columns.ts'
import { rows } from '../../../gateway/payload/rows.ts'
import type { FeatureProfile, Profile } from '../../../gateway/profile/profile.ts'

export const HOUR = 3_600_000
export const MONDAY = Date.parse('2026-03-02T00:00:00Z')
const USUAL: SchemaOptions = { window: HOUR, budget: 1, tolerance: 0.001, newColumns: false, matrix: null, leastRows: 0, mostRows: Infinity }

export function columnsOf(value: unknown): Columns {
  return rows.readRequest(Buffer.from(JSON.stringify(value)), Fields.of([]))
}

export function profileOf(features: Readonly<Record<string, FeatureProfile>>): Profile {
  return { weir_profile: 1, source: { file: 'train.csv', sha256: '', rows: 8000 }, model: null, time: null, features }
}

/** Of 8000 rows without a gap. */
export function numeric(min: number, max: number, type: 'INT' | 'FLOAT' = 'FLOAT', nulls = 0): FeatureProfile {
  const middle = (min + max) / 2
  return {
    role: 'feature', type, value_count: [1, 1], categorical: null, sentinels: [], why: [],
    presence: { rows: 8000, absent: 0, nulls, nan: 0, infinite: 0, min_fraction: nulls === 0 ? 1 : 1 - (1.5 * nulls) / 8000 },
    numeric: { count: 8000 - nulls, min, max, mean: middle, sd: (max - min) / 6, zeros: 0, quantiles: {}, hard: [min, max], soft: [min, max], grid: { centre: middle, scale: 1, cells: [] } },
  }
}

export function texts(...values: string[]): FeatureProfile {
  return {
    role: 'feature', type: 'BYTES', value_count: [1, 1], numeric: null, sentinels: [], why: [],
    presence: { rows: 8000, absent: 0, nulls: 0, nan: 0, infinite: 0, min_fraction: 1 },
    categorical: { distinct: values.length, values: values.map((value) => [value, 8000 / values.length]), other: 0, domain: true, min_domain_mass: 0.9988 },
  }
}

export interface Stand {
  readonly monitors: readonly SchemaMonitor[]
  readonly alarms: Alarm[]
  readonly ended: Ended[]
  readonly counted: Map<string, number>
  /** One request at a time of the wall clock, on one of the threads. */
  observe(value: unknown, time: number, thread?: number): readonly Anomaly[] | null
  close(time: number): void
}

export function stand(rules: Rules, options: Partial<SchemaOptions> = {}, threads = 1): Stand {
  const all = Array.from({ length: threads }, () => new SharedArrayBuffer(schemaBytes(rules)))
  const counted = new Map<string, number>()
  const count = (anomaly: string, feature: string, n: number): void => void counted.set(`${anomaly} ${feature}`, (counted.get(`${anomaly} ${feature}`) ?? 0) + n)
  const monitors = all.map((mine) => new SchemaMonitor(rules, { ...USUAL, ...options }, { mine, all }, alarmState(rules.features.length), count))
  const alarms: Alarm[] = []
  const ended: Ended[] = []
  return {
    monitors, alarms, ended, counted,
    observe: (value, time, thread = 0) => monitors[thread]!.observe(columnsOf(value), time),
    close(time) {
      const closed = monitors[0]!.close(time)
      alarms.push(...closed.alarms)
      ended.push(...closed.ended)
    },
  }
}

export function written(rules: Readonly<Record<string, RuleOptions>>, tolerance = 0.001): Rules {
  return rulesOf(null, rules, tolerance)
}
