/** config/telemetry.md against the code, both ways. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { accessLog, type ExchangeRecord } from '../../gateway/telemetry/access.ts'
import { endings, MARK_FLAGS } from '../../gateway/telemetry/endings.ts'
import { EXPORT_MS, MAX_SPANS } from '../../gateway/telemetry/tracer.ts'
import { BATCH } from '../../gateway/telemetry/tracing/batches.ts'
import { TRACE_EVENTS } from '../../gateway/trace.ts'
import { FakeClock } from '../fake_clock.ts'
import { readSources, root } from '../helpers/imports.ts'

const page = readFileSync(join(root, 'config/telemetry.md'), 'utf8')

/** Names in the first cells of the table with this heading. */
function namesOf(heading: string): string[] {
  const table = page.slice(page.indexOf(`| ${heading} |`)).split('\n\n')[0]!
  return table.split('\n').slice(2).flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))
}

it('fields are those of a line, in its order', () => {
  const record: ExchangeRecord = {
    request_id: '', inference_id: '', client: '', method: '', target: '', protocol: '', host: '', status: 200, code: null, flags: null, phase: 'done', ended_by: 'weir', route: '', backend: '',
    upstream: '', arm: '', attempts: 0, fallback: '', bytes_received: 0, bytes_sent: 0, duration_ms: 0, backend_ms: 0, ttfb_ms: 0, model: '', model_version: '',
  }
  let line = ''
  accessLog({ write: (text) => void (line = text) }, new FakeClock())(record)
  expect(namesOf('field').sort()).toEqual(Object.keys(JSON.parse(line) as object).sort())
})

it('flags are those of codes, of marks, and of the fault plugin', () => {
  const flags = new Set([...Object.values(endings).map(({ flag }) => flag), ...Object.values(MARK_FLAGS), 'DI', 'FI'])
  flags.delete('')
  expect(namesOf('flag')).toEqual([...flags].sort())
})

it('events are those there are, and each is sent by somebody', () => {
  expect(namesOf('event of the SERVER span').sort()).toEqual([...TRACE_EVENTS].sort())
  const code = readSources(['gateway', 'plugins']).map((source) => source.code).join('\n')
  const sent = new Set([...code.matchAll(/trace\?\.event\('(\w+)'/g)].map(([, name]) => name))
  expect([...sent].sort()).toEqual([...TRACE_EVENTS].sort())
})

it('marks are those of the code', () => {
  const told = page.slice(page.indexOf('Marks:'), page.indexOf('## Traces'))
  // What commands print is for no access log.
  const code = readSources(['gateway', 'plugins']).filter(({ file }) => !file.startsWith('gateway/command/')).map((source) => source.code).join('\n')
  const made = new Set([...code.matchAll(/(?:push|mark)\((?:x, )?['`]([a-z_]+(?::[^'`]+)?)['`]\)/g)].map(([, mark]) => mark!.replace(/\$\{.*/, '')))
  expect(made.size).toBeGreaterThan(4)
  for (const mark of made) expect(told).toContain(`\`${mark}`)
})

it('numbers', () => {
  expect([MAX_SPANS, EXPORT_MS, BATCH <= MAX_SPANS]).toEqual([2048, 10_000, true])
  expect(page).toContain('2,048 spans')
  expect(page).toContain('within 10 s')
})
