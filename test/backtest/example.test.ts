/** The example of the docs: its data are what their generator says, its profile is of the training data, and the backtest finds what was put in. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readProfile } from '../../gateway/profile/check.ts'
import { CHANGED, traffic, training } from './example_data.ts'
import { run } from './setup.ts'

const example = join(import.meta.dirname, '../../config/examples')
const DAY_MS = 86_400_000

test('the files are of the generator', () => {
  expect(readFileSync(join(example, 'backtest/traffic.csv'), 'utf8')).toBe(traffic())
  const charges = training().trim().split('\n').slice(1).map((line) => Number(line.split(',')[3]))
  const { source, features } = readProfile(join(example, 'backtest/profile.json'))
  expect(source.rows).toBe(charges.length)
  expect(features['monthly_charge']!.numeric!.mean).toBeCloseTo(charges.reduce((sum, x) => sum + x, 0) / charges.length, 6)
  expect(features['churn']!.role).toBe('label')
})

test('the plan that is new and the charges that rose are found within a day, nothing else', async () => {
  const { code, report } = await run(join(example, 'backtest/traffic.csv'), join(example, 'backtest.yaml'), '--route churn --label churn --json')
  expect([code, report.rows]).toEqual([0, 960])
  expect(report.alarms.map(({ kind, feature }) => `${kind} ${feature}`).sort()).toEqual(['drift monthly_charge', 'drift plan', 'schema plan'])
  for (const { time, feature, reason } of report.alarms) {
    expect(Date.parse(time)).toBeGreaterThan(CHANGED)
    expect(Date.parse(time)).toBeLessThanOrEqual(CHANGED + DAY_MS)
    expect(reason).toContain(feature === 'plan' ? '"student"' : 'moved up')
  }
})
