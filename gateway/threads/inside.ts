/** The models inside as a data thread has them: backends by name, and the built-in endpoints as routes. Loaded only when a config has models. */
import type { MessagePort } from 'node:worker_threads'
import type { Config, RouteConfig } from '../../config/config.ts'
import type { Backend, Gather } from '../exchange.ts'
import type { ModelPart } from '../gateway.ts'
import { InferenceClient } from '../models/inference/client.ts'
import type { ModelsDescription } from '../models/description.ts'
import { builtinRoutes } from '../models/endpoints.ts'
import type { ModelDeps } from '../models/model.ts'
import { createModels, type Models, type OpenFailure } from '../models/models.ts'
import type { Operator } from '../models/operator.ts'
import type { BuiltinRoute } from '../models/protocol/route.ts'
import { type Residents, residentsOf } from '../models/residents.ts'
import type { CompiledRoute } from '../pipeline/route.ts'
import type { RouteEntry } from '../server/router.ts'
import type { ControlOrders, DataOrders, Link, ModelGrant } from './messages.ts'

/** As `max_body_bytes` of a route that says nothing. */
const MAX_BODY_BYTES = 64 << 20
const ASK_MS = 5_000
/** A load takes as long as the file is large. */
const CHANGE_MS = 600_000

export interface InsideDeps extends ModelDeps {
  readonly gather: Gather
  readonly control: Link<DataOrders, ControlOrders>
}

export class Inside {
  readonly #version: string
  readonly #deps: InsideDeps
  readonly #operator: Operator
  /** Models of the generations that are open, by grant. */
  readonly #open = new Map<number, Models>()
  #client: InferenceClient | null = null
  #residents: Residents

  /** @param version of weir */
  constructor(version: string, deps: InsideDeps) {
    this.#version = version
    this.#deps = deps
    this.#operator = operatorOf(deps.control)
    this.#residents = residentsOf(null, deps.clock)
  }

  /** Models that are open in this thread, all generations together. */
  get models(): number {
    return this.#residents.size
  }

  async open(config: Config, { id, description, port }: ModelGrant): Promise<ModelPart> {
    const { clock, log, registry, gather } = this.#deps
    if (port !== null) this.#connect(port, config)
    const models = await createModels(description, { clock, log, registry, gather, operator: this.#operator, residents: this.#residents })
    if (description.models.some(({ placement }) => placement === 'thread')) await this.#client?.connected()
    this.#open.set(id, models)
    const inside = Object.values(config.backends).filter((backend) => backend.kind === 'onnx' || backend.kind === 'model')
    return {
      backends: new Map(inside.map((backend): [string, Backend] => [backend.name, models.backend(backend)])),
      routes: config.models === null ? [] : builtinRoutes({ models, config: config.models, version: this.#version }).map(asEntry),
      close: () => this.#close(id, models),
    }
  }

  /** @returns what did not open; nothing for a grant whose generation is closed */
  async update(grant: number, revision: number, description: ModelsDescription): Promise<readonly OpenFailure[]> {
    const models = this.#open.get(grant)
    if (models === undefined) return []
    const { failures, settled } = await models.update(description)
    void settled.then(() => this.#tell('settled', grant, revision))
    return failures
  }

  /** The first models, or the first after a time without. */
  #connect(port: MessagePort, { inference }: Config): void {
    const { clock } = this.#deps
    this.#client?.close()
    this.#client = new InferenceClient(port, { clock, queue: inference.queue })
    this.#residents = residentsOf(this.#client, clock)
  }

  async #close(id: number, models: Models): Promise<void> {
    this.#open.delete(id)
    await models.close()
    this.#tell('release', id)
  }

  #tell(...[order, ...args]: ['settled', number, number] | ['release', number]): void {
    void this.#deps.control.ask(order, args as never, ASK_MS).catch(() => undefined)
  }
}

function operatorOf(control: Link<DataOrders, ControlOrders>): Operator {
  return {
    index: () => control.ask('modelIndex', [], ASK_MS),
    load: (name) => control.ask('repository', ['load', name], CHANGE_MS),
    unload: (name) => control.ask('repository', ['unload', name], CHANGE_MS),
    counts: () => control.ask('modelCounts', [], ASK_MS),
  }
}

/** An endpoint as a route without plugins. Its name, in metrics and answers, is its path. */
function asEntry(endpoint: BuiltinRoute): RouteEntry<CompiledRoute> {
  const send: Backend['send'] = (x) => endpoint.handle(x, x.params ?? {})
  const backend: Backend = { name: '', kind: 'builtin', send }
  const match: RouteConfig['match'] = { host: null, methods: endpoint.methods, path: endpoint.path, headers: {}, when: null }
  const none = { request: null, requestBody: null, response: null, responseBody: null, responseChunk: null, finish: null, done: null }
  // A probe that is shed would look like a gateway that is dead: what only tells of models stays as long as anything does.
  const criticality = endpoint.methods.includes('POST') ? 'standard' : 'critical'
  const route: CompiledRoute = { name: endpoint.path, format: endpoint.format, maxBodyBytes: MAX_BODY_BYTES, backend, criticality, plugins: [], slots: 0, ...none, send, replayBytes: 0, plain: true, serve: null, admin: new Map(), close: async () => undefined }
  return { match, when: null, route }
}
