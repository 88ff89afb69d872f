/** The rules that keep the house in order. Each complaint is `file:line` and the sentence of the rule it breaks. */
import { describe, expect, test } from 'vitest'
import { type Import, lineOf, parse, readSources, type Source } from './helpers/imports.ts'

// ---------------------------------------------------------------- the layers, lowest first

/** Folders (or files) of one row do not see each other; a row sees the rows above it in this list. */
const LAYERS: readonly (readonly string[])[] = [
  ['gateway/stats/'],
  // The seams, and what they export of their own kind: what holds and judges answers is part of the plugin contract, `issues` has the nearest name of a mistyped one.
  [
    'gateway/exchange.ts', 'gateway/plugin.ts', 'gateway/schema.ts', 'gateway/errors.ts', 'gateway/clock.ts', 'gateway/headers.ts', 'gateway/metrics.ts', 'gateway/vital.ts', 'gateway/aside.ts', 'gateway/hold.ts', 'gateway/relay.ts', 'gateway/pause.ts', 'gateway/limiter.ts', 'gateway/sse.ts', 'gateway/trace.ts', 'gateway/peek.ts', 'gateway/assure.ts', 'gateway/failures.ts', 'gateway/alarm.ts', 'gateway/profile/profile.ts', 'gateway/records/record.ts',
    'gateway/payload/columns.ts', 'gateway/payload/coding.ts', 'gateway/payload/soundness.ts', 'gateway/payload/features.ts', 'gateway/payload/halves.ts', 'config/config.ts', 'config/issues.ts',
  ],
  ['gateway/calls.ts'],
  ['gateway/payload/', 'gateway/wire/', 'gateway/telemetry/', 'gateway/stores/', 'gateway/monitor/'],
  ['gateway/profile/', 'gateway/records/'],
  ['gateway/expression/', 'gateway/upstream/', 'gateway/models/', 'plugins/'],
  ['gateway/pipeline/', 'gateway/translate/'],
  ['gateway/generation.ts'],
  ['gateway/server/router.ts'],
  ['gateway/server/', 'config/'],
  ['gateway/gateway.ts'],
  ['gateway/threads/', 'gateway/admin/'],
  ['gateway/command/'],
  ['gateway/main.ts'],
]

/** The second row is one layer of single files: they may see each other (without cycles, which is a rule of its own). */
const SEAMS = 1

/** What a plugin may import beside `gateway/plugin.ts`. */
const PLUGIN_MAY = [/^gateway\/plugin\.ts$/, /^gateway\/stats\//, /^gateway\/payload\/(columns|features)\.ts$/, /^gateway\/monitor\//, /^gateway\/records\/capture\//, /^plugins\/slots\//]

/** Packages and node: modules that live in one place, and why. */
const HOMES: Readonly<Record<string, { readonly in: RegExp; readonly because: string }>> = {
  undici: { in: /^gateway\/calls\.ts$/, because: 'only calls.ts makes weir\'s own calls' },
  llhttp: { in: /^gateway\/calls\.ts$/, because: 'only calls.ts makes weir\'s own calls' },
  'node:http': { in: /^gateway\/(calls\.ts|admin\/|telemetry\/)/, because: 'traffic is read and written by gateway/wire/ alone' },
  'node:https': { in: /^gateway\/(calls\.ts|admin\/|telemetry\/)/, because: 'traffic is read and written by gateway/wire/ alone' },
  'node:http2': { in: /^$/, because: 'weir does not speak HTTP/2 yet' },
  'onnxruntime-node': { in: /^gateway\/models\/onnx\//, because: 'one package lives in one folder' },
  hyparquet: { in: /^gateway\/profile\//, because: 'one package lives in one folder' },
  'hyparquet-writer': { in: /^gateway\/records\//, because: 'one package lives in one folder' },
  '@platformatic/kafka': { in: /^gateway\/records\/sinks\/kafka\.ts$/, because: 'what has no sink of Kafka loads nothing of it' },
  'prom-client': { in: /^gateway\/metrics\.ts$/, because: 'one package lives in one folder' },
  '@marcbachmann/cel-js': { in: /^gateway\/expression\//, because: 'one package lives in one folder' },
  '@opentelemetry/api': { in: /^gateway\/telemetry\/tracing\//, because: 'what is not traced loads nothing of OpenTelemetry' },
  '@opentelemetry/core': { in: /^gateway\/telemetry\/tracing\//, because: 'what is not traced loads nothing of OpenTelemetry' },
  '@opentelemetry/exporter-trace-otlp-proto': { in: /^gateway\/telemetry\/tracing\//, because: 'what is not traced loads nothing of OpenTelemetry' },
  '@opentelemetry/resources': { in: /^gateway\/telemetry\/tracing\//, because: 'what is not traced loads nothing of OpenTelemetry' },
  '@opentelemetry/sdk-trace': { in: /^gateway\/telemetry\/tracing\//, because: 'what is not traced loads nothing of OpenTelemetry' },
  yaml: { in: /^config\//, because: 'one package lives in one folder' },
  typebox: { in: /^(gateway\/(plugin|schema)\.ts|config\/)/, because: 'the gateway takes its types alone; the loader validates with it' },
}

const SHIPPED = ['gateway', 'plugins', 'config']
const GENERATED = 'plugins/index.ts'

// ---------------------------------------------------------------- the rules

type Rule = (source: Source) => string[]

function layerOf(file: string): number {
  const exact = LAYERS.findIndex((row) => row.includes(file))
  if (exact >= 0) return exact
  return LAYERS.findIndex((row) => row.some((folder) => folder.endsWith('/') && file.startsWith(folder)))
}

function folderOf(file: string): string {
  return LAYERS.flat().find((entry) => entry === file) ?? LAYERS.flat().find((entry) => entry.endsWith('/') && file.startsWith(entry)) ?? file
}

const at = (source: Source, line: number) => `${source.file}:${line}`
const perImport = (judge: (source: Source, to: Import) => string | null): Rule =>
  (source) => source.imports.flatMap((to) => {
    const sentence = judge(source, to)
    return sentence === null ? [] : [`${at(source, to.line)} imports ${to.specifier}: ${sentence}`]
  })

const known: Rule = (source) => (layerOf(source.file) >= 0 || ownTool(source.file) ? [] : [`${source.file}: has no place in LAYERS of test/layering.test.ts; give it one`])

/** Generators and example plugins stand outside the running gateway. */
function ownTool(file: string): boolean {
  return /^(config\/generate(_limits)?|plugins\/generate)\.ts$/.test(file) || file.startsWith('config/examples/')
}

const down = perImport((source, to) => {
  if (to.file === null || ownTool(source.file)) return null
  if (/^(test|bench)\//.test(to.file)) return 'what ships does not import tests or benches'
  const [from, below] = [layerOf(source.file), layerOf(to.file)]
  if (from === SEAMS && below === SEAMS) return null
  if (folderOf(source.file) === folderOf(to.file)) return null
  return below < from ? null : `imports point down, never up or sideways (${folderOf(source.file)} is not above ${folderOf(to.file)})`
})

const pluginsAlone = perImport((source, to) => {
  if (!source.file.startsWith('plugins/') || source.file === GENERATED || ownTool(source.file)) return null
  if (to.file !== null) return PLUGIN_MAY.some((allowed) => allowed.test(to.file!)) ? null : 'a plugin imports gateway/plugin.ts, slots, stats and payload types only, never another plugin'
  return to.module!.startsWith('node:') ? null : 'a plugin gets everything from gateway/plugin.ts; a package of its own needs a home in the gateway'
})

const noPluginByName = perImport((source, to) =>
  to.file?.startsWith('plugins/') === true && source.file.startsWith('gateway/') && source.file !== 'gateway/main.ts'
    ? 'the gateway never knows a plugin; the registry comes through config/'
    : null)

const oneHome = perImport((source, to) => {
  const home = to.module === null || ownTool(source.file) ? undefined : HOMES[to.module]
  return home === undefined || home.in.test(source.file) ? null : home.because
})

const declaredHome = perImport((source, to) =>
  to.module !== null && !to.module.startsWith('node:') && HOMES[to.module] === undefined && !ownTool(source.file) ? 'a package needs a home: add it to HOMES of test/layering.test.ts' : null)

const withEnding = perImport((_source, to) => (to.file !== null && !/\.(ts|json)$/.test(to.file) ? 'relative imports end in .ts, since Node runs them as they stand' : null))

/** A file whose every statement re-exports hides where things live and makes every import load everything. */
const noBarrels: Rule = (source) => {
  if (source.file === 'gateway/plugin.ts' || source.file === GENERATED) return []
  const rest = source.code.replace(/^[ \t]*export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s+from\s+['"][^'"]+['"];?/gm, '')
  return source.code.trim() !== '' && rest.trim() === '' ? [`${source.file}: no barrels: import from the file that has it`] : []
}

/** Ambient things that only one file may touch. */
const AMBIENT: readonly { readonly pattern: RegExp; readonly only: RegExp; readonly because: string }[] = [
  { pattern: /\bprocess\.(env|argv)\b/g, only: /^gateway\/main\.ts$/, because: 'only gateway/main.ts reads the environment and the command line' },
  { pattern: /\b(Date\.now|performance\.now|process\.hrtime)\b|\bnew Date\(\)/g, only: /^gateway\/clock\.ts$/, because: 'time comes from a Clock; only gateway/clock.ts asks the system' },
  { pattern: /\b(setTimeout|setInterval)\(/g, only: /^gateway\/clock\.ts$/, because: 'whatever waits takes a Clock' },
  { pattern: /\beval\(|\bnew Function\(/g, only: /^$/, because: 'no code is made from text' },
]

const ambient: Rule = (source) =>
  ownTool(source.file)
    ? []
    : AMBIENT.filter(({ only }) => !only.test(source.file)).flatMap(({ pattern, because }) => [...source.code.matchAll(pattern)].map((match) => `${at(source, lineOf(source.code, match.index))} uses ${match[0]}: ${because}`))

/** Erased imports run nothing, but two files that need each other's types are still one thing in two places. */
function cycles(sources: readonly Source[]): string[] {
  const graph = new Map(sources.map((source) => [source.file, source.imports.flatMap((to) => (to.file === null || to.erased ? [] : [to.file]))]))
  const state = new Map<string, 'open' | 'done'>()
  const found: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return
    if (state.get(file) === 'open') {
      found.push(`${[...path.slice(path.indexOf(file)), file].join(' → ')}: no cycles`)
      return
    }
    state.set(file, 'open')
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    state.set(file, 'done')
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

// ---------------------------------------------------------------- the tests

const sources = readSources(SHIPPED)

test.each<[string, Rule]>([
  ['every file has a place', known],
  ['imports point down, never up or sideways', down],
  ['plugins import the contract and nothing else', pluginsAlone],
  ['the gateway never knows a plugin', noPluginByName],
  ['a package lives in one folder', oneHome],
  ['every package has a home', declaredHome],
  ['relative imports end in .ts', withEnding],
  ['no barrels', noBarrels],
  ['environment, command line, time and timers have one reader each', ambient],
])('%s', (_sentence, rule) => {
  expect(sources.flatMap(rule)).toEqual([])
})

test('no cycles', () => {
  expect(cycles(sources)).toEqual([])
})

describe('the rules themselves can fail', () => {
  const judge = (rule: Rule, file: string, code: string) => rule(parse(file, code))

  test('up and sideways', () => {
    expect(judge(down, 'gateway/wire/head.ts', "import { a } from '../server/forward.ts'\n")).toEqual(['gateway/wire/head.ts:1 imports ../server/forward.ts: imports point down, never up or sideways (gateway/wire/ is not above gateway/server/)'])
    expect(judge(down, 'gateway/wire/head.ts', "import type { A } from '../payload/oip.ts'\n")).toHaveLength(1)
    expect(judge(down, 'gateway/server/router.ts', "import { a } from '../wire/head.ts'\n")).toEqual([])
  })

  test('an import over several lines, a re-export, a dynamic import and a thread are seen', () => {
    expect(judge(down, 'gateway/wire/a.ts', "import {\n  a,\n  b,\n} from '../gateway.ts'\n")).toHaveLength(1)
    expect(judge(down, 'gateway/wire/a.ts', "export { a } from '../gateway.ts'\n")).toHaveLength(1)
    expect(judge(down, 'gateway/wire/a.ts', "const a = await import('../gateway.ts')\n")).toHaveLength(1)
    expect(judge(down, 'gateway/wire/a.ts', "new Worker(new URL('../threads/data.ts', import.meta.url))\n")).toHaveLength(1)
    expect(judge(down, 'gateway/wire/a.ts', "import '../gateway.ts'\n")).toHaveLength(1)
  })

  test('comments are not code, strings with slashes are not comments', () => {
    expect(judge(down, 'gateway/wire/a.ts', "// import { a } from '../gateway.ts'\n/*\nimport '../gateway.ts'\n*/\n")).toEqual([])
    expect(judge(ambient, 'gateway/wire/a.ts', "const url = 'http://x' + Date.now()\n")).toHaveLength(1)
    expect(judge(ambient, 'gateway/wire/a.ts', '// Date.now() would be wrong here\n')).toEqual([])
  })

  test('a plugin that imports another plugin, the gateway or a package', () => {
    for (const line of ["import a from './split.ts'", "import { a } from '../gateway/gateway.ts'", "import { a } from 'undici'"]) expect(judge(pluginsAlone, 'plugins/retry.ts', `${line}\n`)).toHaveLength(1)
    expect(judge(pluginsAlone, 'plugins/retry.ts', "import { plugin } from '../gateway/plugin.ts'\n")).toEqual([])
  })

  test('node:http in the wire, a package from nowhere, the environment and a barrel', () => {
    expect(judge(oneHome, 'gateway/wire/a.ts', "import http from 'node:http'\n")).toHaveLength(1)
    expect(judge(oneHome, 'gateway/admin/a.ts', "import http from 'node:http'\n")).toEqual([])
    expect(judge(declaredHome, 'gateway/wire/a.ts', "import x from 'left-pad'\n")).toHaveLength(1)
    expect(judge(ambient, 'config/load.ts', 'const a = process.env.A\n')).toEqual(['config/load.ts:1 uses process.env: only gateway/main.ts reads the environment and the command line'])
    expect(judge(noBarrels, 'gateway/wire/all.ts', "export * from './head.ts'\nexport { a } from './body.ts'\n")).toHaveLength(1)
    expect(judge(noBarrels, 'gateway/wire/a.ts', "export { a } from './body.ts'\nexport const b = 1\n")).toEqual([])
  })

  test('a cycle', () => {
    const parts = [parse('gateway/wire/a.ts', "import { b } from './b.ts'\n"), parse('gateway/wire/b.ts', "import { a } from './a.ts'\n")]
    expect(cycles(parts)).toEqual(['gateway/wire/a.ts → gateway/wire/b.ts → gateway/wire/a.ts: no cycles'])
  })

  test('the real source was read', () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.find((source) => source.file === 'gateway/plugin.ts')?.imports.map((to) => to.file ?? to.module)).toContain('typebox')
  })
})
