/** Routes that can never be reached, and built-in endpoints that a route hides. First match in file order wins. */
import type { MatchConfig, RouteConfig } from './config.ts'

/** Whether every path that `narrow` matches is matched by `broad` too. */
export function coversPath(broad: string, narrow: string): boolean {
  const wide = broad.slice(1).split('/')
  const thin = narrow.slice(1).split('/')
  for (const [i, segment] of wide.entries()) {
    if (segment === '**') return true
    const other = thin[i]
    if (other === undefined || other === '**') return false
    // A wildcard stands for one segment that is not empty.
    if (isWild(segment) ? other === '' : segment !== other) return false
  }
  return thin.length === wide.length
}

function isWild(segment: string): boolean {
  return segment === '*' || (segment.startsWith('{') && segment.endsWith('}'))
}

function coversHost(broad: string | null, narrow: string | null): boolean {
  if (broad === null || broad === narrow) return true
  return narrow !== null && broad.startsWith('*.') && narrow.replace(/^\*/, '').endsWith(broad.slice(1)) && narrow !== broad.slice(2)
}

/** Whether every request that fits `narrow` fits `broad`. A `when` cannot be decided, so it covers nothing. */
export function covers(broad: MatchConfig, narrow: MatchConfig): boolean {
  if (broad.when !== null || !coversHost(broad.host, narrow.host)) return false
  const methods = broad.methods.length === 0 || (narrow.methods.length > 0 && narrow.methods.every((method) => broad.methods.includes(method)))
  const headers = Object.entries(broad.headers).every(([name, value]) => narrow.headers[name] === value)
  return methods && headers && coversPath(broad.path, narrow.path)
}

/** What `models:` serves by itself, for these models. */
function builtins(models: readonly string[]): { method: 'GET' | 'POST'; path: string }[] {
  const get = ['/v2', '/v2/health/live', '/v2/health/ready', ...models.flatMap((name) => [`/v2/models/${name}`, `/v2/models/${name}/ready`])]
  return [...get.map((path) => ({ method: 'GET' as const, path })), ...models.map((name) => ({ method: 'POST' as const, path: `/v2/models/${name}/infer` }))]
}

/** The first built-in endpoint that this route takes for itself, or null. */
export function hides(route: RouteConfig, models: readonly string[]): string | null {
  const { match } = route
  const found = builtins(models).find(({ method, path }) => covers({ ...match, host: null, headers: {} }, { host: null, methods: [method], path, headers: {}, when: null }))
  return found?.path ?? null
}
