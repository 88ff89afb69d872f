/** Reads the file of a profile and checks it, so that whoever uses one need not ask again. */
import { readFileSync, statSync } from 'node:fs'
import { nearest } from '../../config/issues.ts'
import { GRID_CELLS } from '../stats/grid.ts'
import type { Profile } from './profile.ts'

/** A profile of 10,000 columns has about 30 MB. */
const MAX_BYTES = 256 << 20
const TYPES = ['INT', 'FLOAT', 'BYTES', 'BOOL']
const ROLES = ['feature', 'identifier', 'time', 'constant', 'prediction', 'label']
const SHOWN = 60

/** @throws Error: the place in the file, what was expected there and what was found */
export function readProfile(path: string): Profile {
  return checkProfile(path, parse(path))
}

function parse(path: string): unknown {
  const text = readText(path)
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new Error(`${path}: expected a profile (JSON), as \`weir profile\` makes it: ${(error as Error).message.replace(/\s+/g, ' ')}`, { cause: error })
  }
}

function readText(path: string): string {
  try {
    const { size } = statSync(path)
    if (size <= MAX_BYTES) return readFileSync(path, 'utf8')
    throw new Error(`expected at most ${MAX_BYTES >> 20} MiB, found ${Math.ceil(size / (1 << 20))}`)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new Error(`${path}: ${missing ? 'there is no such file' : `cannot be read: ${(error as Error).message}`}`, { cause: error })
  }
}

/** @param file for messages @throws Error */
export function checkProfile(file: string, value: unknown): Profile {
  try {
    if (!Object.hasOwn(object(value, ''), 'weir_profile')) fail('', 'a profile that `weir profile` made', value)
    PROFILE(value, '')
  } catch (error) {
    throw error instanceof Mismatch ? new Error(`${file}: ${error.message}`, { cause: error }) : error
  }
  return value as Profile
}

class Mismatch extends Error {}

/** Throws a Mismatch when a value is not what it should be. */
type Check = (value: unknown, at: string) => void

function fail(at: string, expected: string, found: unknown): never {
  const shown = JSON.stringify(found) ?? 'nothing'
  throw new Mismatch(`${at === '' ? 'the file' : at}: expected ${expected}, found ${shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown}`)
}

const number: Check = (value, at) => void (Number.isFinite(value) || fail(at, 'a finite number', value))
const count: Check = (value, at) => void ((Number.isSafeInteger(value) && (value as number) >= 0) || fail(at, 'a whole number from 0', value))
const share: Check = (value, at) => void ((Number.isFinite(value) && (value as number) >= 0 && (value as number) <= 1) || fail(at, 'a share from 0 to 1', value))
const string: Check = (value, at) => void (typeof value === 'string' || fail(at, 'a text', value))
const boolean: Check = (value, at) => void (typeof value === 'boolean' || fail(at, 'true or false', value))
const positive: Check = (value, at) => void ((Number.isFinite(value) && (value as number) > 0) || fail(at, 'a number above 0', value))
const cell: Check = (value, at) => void ((Number.isInteger(value) && (value as number) >= 0 && (value as number) < GRID_CELLS) || fail(at, `a cell from 0 to ${GRID_CELLS - 1}`, value))

function oneOf(...words: readonly unknown[]): Check {
  return (value, at) => void (words.includes(value) || fail(at, `one of ${words.map((word) => JSON.stringify(word)).join(', ')}`, value))
}

function nullable(check: Check): Check {
  return (value, at) => {
    if (value !== null) check(value, at)
  }
}

function list(check: Check): Check {
  return (value, at) => {
    if (!Array.isArray(value)) fail(at, 'a list', value)
    value.forEach((item, i) => check(item, `${at}[${i}]`))
  }
}

function tuple(...checks: readonly Check[]): Check {
  return (value, at) => {
    if (!Array.isArray(value) || value.length !== checks.length) fail(at, `a list of ${checks.length}`, value)
    checks.forEach((check, i) => check((value as unknown[])[i], `${at}[${i}]`))
  }
}

/** [least, most] */
const range: Check = (value, at) => {
  tuple(number, number)(value, at)
  const [least, most] = value as [number, number]
  if (least > most) fail(at, 'the smaller number first', value)
}

function map(check: Check): Check {
  return (value, at) => {
    for (const [key, member] of Object.entries(object(value, at))) check(member, join(at, key))
  }
}

/** Members whose names end in `?` may be left out. */
function record(members: Readonly<Record<string, Check>>): Check {
  const checks = Object.entries(members).map(([name, check]) => ({ name: name.replace('?', ''), optional: name.endsWith('?'), check }))
  const names = checks.map(({ name }) => name)
  return (value, at) => {
    const found = object(value, at)
    for (const key of Object.keys(found)) if (!names.includes(key)) unknownKey(join(at, key), key, names)
    for (const { name, optional, check } of checks) if (!optional || found[name] !== undefined) check(found[name], join(at, name))
  }
}

function unknownKey(at: string, key: string, names: readonly string[]): never {
  const meant = nearest(key, names)
  throw new Mismatch(`${at}: there is no such key; ${meant === null ? `expected ${names.join(', ')}` : `did you mean "${meant}"?`}`)
}

function object(value: unknown, at: string): Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : fail(at, 'an object', value)
}

function join(at: string, key: string): string {
  const name = /^[A-Za-z_]\w*$/.test(key) ? key : JSON.stringify(key)
  return at === '' ? name : `${at}.${name}`
}

const ascendingCells: Check = (value, at) => {
  list(tuple(cell, count))(value, at)
  const cells = (value as [number, number][]).map(([index]) => index)
  const i = cells.findIndex((index, place) => place > 0 && index <= cells[place - 1]!)
  if (i > 0) fail(`${at}[${i}][0]`, `a cell above ${cells[i - 1]}`, cells[i])
}

const NUMERIC = record({
  count, min: number, max: number, mean: number, sd: number, zeros: count, quantiles: map(number), hard: range, soft: range,
  grid: record({ centre: number, scale: positive, cells: ascendingCells }),
})

const FEATURE = record({
  role: oneOf(...ROLES),
  type: oneOf(...TYPES),
  presence: record({ rows: count, absent: count, nulls: count, nan: count, infinite: count, min_fraction: share }),
  value_count: tuple(count, count),
  numeric: nullable(NUMERIC),
  categorical: nullable(record({ distinct: count, values: list(tuple(string, count)), other: count, domain: boolean, min_domain_mass: share })),
  sentinels: list(record({ value: (value, at) => (typeof value === 'string' ? undefined : number(value, at)), share, why: string })),
  'violations?': record({ values: count, examples: list(string) }),
  'floors?': map(record({ windows: count, rows: count, js_bits: map(number), l_infinity: map(number) })),
  'season?': record({ period: oneOf('1d'), unit: oneOf('sd', 'l_infinity'), low: number, high: number }),
  why: list(string),
})

const version: Check = (value) => {
  if (value !== 1) throw new Mismatch(`weir_profile: expected version 1 of profiles, found ${(JSON.stringify(value) ?? 'nothing').slice(0, SHOWN)}; this weir cannot read it, make it anew with \`weir profile\``)
}

const PROFILE = record({
  weir_profile: version,
  source: record({ file: string, sha256: string, rows: count }),
  model: nullable(record({ name: string, version: string })),
  time: nullable(record({ column: string, from: string, to: string })),
  features: map(FEATURE),
})
