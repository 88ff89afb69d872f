/** A gateway: builds generations beside the running one, swaps them, closes the old ones. One in every data thread. */
import { isDeepStrictEqual } from 'node:util'
import type { BackendConfig, BuildIssue, Config, HttpBackendConfig, PluginConfig, RouteConfig } from '../config/config.ts'
import type { Backend, Gather } from './exchange.ts'
import { Generation } from './generation.ts'
import { type CompileDeps, compileRoute } from './pipeline/compile.ts'
import { BuildProblem, KeepStore } from './pipeline/host.ts'
import type { CompiledRoute } from './pipeline/route.ts'
import type { Plugin } from './plugin.ts'
import { compileRouter, type RouteEntry } from './server/router.ts'
import { servedEntries } from './server/served.ts'
import { answerBackend } from './upstream/answer.ts'
import type { HttpBackend } from './upstream/transport.ts'

/** Backends and endpoints of the models inside, for one generation. */
export interface ModelPart {
  /** By name: the `onnx` and `model` backends of the config. */
  readonly backends: ReadonlyMap<string, Backend>
  /** The built-in endpoints; they come after the routes of the file. */
  readonly routes: readonly RouteEntry<CompiledRoute>[]
  close(): void | Promise<void>
}

export interface GatewayDeps extends Omit<CompileDeps, 'backends' | 'keep' | 'state' | 'thread'> {
  /** Which data thread this is. */
  readonly thread: number
  httpBackend(config: HttpBackendConfig): HttpBackend
  /** The code of a plugin: built in by name, or a file of the user's. */
  plugin(config: PluginConfig): Plugin | Promise<Plugin>
  gather: Gather
  /** From here on exchanges begin on this generation. */
  use(generation: Generation): void
}

export class Gateway {
  readonly #deps: GatewayDeps
  readonly #keep = new KeepStore()
  readonly #shelf: Shelf
  #current: Generation | null = null
  #next = 1

  constructor(deps: GatewayDeps) {
    this.#deps = deps
    this.#shelf = new Shelf((config) => deps.httpBackend(config))
  }

  get current(): Generation | null {
    return this.#current
  }

  /** The HTTP backends of every generation that is still open. */
  get httpBackends(): HttpBackend[] {
    return this.#shelf.all()
  }

  /**
   * A generation ready to be swapped in or discarded, or every problem there is. One at a time.
   * @param models closed with the generation, also when there are problems
   */
  async prepare(config: Config, models: ModelPart | null): Promise<Generation | BuildIssue[]> {
    this.#keep.begin()
    const draft = new Draft(config, models, this.#deps, this.#keep, this.#shelf)
    const issues = await draft.build()
    if (issues.length > 0) {
      this.#keep.abandon()
      await draft.close()
      return issues
    }
    const entries = draft.entries()
    const served = servedEntries(entries.map(({ route }) => route), this.#deps.gather)
    return new Generation(this.#next++, config, compileRouter([...served, ...entries]), entries.map(({ route }) => route), () => draft.close())
  }

  /** The old generation closes when its last exchange is done. */
  swap(generation: Generation): void {
    const old = this.#current
    this.#current = generation
    this.#deps.use(generation)
    this.#keep.commit()
    old?.retire()
  }

  async discard(generation: Generation): Promise<void> {
    this.#keep.abandon()
    await generation.close()
  }

  /** Whatever is still in flight. */
  async close(): Promise<void> {
    await this.#current?.close()
  }
}

// ---------------------------------------------------------------- one generation on its way

/** What a generation is built of, as far as it is built; closes exactly that. */
class Draft {
  readonly #config: Config
  readonly #deps: GatewayDeps
  readonly #keep: KeepStore
  readonly #shelf: Shelf
  readonly #taken: HttpBackend[] = []
  readonly #entries: RouteEntry<CompiledRoute>[] = []
  readonly #models: ModelPart | null

  constructor(config: Config, models: ModelPart | null, deps: GatewayDeps, keep: KeepStore, shelf: Shelf) {
    this.#config = config
    this.#models = models
    this.#deps = deps
    this.#keep = keep
    this.#shelf = shelf
  }

  async build(): Promise<BuildIssue[]> {
    const backends = new Map(this.#models?.backends)
    for (const backend of Object.values(this.#config.backends)) this.#addBackend(backend, backends)
    const issues: BuildIssue[] = []
    for (const [i, route] of this.#config.routes.entries()) issues.push(...(await this.#buildRoute(route, `routes[${i}]`, backends)))
    return issues
  }

  entries(): RouteEntry<CompiledRoute>[] {
    return [...this.#entries, ...(this.#models?.routes ?? [])]
  }

  async close(): Promise<void> {
    for (const { route } of this.#entries) await route.close()
    for (const backend of this.#taken) this.#shelf.giveBack(backend)
    await this.#models?.close()
  }

  #addBackend(config: BackendConfig, into: Map<string, Backend>): void {
    if (config.kind === 'answer') into.set(config.name, answerBackend(config, this.#deps.gather))
    if (config.kind !== 'http') return
    const backend = this.#shelf.take(config)
    this.#taken.push(backend)
    into.set(config.name, backend)
  }

  async #buildRoute(route: RouteConfig, at: string, backends: ReadonlyMap<string, Backend>): Promise<BuildIssue[]> {
    const { threads, state } = this.#config
    const deps: CompileDeps = { ...this.#deps, backends, keep: this.#keep, state, thread: { index: this.#deps.thread, count: Math.max(threads, this.#deps.thread + 1) } }
    try {
      const when = route.match.when === null ? null : this.#deps.compileCondition(route.match.when)
      const plugins = await Promise.all(route.plugins.map((plugin) => this.#findPlugin(plugin)))
      this.#entries.push({ match: route.match, when, route: await compileRoute(route, plugins, deps) })
      return []
    } catch (error) {
      if (error instanceof BuildProblem) return [plain(error)]
      return [{ at, rule: 'route-build', message: `route "${route.name}" could not be built: ${error instanceof Error ? error.message : String(error)}`, help: '' }]
    }
  }

  async #findPlugin(config: PluginConfig): Promise<Plugin> {
    try {
      return await this.#deps.plugin(config)
    } catch (error) {
      if (error instanceof BuildProblem) throw error
      throw new BuildProblem({ at: config.at, rule: 'plugin-load', message: `"${config.name}" could not be loaded: ${error instanceof Error ? error.message : String(error)}`, help: '' }, { cause: error })
    }
  }
}

/** Errors do not travel between threads as they are. */
function plain({ at, rule, message, help }: BuildIssue): BuildIssue {
  return { at, rule, message, help }
}

// ---------------------------------------------------------------- backends that outlive a reload

interface Shelved {
  readonly backend: HttpBackend
  /** Generations that use it. */
  users: number
}

/** HTTP backends by their whole config: one that did not change keeps its connections and its health. */
class Shelf {
  readonly #make: (config: HttpBackendConfig) => HttpBackend
  readonly #shelved = new Set<Shelved>()

  constructor(make: (config: HttpBackendConfig) => HttpBackend) {
    this.#make = make
  }

  all(): HttpBackend[] {
    return [...this.#shelved].map(({ backend }) => backend)
  }

  take(config: HttpBackendConfig): HttpBackend {
    for (const one of this.#shelved) {
      if (!isDeepStrictEqual(one.backend.config, config)) continue
      one.users++
      return one.backend
    }
    const backend = this.#make(config)
    this.#shelved.add({ backend, users: 1 })
    return backend
  }

  giveBack(backend: HttpBackend): void {
    for (const one of this.#shelved) {
      if (one.backend !== backend) continue
      one.users--
      if (one.users > 0) return
      this.#shelved.delete(one)
      backend.close()
    }
  }
}
