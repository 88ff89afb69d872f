/** `weir explain`: what a config means, and what would happen to one request. */
import { stringify } from 'yaml'
import { NESTING, type Nesting, type Plugin } from '../gateway/plugin.ts'
import { compileRouter, explainMatch } from '../gateway/server/router.ts'
import type { BackendConfig, Config, PluginConfig, RouteConfig } from './config.ts'
import { isTranslated } from './speaking.ts'
import { formatSize } from './units.ts'

export interface AskedRequest {
  readonly method: string
  /** Origin-form target, query included. */
  readonly path: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The effective config as YAML in the file's own grammar, every default filled in, nothing secret (see effective.ts). */
export function explainConfig(config: Config): string {
  return `# ${config.file === '' ? 'made from the command line' : config.file}, ${config.hash}\n${stringify(config.effective, { lineWidth: 140 })}`
}

/** What the admin listener shows as /config: plain data, safe to show. */
export function redact(config: Config): { readonly file: string; readonly hash: string; readonly effective: unknown } {
  return { file: config.file, hash: config.hash, effective: config.effective }
}

/** Which route, why not the earlier ones, which plugins and which backend. Asks the server's own router. */
export function explainRequest(config: Config, request: AskedRequest, plugins: ReadonlyMap<string, Plugin> = new Map()): string {
  const headers = [...(request.host === undefined ? [] : ['host', request.host]), ...Object.entries(request.headers ?? {}).flat()]
  const router = compileRouter(config.routes.map((route) => ({ match: route.match, when: route.match.when === null ? null : { text: route.match.when, body: false, answer: 'none' as const, test: () => false }, route })))
  const lines = [`${request.method} ${request.path}${request.host === undefined ? '' : `  host ${request.host}`}`, '']
  const chosen: RouteConfig[] = []
  let from = 0
  for (;;) {
    const found = router.find(request.method, request.path, headers, from)
    const until = found.route === null ? config.routes.length : config.routes.indexOf(found.route)
    for (const route of config.routes.slice(from, until)) lines.push(`  no   ${route.name}: ${explainMatch(route.match, request.method, request.path, headers) ?? 'it does not fit'}`)
    if (found.route === null) {
      lines.push('', noRoute(config, found.allow, chosen.length > 0))
      break
    }
    chosen.push(found.route)
    lines.push(found.when === null ? `  yes  ${found.route.name}` : `  if   ${found.route.name}: when ${found.when.text}`)
    if (found.when === null) break
    from = found.next
  }
  for (const route of chosen) lines.push('', ...explainRoute(config, route, plugins))
  return `${lines.join('\n')}\n`
}

function noRoute(config: Config, allow: string | null, some: boolean): string {
  const lead = some ? 'Otherwise no route matches' : 'No route matches'
  if (allow !== null) return `${lead}: 405, allowed are ${allow}.`
  return config.models === null ? `${lead}: 404.` : `${lead}: 404, unless it is a built-in endpoint of \`models:\` (/v2/…).`
}

function explainRoute(config: Config, route: RouteConfig, plugins: ReadonlyMap<string, Plugin>): string[] {
  const names = route.plugins.map((one) => one.name)
  const backend = config.backends[route.backend]
  const arrow = (list: readonly string[]) => (list.length === 0 ? 'no plugins' : list.join(' → '))
  return [
    `route    ${route.name}`,
    `in       ${arrow(names)}`,
    `send     ${nesting(route.plugins, plugins)} → ${route.backend}`,
    `out      ${arrow(names.toReversed())}`,
    `backend  ${route.backend}${backend === undefined ? '' : `: ${explainBackend(backend)}`}`,
    ...translation(route, backend),
    `bodies   ${route.format === null ? 'pass through' : `format ${route.format}`}; buffered, if a plugin asks, up to ${formatSize(route.max_body_bytes)}`,
  ]
}

/** What becomes of a POST on its way to a backend that speaks another format. */
function translation({ format }: RouteConfig, backend: BackendConfig | undefined): string[] {
  const speaks = backend?.kind === 'http' ? backend.speaks : null
  if (speaks === null || !isTranslated(format, speaks)) return []
  const model = speaks.model === '' ? '' : `, model ${speaks.model}${speaks.version === '' ? '' : ` version ${speaks.version}`}`
  return [`         translated: ${format} → ${speaks.format}${model}`]
}

/** Options of a plugin that stand on a level of their own: the timeout plugin has one deadline outside and one inside. */
const OPTION_LEVELS: Readonly<Record<string, Nesting>> = { total: 'total', per_try: 'attempt', first_token: 'attempt' }

function levelsOf(config: PluginConfig, plugin: Plugin | undefined): Nesting[] {
  if (plugin?.nesting !== undefined) return [plugin.nesting]
  const options = typeof config.options === 'object' && config.options !== null ? Object.keys(config.options) : []
  return config.use === null ? [...new Set(options.flatMap((name) => OPTION_LEVELS[name] ?? []))] : []
}

/** The fixed order of what wraps the backend call, whatever the order in the file. */
function nesting(configs: readonly PluginConfig[], plugins: ReadonlyMap<string, Plugin>): string {
  const placed = configs.flatMap((config) => levelsOf(config, plugins.get(config.name)).map((level) => ({ level, name: config.name })))
  return NESTING.flatMap((level) => {
    const here = placed.filter((one) => one.level === level).map(({ name }) => (name === level ? level : `${level} (${name})`))
    // Every try is an attempt, wrapped or not.
    return level === 'attempt' && here.length === 0 ? [level] : here
  }).join(' ⊃ ')
}

function explainBackend(backend: BackendConfig): string {
  switch (backend.kind) {
    case 'http': {
      // Without the path of the url: it may hold a key.
      const urls = backend.endpoints.map(({ scheme, address, authority }) => ('unix' in address ? `unix:${address.unix}` : `${scheme}://${authority}`))
      return `${urls.join(', ')}${urls.length > 1 ? ` (${backend.balance})` : ''}`
    }
    case 'onnx':
      return `model inside, ${backend.path}`
    case 'model':
      return `model ${backend.model}, version ${backend.version}`
    case 'answer':
      return `constant answer, status ${backend.status}`
  }
}
