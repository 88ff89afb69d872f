/** What plugins serve to callers (`Hooks.serve`), as routes of their own that come before those of the file. */
import type { RouteConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { type Backend, type Exchange, type Gather, problem, type Reply } from '../exchange.ts'
import { decoded } from '../payload/coding.ts'
import type { CompiledRoute, Step } from '../pipeline/route.ts'
import type { ServeRoute } from '../plugin.ts'
import type { RouteEntry } from './router.ts'

type Served = readonly Step<ServeRoute>[]

/** @param routes of the file, in its order: so plugins that serve the same are asked */
export function servedEntries(routes: readonly CompiledRoute[], gather: Gather): RouteEntry<CompiledRoute>[] {
  const paths = new Map<string, Step<ServeRoute>[]>()
  for (const { serve } of routes) for (const [at, steps] of serve ?? []) paths.set(at, [...(paths.get(at) ?? []), ...steps])
  return [...paths].map(([at, steps]) => asEntry(at, steps, gather))
}

/** A route without plugins. Its name, in metrics and answers, is its path. */
function asEntry(at: string, steps: Served, gather: Gather): RouteEntry<CompiledRoute> {
  const space = at.indexOf(' ')
  const [method, path] = [at.slice(0, space), at.slice(space + 1)]
  const maxBodyBytes = Math.max(...steps.map(({ run }) => run.maxBodyBytes))
  const send: Backend['send'] = (x) => answer(x, steps, gather, maxBodyBytes)
  const backend: Backend = { name: '', kind: 'builtin', send }
  const match: RouteConfig['match'] = { host: null, methods: [method], path, headers: {}, when: null }
  const none = { request: null, requestBody: null, response: null, responseBody: null, responseChunk: null, finish: null, done: null }
  const route: CompiledRoute = { name: path, format: null, maxBodyBytes, backend, criticality: 'standard', plugins: [], slots: 0, ...none, send, replayBytes: 0, plain: true, serve: null, admin: new Map(), close: async () => undefined }
  return { match, when: null, route }
}

async function answer(x: Exchange, steps: Served, gather: Gather, maxBodyBytes: number): Promise<Reply> {
  const body = await decoded(await gather(x.body, maxBodyBytes, x.leg), x.fields.get('content-encoding'), maxBodyBytes)
  for (const step of steps) {
    const found = await attributed(step, () => step.run.handle(body, x))
    if (found !== null) return found
  }
  const last = steps.find(({ run }) => run.otherwise !== undefined)
  return last === undefined ? problem(new WeirError('NO_ROUTE'), x.requestId) : attributed(last, () => last.run.otherwise!(body, x))
}

/** Anything but a `WeirError` is a failure of the plugin. */
async function attributed<R>(step: Step<ServeRoute>, run: () => R | Promise<R>): Promise<R> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof WeirError) throw error
    step.failed(error)
    throw new WeirError('PLUGIN_FAILED', undefined, { cause: error })
  }
}
