/** Two weeks of traffic against the training data, with and without changes from day 8 on (ground_truth.json beside the data). */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { rulesOf } from '../../../gateway/monitor/schema/rules.ts'
import type { FeatureProfile, Profile } from '../../../gateway/profile/profile.ts'
import { HOUR, MONDAY, numeric, profileOf, stand, texts } from './setup.ts'

const DAY_8 = MONDAY + 7 * 24 * HOUR

function findData(): string | null {
  const root = process.env.WEIR_TEST_DATA
  if (root === undefined) return null
  return [root, join(root, 'data')].find((folder) => existsSync(join(folder, 'churn/serve_drifted.jsonl'))) ?? null
}

const data = findData()
if (data === null) console.log('left out: schema on two weeks of traffic (WEIR_TEST_DATA names no folder that has churn/serve_drifted.jsonl)')

/** The cells of these files hold no quotes. */
function train(name: string, label: string): Profile {
  const [header, ...lines] = readFileSync(join(data!, name, 'train.csv'), 'utf8').trim().split('\n').map((line) => line.split(','))
  return profileOf(Object.fromEntries(header!.map((column, i) => [column, featureOf(lines.map((line) => line[i]!), column === 'time' ? 'time' : column === label ? 'label' : 'feature')])))
}

function featureOf(cells: readonly string[], role: FeatureProfile['role']): FeatureProfile {
  if (role === 'time') return { ...texts('x'), role, categorical: null }
  const numbers = cells.map(Number)
  if (numbers.some(Number.isNaN)) return { ...texts(...new Set(cells)), role }
  const sorted = numbers.toSorted((a, b) => a - b)
  const at = (p: number) => sorted[Math.floor(p * (sorted.length - 1))]!
  const iqr = at(0.75) - at(0.25)
  const feature = numeric(sorted[0]!, sorted.at(-1)!)
  return { ...feature, role, numeric: { ...feature.numeric!, soft: [at(0.001) - 3 * iqr, at(0.999) + 3 * iqr] } }
}

function replay(name: string, label: string, file: string, window: number) {
  const one = stand(rulesOf(train(name, label), {}, 0.001), { window })
  let next = MONDAY
  one.close(MONDAY)
  for (const line of readFileSync(join(data!, name, file), 'utf8').trim().split('\n')) {
    const row = JSON.parse(line) as { time: string }
    const time = Date.parse(row.time)
    for (; next <= time; next += Math.min(window, HOUR)) one.close(next)
    one.observe(row, time)
  }
  one.close(next + 2 * window)
  return one
}

describe.skipIf(data === null).each([
  ['churn', 'churn', ['age null_share', 'payment_method unexpected_share'], '"wallet"'],
  ['fraud', 'fraud', ['channel unexpected_share', 'distance_km_home null_share'], '"wallet_qr"'],
])('%s', (name, label, changed, value) => {
  test.each([1 / 60, 5 / 60, 1, 24])('windows of %f h: nothing in two weeks like the training data', (hours) => {
    expect(replay(name, label, 'serve.jsonl', hours * HOUR).alarms).toEqual([])
  })

  test.each([1 / 60, 5 / 60, 1, 24])('windows of %f h: within a day what changed, and nothing else, once', (hours) => {
    const { alarms, ended } = replay(name, label, 'serve_drifted.jsonl', hours * HOUR)
    expect(alarms.map(({ feature, statistic }) => `${feature} ${statistic}`).sort()).toEqual(changed)
    for (const { time } of alarms) {
      expect(time).toBeGreaterThan(DAY_8)
      expect(time).toBeLessThanOrEqual(DAY_8 + 24 * HOUR)
    }
    expect(alarms.find(({ statistic }) => statistic === 'unexpected_share')!.reason).toContain(value)
    expect(ended).toEqual([])
  })
})
