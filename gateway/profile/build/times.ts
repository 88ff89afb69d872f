/** What is a time, and when it is. */
import type { Cell } from '../read/table.ts'

/** ISO 8601 as data sets have it: a date, a date and a time; without a zone it is UTC. */
const ISO = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/
const ZONE = /(?:Z|[+-]\d\d:?\d\d)$/
/** Names under which numbers are taken for seconds, milliseconds, … since 1970. */
const NAMED = /(?:^|_)(?:time|timestamp|ts|datetime|date|epoch)(?:_|$)|_at$/i
/** 1990-01-01 and 2100-01-01 in seconds. */
const EARLIEST_S = 631_152_000
const LATEST_S = 4_102_444_800
const UNITS = [1, 1e3, 1e6, 1e9]

export function isTimeName(name: string): boolean {
  return NAMED.test(name)
}

export function isTimeText(text: string): boolean {
  return text.length >= 10 && ISO.test(text) && !Number.isNaN(parse(text))
}

/** Whether a number may be a time since 1970, in seconds down to nanoseconds. */
export function isEpoch(value: number): boolean {
  return Number.isInteger(value) && !Number.isNaN(epochMs(value))
}

/** Unix milliseconds; NaN: it is no time. */
export function timeOf(cell: Cell): number {
  if (typeof cell === 'string') return cell.length >= 10 && ISO.test(cell) ? parse(cell) : NaN
  return typeof cell === 'number' || typeof cell === 'bigint' ? epochMs(Number(cell)) : NaN
}

function epochMs(value: number): number {
  for (const unit of UNITS) if (value >= EARLIEST_S * unit && value < LATEST_S * unit) return (value / unit) * 1000
  return NaN
}

function parse(text: string): number {
  return Date.parse(text.length > 10 && !ZONE.test(text) ? `${text.replace(' ', 'T')}Z` : text)
}
