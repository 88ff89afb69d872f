/** Routes: from valid parts of the file to the types of `config.ts`. */
import { checkCondition } from '../gateway/expression/condition.ts'
import { patternProblem } from '../gateway/server/router.ts'
import { parseMatchHost } from './addresses.ts'
import { checkExpression, checkFallback, checkFormat, checkPlugin, checkRoutes, type Named } from './checks.ts'
import type { BackendConfig, FormatName, MatchConfig, RouteConfig } from './config.ts'
import { join } from './issues.ts'
import { place, type Placed, type PluginSource } from './plugins.ts'
import { checkQuantities } from './quantities.ts'
import { complain, type Scene, settle } from './scene.ts'
import { type Data, isData, type JsonSchema } from './shape.ts'
import { warnOfUntranslated } from './speaking.ts'

export interface LoadedRoute {
  readonly route: RouteConfig
  readonly path: string
}

/** Looks at every route, and at the right parts of those that are not right as a whole. */
export async function loadRoutes(
  scene: Scene,
  written: unknown,
  schema: JsonSchema,
  backends: ReadonlyMap<string, BackendConfig>,
  references: Named,
  parts: PluginSource,
): Promise<LoadedRoute[]> {
  const found: LoadedRoute[] = []
  if (!Array.isArray(written)) return found
  const own = schema.properties!['routes']!.items!
  for (const [i, item] of written.entries()) {
    const path = join('routes', i)
    const one = isData(item) ? await loadRoute(scene, item, path, own, backends, references, parts) : null
    if (one !== null) found.push({ route: one, path })
  }
  checkRoutes(scene, found)
  return found
}

async function loadRoute(
  scene: Scene,
  item: Data,
  path: string,
  schema: JsonSchema,
  backends: ReadonlyMap<string, BackendConfig>,
  references: Named,
  parts: PluginSource,
): Promise<RouteConfig | null> {
  const right = (key: string) => Object.hasOwn(item, key) && scene.issues.clean(join(path, key))
  const rule = right('match') ? match(scene, item['match'] as WrittenMatch, join(path, 'match')) : null
  if (rule !== null && rule.when !== null) checkExpression(scene, checkCondition(rule.when, false), 'bad-condition', join(join(path, 'match'), 'when'))
  if (right('backend')) references.backends.to(String(item['backend']), join(path, 'backend'))
  const plugins = Array.isArray(item['plugins']) ? await placeAll(scene, parts, item['plugins'], join(path, 'plugins')) : []
  const named = plugins.flatMap((placed) => checkPlugin(scene, placed, references))
  if (!scene.issues.clean(path) || rule === null) return null
  checkFallback(scene, String(item['backend']), plugins)
  const settled = settle<WrittenRoute>(scene, { ...schema, properties: { ...schema.properties, plugins: {} } }, item)
  if (right('max_body_bytes')) checkQuantities(scene, schema.properties!['max_body_bytes']!, item['max_body_bytes'], join(path, 'max_body_bytes'))
  const reached = [settled.backend, ...named].map((name) => backends.get(name))
  const format = settled.format ?? usualFormat(rule.path, reached)
  warnOfUntranslated(scene, format, reached, path)
  checkFormat(scene, format, plugins)
  return { name: settled.name, match: rule, backend: settled.backend, format, criticality: settled.criticality, max_body_bytes: settled.max_body_bytes, plugins: plugins.map(({ config }) => config) }
}

async function placeAll(scene: Scene, parts: PluginSource, items: readonly unknown[], path: string): Promise<Placed[]> {
  const found: Placed[] = []
  for (const [i, item] of items.entries()) {
    const at = join(path, i)
    const placed = isData(item) && scene.issues.clean(at) ? await place(scene, parts, item, at) : null
    if (placed !== null) found.push(placed)
  }
  return found
}

// ---------------------------------------------------------------- match

interface WrittenMatch {
  readonly host?: string
  readonly method?: string | readonly string[]
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly when?: string
}

const NOT_FORWARDED = ['CONNECT', 'TRACE']

export function match(scene: Scene, written: WrittenMatch, path: string): MatchConfig | null {
  const methods = written.method === undefined ? [] : [written.method].flat()
  const host = written.host === undefined ? null : parseMatchHost(written.host)
  let right = true
  const wrong = (key: string, complaint: Parameters<typeof complain>[2]) => {
    right = false
    complain(scene, join(path, key), complaint)
  }
  if (host !== null && typeof host !== 'string') wrong('host', host)
  const problem = patternProblem(written.path)
  if (problem !== null) wrong('path', { rule: 'bad-path', message: problem, help: 'Write `/exact`, `/a/{name}`, `/a/*` or `/a/**`.' })
  const refused = methods.find((method) => NOT_FORWARDED.includes(method))
  if (refused !== undefined) wrong('method', { rule: 'bad-method', message: `weir does not forward ${refused}`, help: 'It is answered 501.' })
  if (!right) return null
  const headers = Object.fromEntries(Object.entries(written.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
  return { host: host as string | null, methods, path: written.path, headers, when: written.when ?? null }
}

// ---------------------------------------------------------------- formats

interface WrittenRoute {
  readonly name: string
  readonly backend: string
  readonly format?: FormatName
  readonly criticality: RouteConfig['criticality']
  readonly max_body_bytes: number
}

/**
 * The format of a route that names none: by path where a protocol owns it, else `rows` as soon as something weir itself
 * answers with (a model, answer rows) may have to; else none, and bodies only pass through.
 */
export function usualFormat(path: string, backends: readonly (BackendConfig | undefined)[]): RouteConfig['format'] {
  if (/^\/v2\/(models|repository)(\/|$)/.test(path)) return 'oip'
  if (/^\/v1\/models\/.*:(predict|classify|regress)$/.test(path)) return 'tfs'
  if (path === '/invocations') return 'mlflow'
  if (/^\/v1\/(chat\/completions|completions|embeddings|responses)$/.test(path)) return 'openai'
  const writes = (backend: BackendConfig | undefined) => backend?.kind === 'onnx' || backend?.kind === 'model' || (backend?.kind === 'answer' && backend.body !== null && 'rows' in backend.body)
  return backends.some(writes) ? 'rows' : null
}
