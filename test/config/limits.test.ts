/** The table of limits against the code: what it says is there, and what is there it says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { generateLimits, GROUPS, type Row, type Schema, schemaAt } from '../../config/generate_limits.ts'
import { fileSchema } from '../../config/schema.ts'
import { type Code, codes } from '../../gateway/errors.ts'
import type { Declarations } from '../../gateway/metrics.ts'
import * as vital from '../../gateway/vital.ts'
import { plugins } from '../../plugins/index.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'config/limits.md'), 'utf8')
const rows: readonly Row[] = Object.values(GROUPS).flat()
const listed = new Set(rows.flatMap((row) => ('option' in row ? [row.option] : [])))

/** Cells of every line of the page's tables. */
const lines = page.split('\n').filter((line) => line.startsWith('| ')).map((line) => line.slice(2, -2).split(/(?<!\\) \| /))
const limitLine = (name: string) => lines.find(([first]) => first === `\`${name}\``)

/** Leaves of the schema: options that hold a value of their own. */
function leaves(schema: Schema & { readonly 'x-weir'?: string }, path: string): { path: string; schema: Schema & { readonly 'x-weir'?: string } }[] {
  const inner = [
    ...Object.entries(schema.properties ?? {}).map(([key, below]) => [`${path === '' ? '' : `${path}.`}${key}`, below] as const),
    ...Object.values(schema.patternProperties ?? {}).map((below) => [`${path}.NAME`, below] as const),
    ...(schema.items === undefined ? [] : [[`${path}[]`, schema.items] as const]),
    ...(schema['x-weir'] === undefined ? (schema.anyOf ?? []).map((below) => [path, below] as const) : []),
  ]
  const own = inner.every(([below]) => below === path) ? [{ path, schema }] : []
  return [...own, ...inner.flatMap(([at, below]) => leaves(below, at))]
}

const all = [...leaves(fileSchema([]) as Schema, ''), ...[...plugins.values()].flatMap(({ name, config }) => leaves(config as Schema, `plugins.${name}`))]

/** Times and sizes that bound nothing. */
const NO_LIMITS: Readonly<Record<string, string>> = {
  'models.watch': 'how often',
  'backends.NAME.health.interval': 'how often',
  'backends.NAME.dns_refresh': 'how often',
  'backends.NAME.ejection.window': 'what is looked at',
  'backends.NAME.ejection.base': 'how long at first; `max` is the limit',
  'backends.NAME.throttle.window': 'what is looked at',
  'backends.NAME.slow_start': 'how slowly',
  'sinks.NAME.delivery.backoff': 'how long at first; `max_backoff` is the limit',
  'plugins.hedge.delay.min': 'when',
  'plugins.drift.window': 'what is looked at',
  'plugins.drift.season': 'what is looked at',
  'plugins.drift.outliers.fence': 'what counts as an outlier',
  'plugins.schema.window': 'what is looked at',
  'plugins.labels.window': 'what is looked at',
  'plugins.labels.span': 'what is looked at',
  'plugins.labels.delay': 'when',
  'plugins.drift.save_every': 'how often',
  'plugins.labels.save_every': 'how often',
  'plugins.fault.delay.fixed': 'what is done on purpose',
  'plugins.fault.cut.after': 'what is done on purpose',
}

/** What a caller gets because something was too large, too much or too late, whatever the table says. */
const LIMIT_STATUSES = [408, 413, 414, 429, 431]
const limitCodes = Object.entries(codes).filter(([, { status, reason }]) => reason === 'timeout' || reason === 'overload' || LIMIT_STATUSES.includes(status)).map(([code]) => code)

test('the page is what the code says; `npm run gen` writes it', () => {
  expect(page).toBe(generateLimits().get('config/limits.md'))
})

describe('from the code to the table', () => {
  test('every code that tells of a limit is that of a row', () => {
    expect(limitCodes.length).toBeGreaterThan(12)
    const named = new Set<string>(rows.flatMap((row) => row.codes))
    expect(limitCodes.filter((code) => !named.has(code))).toEqual([])
  })

  test('every time and size of the file, and whatever calls itself the most, is a row or no limit', () => {
    const bounding = all.filter(({ schema }) => schema['x-weir'] === 'duration' || schema['x-weir'] === 'size' || /\b(Most|Longest|Largest)\b|\bbeyond\b/.test(schema.description ?? ''))
    expect(bounding.length).toBeGreaterThan(40)
    expect([...new Set(bounding.map(({ path }) => path))].filter((path) => !listed.has(path) && NO_LIMITS[path] === undefined)).toEqual([])
  })

  test('what is listed as no limit is in the schema, and not in the table', () => {
    for (const path of Object.keys(NO_LIMITS)) {
      expect(all.map((leaf) => leaf.path)).toContain(path)
      expect(listed).not.toContain(path)
    }
  })

  test('every error code has its line, as in errors.ts', () => {
    for (const [code, { status, reason, meaning }] of Object.entries(codes)) expect(lines.find(([first]) => first === `\`${code}\``)?.slice(0, 5)).toMatchObject([`\`${code}\``, String(status), reason, expect.any(String), meaning])
  })
})

describe('from the table to the code', () => {
  test('no limit is there twice', () => {
    const names = rows.map((row) => ('option' in row ? row.option : `${row.at} ${row.bounds}`))
    expect(new Set(names).size).toBe(names.length)
  })

  test.each([...listed])('%s has the default of the schema', (path) => {
    const usual = schemaAt(path).default
    expect(limitLine(path)?.[1]).toBe(usual === undefined ? 'none' : String(usual))
  })

  test.each(rows.flatMap((row) => ('fixed' in row ? [[row.at, row] as const] : [])))('%s stands there, with this value', (at, row) => {
    const [file, name] = at.split(': ') as [string, string]
    expect(readFileSync(join(root, file), 'utf8')).toContain(`export const ${name} = `)
    expect(row.fixed).toBeGreaterThan(0)
    expect(lines.some((cells) => cells[0] === `fixed (\`${at}\`)` && cells[2] === row.bounds)).toBe(true)
  })

  test('every row says what happens, and every metric it names is declared', () => {
    const core = Object.values(vital).flatMap((group) => (Array.isArray(group) ? [] : Object.keys(group as Declarations)))
    const own = [...plugins.values()].flatMap(({ name, metrics }) => Object.keys(metrics ?? {}).map((key) => `weir_${name}_${key}`))
    const known = new Set([...core, ...own, 'weir_series_dropped_total'])
    expect(rows.filter((row) => row.codes.length === 0 && row.effect === '')).toEqual([])
    expect(rows.flatMap((row) => row.counted).filter((name) => !known.has(name))).toEqual([])
  })

  test.each(rows.flatMap((row) => row.codes.map((code) => [code, 'option' in row ? row.option : row.at, row] as const)))('%s of %s is one that callers get', (code: Code, _name, row) => {
    const line = lines.find((cells) => cells[2] === ('option' in row ? schemaAt(row.option).description : row.bounds) && (('option' in row && cells[0] === `\`${row.option}\``) || 'fixed' in row))
    expect(line?.[3]).toContain(`${codes[code].status} \`${code}\``)
  })
})
