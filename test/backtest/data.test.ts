/**
 * Four models on two weeks of traffic: a profile of the training data by `weir profile`, then `weir backtest` with the monitors a user would
 * write. What changed, when and why is in ground_truth.json beside the data; everything else is a false alarm. `WEIR_PROOF=full`: in seven
 * configurations.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { nearest } from '../../config/issues.ts'
import { parseCommand } from '../../gateway/command/arguments.ts'
import type { ProfileOrder } from '../../gateway/command/orders.ts'
import { profile } from '../../gateway/command/profile.ts'
import { file, type Ran, run, type Told } from './setup.ts'

const DAY_8 = Date.UTC(2026, 2, 9)
const DAY_MS = 86_400_000
const MATRIX: Readonly<Record<string, readonly string[]>> = {
  fraud: ['amount', 'amount_avg_30d', 'amount_ratio', 'txn_count_1h', 'txn_count_24h', 'distance_km_home', 'minutes_since_last', 'merchant_risk', 'ip_risk', 'device_age_days', 'account_age_days', 'failed_logins_24h'],
  ranker: ['price', 'distance_km', 'rating', 'review_count', 'days_listed', 'seller_is_new', 'ctr_7d', 'conversion_7d', 'photo_count', 'response_rate', 'category_match', 'price_vs_median'],
}

interface Drift {
  readonly column: string
  readonly kind: 'mean_shift' | 'new_category' | 'nulls' | 'label_rate'
  readonly category?: string
}

function findData(): string | null {
  const root = process.env.WEIR_TEST_DATA
  return root !== undefined && existsSync(join(root, 'data/churn/serve_drifted.jsonl')) && existsSync(join(root, 'models/churn/1/model.onnx')) ? root : null
}

const found = findData()
if (found === null) console.log('left out: backtests on two weeks of traffic (WEIR_TEST_DATA names no folder that has data/churn/serve_drifted.jsonl and models/churn)')

const labelOf = (set: string): string => (set === 'churn' || set === 'fraud' ? set : 'label')
const truth = (set: string): readonly Drift[] => (JSON.parse(readFileSync(join(found!, 'data/ground_truth.json'), 'utf8')) as Record<string, { drift: Drift[] }>)[`${set}/serve_drifted.jsonl`]!.drift

const profiles = new Map<string, Promise<string>>()
const into = found === null ? '' : mkdtempSync(join(tmpdir(), 'weir-backtest-'))
afterAll(() => rmSync(into, { recursive: true, force: true }))

/** Made once a data set. */
function profileFor(set: string): Promise<string> {
  const known = profiles.get(set) ?? makeProfile(set, join(into, `${set}.json`))
  profiles.set(set, known)
  return known
}

async function makeProfile(set: string, to: string): Promise<string> {
  const words = ['profile', join(found!, 'data', set, 'train.csv'), '--time', 'time', '--label', labelOf(set), '-o', to]
  expect(await profile(parseCommand(words, nearest) as { name: string } & ProfileOrder, { env: {}, version: '0', out: () => undefined, error: () => undefined, on: () => undefined })).toBe(0)
  return to
}

async function configFor(set: string, monitors: readonly string[], window: string): Promise<string> {
  const made = await profileFor(set)
  const header = readFileSync(join(found!, 'data', set, 'train.csv'), 'utf8').split('\n', 1)[0]!.split(',')
  const columns = set === 'churn' ? '' : `, columns: [${(MATRIX[set] ?? header.filter((name) => name !== 'time' && name !== 'label')).join(', ')}]`
  const options: Readonly<Record<string, string>> = { labels: set === 'ranker' ? ', prediction: output.score, kind: regression' : ', prediction: output.probabilities' }
  const keep = (name: string): string => (name === 'labels' && window.includes('5m') ? ', keep: 2d' : '')
  const plugins = monitors.map((name) => `      - ${name}: { profile: ${made}${window}${options[name] ?? ''}${keep(name)} }\n`)
  return file(`backends:\n  m: { onnx: "${join(found!, 'models', set, '1/model.onnx')}"${columns} }\nroutes:\n  - name: r\n    match: { method: POST, path: /r }\n    backend: m\n    format: rows\n    plugins:\n${plugins.join('')}`, 'weir.yaml')
}

const ALL = ['schema', 'drift', 'labels']
/** Each runs two weeks six times, so that only the first is for every day. */
const CONFIGURATIONS: readonly (readonly [string, readonly string[], string])[] = [
  ['everything on defaults', ALL, ''],
  ['windows of 5m', ALL, ', window: 5m'],
  ['windows of 1h', ALL, ', window: 1h'],
  ['windows of 1d', ALL, ', window: 1d'],
  ['schema alone', ['schema'], ''],
  ['drift alone', ['drift'], ''],
  ['labels alone', ['labels'], ''],
]

const backtest = async (set: string, rows: string, monitors: readonly string[], window: string): Promise<Ran> =>
  run(join(found!, 'data', set, rows), await configFor(set, monitors, window), `--label ${labelOf(set)} --json`)

describe.skipIf(found === null).each(process.env['WEIR_PROOF'] === 'full' ? CONFIGURATIONS : CONFIGURATIONS.slice(0, 1))('%s', { timeout: 120_000 }, (_name, monitors, window) => {
  test.each(['churn', 'fraud', 'cancer', 'ranker'])('%s: traffic like the training data raises no alarm in two weeks', async (set) => {
    const { code, report } = await backtest(set, 'serve.jsonl', monitors, window)
    expect([code, report.alarms]).toEqual([0, []])
    expect(report.rows).toBe({ churn: 8400, fraud: 14_000, cancer: 169, ranker: 8039 }[set])
  })

  test.each(['churn', 'fraud'])('%s: what changed on day 8 is named within a day, with its cause, and nothing else', async (set) => {
    const { code, report } = await backtest(set, 'serve_drifted.jsonl', monitors, window)
    expect(code).toBe(0)
    for (const { time } of report.alarms) {
      expect(Date.parse(time)).toBeGreaterThan(DAY_8)
      expect(Date.parse(time)).toBeLessThanOrEqual(DAY_8 + DAY_MS)
    }
    const expected = truth(set).flatMap((drift) => alarmsOf(drift).filter(({ monitor }) => monitors.includes(monitor)).map(({ kind }) => `${kind} ${drift.column}`))
    expect(report.alarms.map(({ kind, feature }) => `${kind} ${feature}`).sort()).toEqual(expected.sort())
    for (const alarm of report.alarms) expectCause(alarm, truth(set).find(({ column }) => column === alarm.feature)!)
  })
})

/** Who has to find it. */
function alarmsOf({ kind }: Drift): { readonly monitor: string; readonly kind: string }[] {
  if (kind === 'label_rate') return [{ monitor: 'labels', kind: 'label' }]
  return [{ monitor: 'drift', kind: 'drift' }, ...(kind === 'mean_shift' ? [] : [{ monitor: 'schema', kind: 'schema' }])]
}

function expectCause({ reason }: Told, { kind, category }: Drift): void {
  if (kind === 'new_category') expect(reason).toContain(`"${category!}"`)
  else expect(reason).toMatch({ nulls: /is null|has no value/, mean_shift: /moved up/, label_rate: /times/ }[kind])
}
