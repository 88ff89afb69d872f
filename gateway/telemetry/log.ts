/** weir's own log: one line an event, JSON for machines or readable for a terminal. */
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { bounded, isoTime, printable, quote, safeJson } from './text.ts'
import type { LineSink } from './writer.ts'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]
export type Fields = Readonly<Record<string, unknown>>

export interface LogOptions {
  /** Lines below this level are not made. */
  readonly level: Level
  readonly form: 'json' | 'readable'
  readonly sink: LineSink
  readonly clock: Clock
  /** In every line. */
  readonly fields?: Fields
}

/** A log that can be narrowed: `child({ route: 'fraud' })`. */
export interface RootLog extends Log {
  child(fields: Fields): RootLog
}

const MAX_MESSAGE = 4096
const MAX_VALUE = 4096
const MAX_FIELDS = 32
/** Names that are the line's own; a field that is called so gets a `_` behind it. */
const OWN = new Set(['time', 'level', 'msg'])

type Line = (time: string, level: Level, message: string, fields: Fields) => string

export function createLog(options: LogOptions): RootLog {
  return build(options, options.form === 'json' ? jsonLine : readableLine, isoTime(options.clock), options.fields ?? {})
}

function build(options: LogOptions, line: Line, now: () => string, fixed: Fields): RootLog {
  const lowest = LEVELS.indexOf(options.level)

  function at(level: Level): Log['info'] {
    if (LEVELS.indexOf(level) < lowest) return ignore
    return (message, fields) => options.sink.write(line(now(), level, bounded(message, MAX_MESSAGE), fields === undefined ? fixed : { ...fixed, ...fields }))
  }

  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => build(options, line, now, { ...fixed, ...fields }),
  }
}

function ignore(): void {}

function jsonLine(time: string, level: Level, message: string, fields: Fields): string {
  let line = `{"time":"${time}","level":"${level}","msg":${quote(message)}`
  for (const [name, value] of entries(fields)) line += `,${quote(OWN.has(name) ? `${name}_` : name)}:${json(value)}`
  return `${line}}`
}

function readableLine(time: string, level: Level, message: string, fields: Fields): string {
  let line = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${printable(message)}`
  for (const [name, value] of entries(fields)) line += `  ${printable(name)}=${typeof value === 'string' && WORD.test(value) ? value : json(value)}`
  return line
}

const WORD = /^[\w./:@+-]{1,200}$/

function entries(fields: Fields): [string, unknown][] {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .slice(0, MAX_FIELDS)
}

/** JSON of any value whatever: a log line must not throw, and one value must not fill the disk. */
function json(value: unknown): string {
  if (typeof value === 'string') return quote(bounded(value, MAX_VALUE))
  if (typeof value === 'number' && !Number.isFinite(value)) return `"${value}"`
  const text = serialised(value)
  return text.length <= MAX_VALUE ? safeJson(text) : quote(bounded(text, MAX_VALUE))
}

function serialised(value: unknown): string {
  try {
    return JSON.stringify(value, plain) ?? quote(String(value))
  } catch (error) {
    return quote(`cannot be written: ${error instanceof Error ? error.message : 'its toJSON threw'}`)
  }
}

/** What JSON cannot carry, as something it can. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error) return { name: value.name, message: value.message, ...('code' in value ? { code: value.code } : {}), stack: value.stack, cause: value.cause }
  if (value instanceof Map) return Object.fromEntries(value)
  if (value instanceof Set) return [...value]
  return value
}
