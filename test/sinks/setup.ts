/** What tests of sinks share: a folder of their own, a log that is read, and every line that lies in a folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Log } from '../../gateway/plugin.ts'
import type { SinkDeps } from '../../gateway/records/sink.ts'
import { FakeClock } from '../fake_clock.ts'

export interface Scratch {
  readonly path: string
  remove(): void
}

export function scratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), 'weir-sinks-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export interface Deps extends SinkDeps {
  readonly clock: FakeClock
  readonly lines: string[]
}

export function deps(clock = new FakeClock()): Deps {
  const lines: string[] = []
  const write = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => void lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  return { clock, log, lines }
}

/** Paths below a folder, those of readers: names with a dot in front are left out. */
export function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.')).map((entry) => relative(folder, join(entry.parentPath, entry.name))).toSorted()
}

export function textIn(file: string): string {
  const bytes = readFileSync(file)
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
}

/** Every line of every file, parsed. */
export function rowsIn(folder: string): Record<string, unknown>[] {
  return filesIn(folder).flatMap((file) => textIn(join(folder, file)).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>))
}

export const spool = { max_bytes: 1 << 30, segment_bytes: 8 << 20, segment_ms: 1000, fsync: 'seal' } as const
