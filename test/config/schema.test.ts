import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { jsonSchema } from '../../config/json_schema.ts'
import { loadConfig } from '../../config/load.ts'
import { builtIn } from '../../config/registry.ts'
import { parts } from './parts.ts'

type Schema = { readonly [key: string]: unknown }
const root = join(import.meta.dirname, '../..')

/** Every option of every object, with where it stands. */
function options(schema: unknown, path: string): [string, Schema][] {
  if (Array.isArray(schema)) return schema.flatMap((one, i) => options(one, `${path}/${i}`))
  if (typeof schema !== 'object' || schema === null) return []
  const own = Object.entries((schema as { properties?: Record<string, Schema> }).properties ?? {}).map(([key, value]): [string, Schema] => [`${path}/${key}`, value])
  return [...own, ...Object.entries(schema).flatMap(([key, value]) => options(value, `${path}/${key}`))]
}

describe('the schema for editors', () => {
  test('is the committed one', () => expect(readFileSync(join(root, 'config/weir.schema.json'), 'utf8')).toBe(jsonSchema(builtIn.values())))

  const schema = JSON.parse(jsonSchema(parts.plugins.values())) as Schema
  test('says its dialect', () => expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema'))
  test('describes every option', () => {
    const all = options(schema, '')
    expect(all.length).toBeGreaterThan(100)
    expect(all.filter(([, option]) => typeof option['description'] !== 'string' || option['description'] === '').map(([path]) => path)).toEqual([])
  })
  test('knows the plugins', () => {
    const route = (plugin: unknown) => ({ routes: [{ name: 'r', match: { path: '/' }, backend: 'a', plugins: [plugin] }] })
    expect(Check(schema as never, route({ rate_limit: { per_second: 1 }, on_error: 'open' }))).toBe(true)
    expect(Check(schema as never, route({ rate_limit: { per_secnd: 1 } }))).toBe(false)
    expect(Check(schema as never, route({ use: './x.ts' }))).toBe(true)
  })
  test.each(['everything', 'warnings', 'minimal', 'only_models', 'sinks'])('accepts good/%s.yaml, variables and all', (name) =>
    expect(Check(schema as never, parse(readFileSync(join(import.meta.dirname, 'good', `${name}.yaml`), 'utf8')))).toBe(true))
  test('refuses what the loader refuses', () => {
    for (const wrong of [{ lisen: ':80' }, { threads: 0 }, { timeouts: { idle: 60 } }, { backends: { a: {} } }, { backends: { a: { url: 'http://h', urls: ['http://i'] } } }]) expect(Check(schema as never, wrong)).toBe(false)
  })
})

describe('whatever the file holds', () => {
  const base = readFileSync(join(import.meta.dirname, 'good/everything.yaml'), 'utf8')
  const load = (text: string) => loadConfig({ file: join(import.meta.dirname, 'good/everything.yaml'), text, env: { TOKEN: 'sk-very-secret-value', PORT: '8501' } }, parts)
  const judged = async (text: string) => {
    const { config, issues } = await load(text)
    expect(config === null).toBe(issues.some((issue) => issue.severity === 'error'))
    for (const issue of issues) {
      expect(issue.message).not.toContain('sk-very-secret-value')
      expect(issue.line).toBeGreaterThanOrEqual(0)
      expect(issue.rule).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/)
    }
  }

  test('a cut, a doubled or a replaced piece of a right file gives a config or issues', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(base.length), fc.nat(40), fc.constantFrom('', '\t', '{', ']', ': ', '"', '${', '- ', '~', '0', '*a', '&a ', '\n'), (at, length, put) => judged(base.slice(0, at) + put + base.slice(at + length))),
      { numRuns: 300 },
    )
  }, 60_000)

  test('any data instead of any part gives a config or issues', async () => {
    const file = parse(base) as Record<string, unknown>
    const anything = fc.oneof(fc.jsonValue(), fc.constantFrom('', 'off', '__proto__', -1, 0, Number.MAX_VALUE, 'unix:', ':', '//', '${TOKEN}', [], {}, [[]], { url: 1 }))
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(file)), anything, (key, value) => judged(JSON.stringify({ ...file, [key]: value }))),
      { numRuns: 300 },
    )
  }, 60_000)
})
