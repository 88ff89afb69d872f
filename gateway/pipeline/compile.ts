/** From a route of the config to flat arrays of hooks, or `null` where nobody has one. */
import type { RouteConfig } from '../../config/config.ts'
import type { Answer, Backend, Format, Send } from '../exchange.ts'
import { WeirError } from '../errors.ts'
import { type AdminRoute, type Hooks, NESTING, type Nesting, type Plugin, type ServeRoute, type Wrap } from '../plugin.ts'
import { alarmMetrics, exchangeMetrics } from '../vital.ts'
import { BuildProblem, type HostDeps, makeHost, Slots } from './host.ts'
import { quietly } from './quiet.ts'
import type { CompiledRoute, Step } from './route.ts'

export interface CompileDeps extends HostDeps {
  /** @returns null for a format this build does not have */
  formats(name: NonNullable<RouteConfig['format']>): Format | null
}

/** A plugin as it stands in one route. */
interface Built {
  readonly instance: string
  readonly index: number
  readonly onError: 'open' | 'closed'
  readonly at: string
  readonly plugin: Plugin
  readonly hooks: Hooks
  readonly failed: (error: unknown) => void
  close(): Promise<void>
}

/** @param plugins one for each of `route.plugins`. @throws BuildProblem; what was built by then is closed */
export async function compileRoute(route: RouteConfig, plugins: readonly Plugin[], deps: CompileDeps): Promise<CompiledRoute> {
  const backend = findBackend(route, deps)
  const slots = new Slots()
  const built: Built[] = []
  const close = async (): Promise<void> => {
    for (const one of built.toReversed()) await one.close()
  }
  try {
    for (const [index, plugin] of plugins.entries()) built.push(await build(route, index, plugin, built, backend, slots, deps))
    const back = built.toReversed()
    const phases = {
      request: steps(built, (hooks) => hooks.request?.bind(hooks)),
      requestBody: steps(built, (hooks) => hooks.requestBody?.bind(hooks)),
      response: steps(back, (hooks) => hooks.response?.bind(hooks)),
      responseBody: steps(back, (hooks) => hooks.responseBody?.bind(hooks)),
      responseChunk: steps(back, (hooks) => hooks.responseChunk?.bind(hooks)),
      finish: steps(back, (hooks) => hooks.finish?.bind(hooks)),
      done: steps(back, (hooks) => hooks.done?.bind(hooks)),
    }
    return {
      name: route.name,
      format: route.format === null ? null : deps.formats(route.format),
      openai: route.format === 'openai',
      maxBodyBytes: route.max_body_bytes,
      backend,
      criticality: route.criticality,
      plugins: built.map((one) => one.instance),
      slots: slots.count,
      ...phases,
      send: compose(built, backend),
      replayBytes: Math.max(0, ...built.map((one) => one.hooks.replayBytes ?? 0)),
      plain: [phases.request, phases.requestBody, phases.response, phases.responseBody, phases.responseChunk].every((phase) => phase === null),
      serve: served(built),
      admin: new Map(built.filter((one) => one.hooks.admin !== undefined).map((one): [string, Readonly<Record<string, AdminRoute>>] => [one.instance, one.hooks.admin!])),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function findBackend(route: RouteConfig, deps: CompileDeps): Backend {
  const backend = deps.backends.get(route.backend)
  if (backend !== undefined) return backend
  throw new BuildProblem({ at: `routes.${route.name}.backend`, rule: 'unknown-backend', message: `route "${route.name}" names backend "${route.backend}", which does not exist`, help: '' })
}

async function build(route: RouteConfig, index: number, plugin: Plugin, before: readonly Built[], backend: Backend, slots: Slots, deps: CompileDeps): Promise<Built> {
  const config = route.plugins[index]!
  const earlier = before.filter((one) => one.plugin.name === plugin.name).length
  const instance = earlier === 0 ? plugin.name : `${plugin.name}#${earlier + 1}`
  const failed = blame(route.name, instance, deps)
  for (const kind of plugin.alarms ?? []) deps.registry.handles(alarmMetrics).weir_alarms_total({ route: route.name, kind })
  const { host, close } = makeHost(plugin, { route: route.name, routeBackend: backend, instance, at: config.at, slots, failed }, deps)
  try {
    const hooks = await plugin.build(config.options as never, host as never)
    return { instance, index, onError: config.on_error, at: config.at, plugin, hooks, failed, close: closer(hooks, close, failed) }
  } catch (error) {
    close()
    if (error instanceof BuildProblem) throw error
    const message = `"${instance}" could not be built: ${error instanceof Error ? error.message : String(error)}`
    throw new BuildProblem({ at: config.at, rule: 'plugin-build', message, help: '' }, { cause: error })
  }
}

/** Counts and logs a plugin's throws. */
function blame(route: string, plugin: string, deps: CompileDeps): (error: unknown) => void {
  const counter = deps.registry.handles(exchangeMetrics).weir_plugin_errors_total({ route, plugin })
  const log = quietly(deps.log, { route, plugin }, deps.clock)
  return function failed(error) {
    counter.add()
    log.error('plugin failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

/** Timers stop first, then the plugin's own `close` runs, once. */
function closer(hooks: Hooks, closeHost: () => void, failed: (error: unknown) => void): () => Promise<void> {
  let closing: Promise<void> | null = null
  async function run(): Promise<void> {
    closeHost()
    try {
      await hooks.close?.()
    } catch (error) {
      failed(error)
    }
  }
  return () => (closing ??= run())
}

function steps<F>(built: readonly Built[], pick: (hooks: Hooks) => F | undefined): readonly Step<F>[] | null {
  const found: Step<F>[] = []
  for (const { instance, index, onError, failed, hooks } of built) {
    const run = pick(hooks)
    if (run !== undefined) found.push({ plugin: instance, index, onError, run, failed })
  }
  return found.length === 0 ? null : found
}

function served(built: readonly Built[]): ReadonlyMap<string, readonly Step<ServeRoute>[]> | null {
  const paths = new Map<string, Step<ServeRoute>[]>()
  for (const { instance, index, onError, failed, hooks } of built) {
    for (const [at, run] of Object.entries(hooks.serve ?? {})) paths.set(at, [...(paths.get(at) ?? []), { plugin: instance, index, onError, run, failed }])
  }
  return paths.size === 0 ? null : paths
}

// ---------------------------------------------------------------- the onion

interface Layer {
  readonly level: Nesting
  readonly wrap: Wrap
  readonly built: Built
}

function compose(built: readonly Built[], backend: Backend): Send {
  const layers = built.flatMap(layersOf)
  if (layers.length === 0 && !built.some((one) => one.hooks.picksBackend === true)) return backend.send
  let send: Send = (x, leg) => leg.backend.send(x, leg)
  for (const level of NESTING.toReversed()) {
    const [layer, second] = layers.filter((one) => one.level === level)
    if (second !== undefined) {
      const message = `"${layer!.built.instance}" and "${second.built.instance}" both wrap the backend call at level "${level}"`
      throw new BuildProblem({ at: second.built.at, rule: 'same-nesting', message, help: 'Keep one of the two.' })
    }
    if (layer !== undefined) send = guarded(layer, send)
  }
  return send
}

function layersOf(built: Built): Layer[] {
  const { send } = built.hooks
  if (send === undefined) return []
  if (typeof send !== 'function') return Object.entries(send).map(([level, wrap]) => ({ level: level as Nesting, wrap, built }))
  if (built.plugin.nesting !== undefined) return [{ level: built.plugin.nesting, wrap: send, built }]
  throw new BuildProblem({ at: built.at, rule: 'no-nesting', message: `"${built.instance}" wraps the backend call but does not say where`, help: `Declare \`nesting\` in the plugin: one of ${NESTING.join(', ')}.` })
}

/** The wrapped send with its failures attributed: from here on only a `WeirError` comes out. */
function guarded({ wrap, built }: Layer, next: Send): Send {
  // What came from below and is handed on as it is needs no second guard.
  let below: Answer | Promise<Answer> | null = null
  const inner = wrap((x, leg) => (below = next(x, leg)))
  function attribute(error: unknown): never {
    if (error instanceof WeirError) throw error
    built.failed(error)
    throw new WeirError('PLUGIN_FAILED', undefined, { cause: error })
  }
  return function send(x, leg) {
    try {
      const answer = inner(x, leg)
      const passed = answer === below
      below = null
      return passed || !(answer instanceof Promise) ? answer : answer.catch(attribute)
    } catch (error) {
      return Promise.reject(error).catch(attribute)
    }
  }
}
