/**
 * The data of config/examples/backtest.yaml: a training set, and four days of traffic in the last of which customers come from elsewhere.
 * Written by `node test/backtest/example_data.ts`; the profile by the command in the head of the example.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const DAY_MS = 86_400_000
const TRAIN_DAYS = 14
const DAYS = 4
/** One every six minutes. */
const ROWS_A_DAY = 240

/** mulberry32 */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @param changed from when on `plan` may be "student" and `monthly_charge` is higher, Unix milliseconds */
function rows(from: number, days: number, seed: number, changed: number): string {
  const random = seeded(seed)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const lines = Array.from({ length: days * ROWS_A_DAY }, (_, i) => {
    const time = from + (i * DAY_MS) / ROWS_A_DAY
    const age = Math.round(18 + 52 * random())
    const plan = random() < 0.5 ? 'basic' : random() < 0.6 ? 'standard' : 'premium'
    const charge = Math.max(5, 50 + 15 * normal() + (time >= changed ? 20 : 0))
    const student = random() < 0.2 && time >= changed
    const churn = random() < 0.2 ? 1 : 0
    return `${new Date(time).toISOString()},${age},${student ? 'student' : plan},${charge.toFixed(2)},${churn}\n`
  })
  return `time,age,plan,monthly_charge,churn\n${lines.join('')}`
}

export const training = (): string => rows(Date.UTC(2026, 1, 2), TRAIN_DAYS, 1, Infinity)
export const CHANGED = Date.UTC(2026, 2, 5)
export const traffic = (): string => rows(Date.UTC(2026, 2, 2), DAYS, 2, CHANGED)

if (import.meta.main) {
  const example = join(import.meta.dirname, '../../config/examples/backtest')
  writeFileSync(join(example, 'traffic.csv'), traffic())
  const train = join(mkdtempSync('/tmp/weir-example-'), 'train.csv')
  writeFileSync(train, training())
  process.stdout.write(`${train}\n`)
}
