/** A backtest as a program: files in, exit code and what was written out. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { nearest } from '../../config/issues.ts'
import { parseCommand } from '../../gateway/command/arguments.ts'
import { backtest } from '../../gateway/command/backtest.ts'
import type { BacktestOrder } from '../../gateway/command/orders.ts'

export interface Told {
  readonly time: string
  readonly kind: string
  readonly feature: string
  readonly statistic: string
  readonly score: number
  readonly threshold: number
  readonly reason: string
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly error: string
  readonly report: { readonly rows: number; readonly alarms: readonly Told[] }
}

export const teller = join(import.meta.dirname, '../fixtures/backtest/teller.js')
export const models = join(import.meta.dirname, '../fixtures/models')

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'weir-backtest-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export function file(content: string | Buffer, name = 'rows.jsonl', into = folder()): string {
  const path = join(into, name)
  writeFileSync(path, content)
  return path
}

export function jsonl(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
}

/** One route `r` that answers `{score: 0.5}`, with these plugins (YAML, one each). */
export function configOf(plugins: readonly string[], { format = 'rows', backend = '{ answer: { json: { score: 0.5 } } }', path = '/r', more = '' } = {}): string {
  return file(
    `listen: 127.0.0.1:0\n${more}\nbackends:\n  b: ${backend}\nroutes:\n  - name: r\n    match: { method: POST, path: ${path} }\n    backend: b\n    format: ${format}\n    plugins:\n${plugins.map((plugin) => `      - ${plugin}\n`).join('')}`,
    'weir.yaml',
  )
}

export const TELLER = `{ use: ${teller}, options: {} }`

/** @param words what stands behind `--config FILE --route r --json` */
export async function run(path: string, config: string, words = '--json'): Promise<Ran> {
  const order = parseCommand(['backtest', path, '--config', config, ...(words.includes('--route') ? [] : ['--route', 'r']), ...words.split(' ').filter((word) => word !== '')], nearest) as { name: string } & BacktestOrder
  let [out, error] = ['', '']
  const code = await backtest(order, { env: {}, version: '0', out: (text) => (out += text), error: (text) => (error += text), on: () => undefined })
  return { code, out, error, report: order.json && out !== '' ? (JSON.parse(out) as Ran['report']) : { rows: 0, alarms: [] } }
}

/** What the plugin `teller` told of each exchange. */
export function seen({ report }: Ran): { readonly at: string; readonly id: string; readonly [key: string]: unknown }[] {
  return report.alarms.filter(({ kind, feature }) => kind === 'outlier' && feature !== 'label').map(({ time, feature, reason }) => ({ at: time, id: feature, ...(JSON.parse(reason) as Record<string, unknown>) }))
}
