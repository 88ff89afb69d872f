/** An outlier model over a file: a model inside is asked, on the time of the file; what an HTTP server would say is not made up of what the file says of the route. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { normals, numbers, profileOf, random, times } from '../monitor/drift/profiles.ts'
import { configOf, file, jsonl, run } from './setup.ts'

const forest = join(import.meta.dirname, '../fixtures/outliers')
const golden = JSON.parse(readFileSync(join(forest, 'golden.json'), 'utf8')) as { columns: string[]; rows: number[][]; labels: number[] }
const START = Date.UTC(2026, 2, 2)
const FROM = START + 30 * 3_600_000
const MINUTES = 2 * 24 * 60

const z = normals(2)
const profile = (): string => file(JSON.stringify(profileOf(Object.fromEntries(golden.columns.map((name) => [name, numbers(times(500, () => z()))])), 5000)), 'p.json')

/** Two days, a row a minute; 5 % of them outliers to scikit-learn, from the second morning on 40 %. */
function rows(): string {
  const u = random(3)
  const [usual, far] = [golden.rows.filter((_, i) => golden.labels[i] === 1), golden.rows.filter((_, i) => golden.labels[i] === -1)]
  return file(jsonl(times(MINUTES, (i) => {
    const time = START + i * 60_000
    const from = u() < (time < FROM ? 0.05 : 0.4) ? far : usual
    const row = from[i % from.length]!
    return { time: new Date(time).toISOString(), ...Object.fromEntries(golden.columns.map((name, c) => [name, row[c]])), score: -1 }
  })))
}

const plugin = (path: string): string => `{ drift: { profile: ${path}, window: 1h, compare: [], outliers: { model: { backend: other, sample: 100%, usual: 5% } } } }`

test('a model inside finds what scikit-learn finds, when it begins', async () => {
  const config = configOf([plugin(profile())], { backend: `{ answer: { json: {} } }\n  other: { onnx: ${join(forest, 'model.onnx')}, columns: [${golden.columns.join()}] }` })
  const { code, report, error } = await run(rows(), config, '--json --prediction score')
  expect(error).toBe('')
  expect(report.rows).toBe(MINUTES)
  expect(report.alarms.map(({ time, kind, feature, statistic }) => [time, kind, feature, statistic])).toEqual([[new Date(FROM + 3_600_000).toISOString(), 'outlier', '', 'outlier_share']])
  expect(report.alarms[0]!.reason).toMatch(/"other" takes \d+ of (59|60|61) scored rows/)
  expect(code).toBe(0)
})

test('an HTTP server is not asked, and says nothing', async () => {
  const config = configOf([plugin(profile())], { backend: '{ url: "http://127.0.0.1:1" }\n  other: { url: "http://127.0.0.1:2" }' })
  const { report } = await run(rows(), config, '--json --prediction score')
  expect(report.rows).toBe(MINUTES)
  expect(report.alarms).toEqual([])
})
