/** What holds for every plugin, whoever writes it: the rules of `gateway/plugin.ts` and CONTRIBUTING. */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Check } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import type { JsonSchema } from '../../config/shape.ts'
import { reply, type Send } from '../../gateway/exchange.ts'
import { NESTING, type Plugin } from '../../gateway/plugin.ts'
import tenant_tag from '../../config/examples/plugins/tenant_tag.ts'
import { generatePlugins, pluginNames } from '../../plugins/generate.ts'
import { plugins } from '../../plugins/index.ts'
import { readProfile } from '../../gateway/profile/check.ts'
import { pipelineTest, pluginTest, type Setup } from '../plugin_test.ts'

const FOLDER = new URL('../../plugins/', import.meta.url)
const PROFILE = readProfile(fileURLToPath(new URL('../../config/examples/profiles/churn.json', import.meta.url)))
const all: readonly Plugin[] = [...plugins.values(), tenant_tag as unknown as Plugin]

test('the registry holds every file of the folder, under its own name', async () => {
  expect([...plugins.keys()]).toEqual(await pluginNames())
  expect(plugins.size).toBeGreaterThanOrEqual(5)
  for (const [name, plugin] of plugins) expect(plugin.name).toBe(name)
})

test('index.ts and README.md are what the plugins say; `npm run gen` writes them', async () => {
  for (const [file, text] of await generatePlugins()) expect(await readFile(new URL(file, FOLDER), 'utf8'), file).toBe(text)
})

/** Every schema inside a schema that stands for an option, with its path. */
function options(schema: JsonSchema, path: string): { path: string; schema: JsonSchema }[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, option]) => [{ path: `${path}.${key}`, schema: option }, ...options(option, `${path}.${key}`)])
}

describe.each(all.map((plugin) => [plugin.name, plugin] as const))('%s', (name, plugin) => {
  const schema = plugin.config as JsonSchema
  const sends: Readonly<Record<string, Send>> = { candidate: () => reply(200, 'candidate') }
  const setup: Setup = { backends: sends, records: { lake: { append: () => true, room: () => null } }, profile: PROFILE }

  test('has a name that is a YAML key, a summary of one sentence, a stability and a way to fail', () => {
    expect(name).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/)
    expect(plugin.summary).toMatch(/^[A-Z][^\n]*\.$/)
    expect(['experimental', 'beta', 'stable']).toContain(plugin.stability)
    expect(['open', 'closed']).toContain(plugin.onError)
    if (plugin.nesting !== undefined) expect(NESTING).toContain(plugin.nesting)
  })

  test('has a strict schema', () => {
    expect(schema.type).toBe('object')
    for (const { path, schema: found } of [{ path: name, schema }, ...options(schema, name)]) {
      if (found.type === 'object' && found.properties !== undefined) expect([path, found.additionalProperties]).toEqual([path, false])
    }
    expect(Check(plugin.config, { ...(plugin.example as object), no_such_option: 1 })).toBe(false)
  })

  test('describes every option, in sentences', () => {
    const found = options(schema, name)
    for (const { path, schema: option } of found) expect(option.description ?? '', path).toMatch(/^[`A-Z].*[.:]$/s)
  })

  test('has defaults that its schema accepts, and that may be left out', () => {
    for (const { path, schema: option } of options(schema, name)) {
      if (option.default === undefined) continue
      if (option.properties === undefined) expect(Check(option as never, option.default), path).toBe(true)
      const holder = path.split('.').slice(1, -1).reduce<JsonSchema>((inside, key) => inside.properties![key]!, schema)
      expect(holder.required ?? [], path).not.toContain(path.split('.').at(-1))
    }
  })

  test('has an example that is valid, builds, runs an exchange, and closes twice without a timer left', async () => {
    expect(Check(plugin.config, plugin.example)).toBe(true)
    const bench = await pluginTest(plugin, plugin.example, setup)
    const { answer } = await bench.run({ headers: ['x-user-id', 'a', 'x-api-key', 'key-of-acme'] })
    expect(answer.status).toBe(200)
    expect(bench.metric('weir_plugin_errors_total')).toBe(0)
    await bench.close()
    await bench.close()
    expect(bench.clock.pending).toBe(0)
  })

  test('builds twice in one route apart, unless it wraps the backend call', async () => {
    const twice = [plugin, plugin].map((one) => [one, one.example] as const)
    const { route } = await pluginTest(plugin, plugin.example, setup)
    const wraps = route.send !== route.backend.send && route.request === null && route.requestBody === null
    if (wraps) await expect(pipelineTest(twice, setup)).rejects.toMatchObject({ name: 'BuildProblem' })
    else expect((await pipelineTest(twice, setup)).route.plugins).toEqual([name, `${name}#2`])
  })

  test('has metrics with closed labels and conventional names', () => {
    for (const [key, metric] of Object.entries(plugin.metrics ?? {})) {
      const full = `weir_${name}_${key}`
      expect(full).toMatch(/^[a-z][a-z0-9_]*$/)
      if (metric.type === 'counter') expect(full).toMatch(/_total$/)
      expect(metric.help, full).toMatch(/^[A-Z].*\.$/)
      expect(Object.keys(metric.labels ?? {}), full).not.toContain('route')
      for (const values of Object.values(metric.labels ?? {})) expect(values === 'config' || (values.length > 0 && values.every((value) => typeof value === 'string'))).toBe(true)
    }
  })
})

test.each([...plugins.values()].map((plugin) => [plugin.name, plugin] as const))('%s is on the page: summary, options, metrics', async (name, plugin) => {
  const page = await readFile(new URL('README.md', FOLDER), 'utf8')
  expect(page).toContain(`## ${name}\n\n${plugin.summary}`)
  for (const { path } of options(plugin.config as JsonSchema, '')) expect(page).toContain(`| \`${path.slice(1)}\` |`)
  for (const key of Object.keys(plugin.metrics ?? {})) expect(page).toContain(`| \`weir_${name}_${key}\` |`)
})
