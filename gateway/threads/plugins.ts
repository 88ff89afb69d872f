/** The admin routes of the plugins of a generation, by name. */
import type { Generation } from '../generation.ts'
import type { AdminRoute } from '../plugin.ts'
import type { PluginAnswer, PluginCall } from './messages.ts'

type Routes = Readonly<Record<string, AdminRoute>>

function routesOf(generation: Generation | null, call: PluginCall): Routes | null {
  const route = generation?.routes.find(({ name }) => name === call.route)
  return route?.admin.get(call.plugin) ?? null
}

/** What this thread says. @throws what the plugin throws */
export async function callPlugin(generation: Generation | null, call: PluginCall): Promise<PluginAnswer> {
  const routes = routesOf(generation, call) ?? {}
  const known = routes[`${call.method} ${call.path}`]
  if (known !== undefined) return { kind: 'value', value: await known.handle({ method: call.method, query: new URLSearchParams(call.query), body: call.body }) }
  const allow = ['GET', 'POST'].filter((method) => Object.hasOwn(routes, `${method} ${call.path}`))
  return allow.length === 0 ? { kind: 'unknown' } : { kind: 'method', allow }
}

/** One answer for all threads: the plugin's way, or the list of what they said. */
export function mergePlugin(generation: Generation | null, call: PluginCall, parts: readonly unknown[]): unknown {
  const route = routesOf(generation, call)?.[`${call.method} ${call.path}`]
  return route?.merge === undefined ? parts : route.merge(parts)
}
