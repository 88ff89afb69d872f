import { expect, test } from 'vitest'
import type { Alarm } from '../../gateway/alarm.ts'
import { Registry, totals } from '../../gateway/metrics.ts'
import { Alarms } from '../../gateway/telemetry/alarms.ts'
import { alarmMetrics } from '../../gateway/vital.ts'
import { recorder } from '../plugin_test.ts'

const alarm = (time: number): Alarm => ({ time, kind: 'drift', feature: 'age', statistic: 'null_share', score: 0.2, threshold: 0.01, reason: 'nulls of "age" rose' })

test('an alarm is told in the log, counted by route and kind, and kept; only the last 200 are', () => {
  const { log, lines } = recorder()
  const registry = new Registry()
  const alarms = new Alarms(log, registry.handles(alarmMetrics))
  for (let i = 0; i < 201; i++) alarms.raise('churn', 'drift', alarm(i))
  expect(lines[0]).toEqual({ level: 'warn', message: 'nulls of "age" rose', fields: { alarm: 'drift', route: 'churn', plugin: 'drift', feature: 'age', statistic: 'null_share', score: 0.2, threshold: 0.01 } })
  expect(totals([registry.view()], 'weir_alarms_total')).toMatchObject([{ labels: { route: 'churn', kind: 'drift' }, value: 201 }])
  expect(alarms.recent.map(({ time }) => time)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
})
