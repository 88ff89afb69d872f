/** The models of one generation as a data thread has them. What there is changes while the generation lives: see `update`. */
import type { ModelBackendConfig, OnnxBackendConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import type { Backend, Gather } from '../exchange.ts'
import { clip } from '../payload/json.ts'
import { modelBackend } from './backends.ts'
import type { ModelDescription, ModelsDescription } from './description.ts'
import type { ModelHost } from './inference/host.ts'
import { Model, type ModelDeps } from './model.ts'
import type { Operator } from './operator.ts'
import type { Residents } from './residents.ts'

export interface ModelsDeps extends ModelDeps {
  readonly gather: Gather
  readonly operator: Operator
  readonly residents: Residents
}

/** What one update came to. */
export interface Updated {
  /** What did not open here, with the library's words. */
  readonly failures: readonly OpenFailure[]
  /** Everything that left the list is closed: its last run is over. */
  readonly settled: Promise<void>
}

export interface OpenFailure {
  /** Of the description. */
  readonly id: number
  readonly error: string
}

/** What callers see; replaced as a whole. */
interface View {
  readonly repository: ReadonlyMap<string, readonly Model[]>
  readonly backends: ReadonlyMap<string, Model>
  readonly labels: ModelsDescription['labels']
}

const NOTHING: View = { repository: new Map(), backends: new Map(), labels: {} }

export class Models {
  readonly gather: Gather
  /** What only the control thread knows or may do. */
  readonly operator: Operator
  readonly #deps: ModelsDeps
  /** Open here, by id. */
  readonly #hosts = new Map<number, ModelHost>()
  #view: View = NOTHING

  constructor(deps: ModelsDeps) {
    this.#deps = deps
    this.gather = deps.gather
    this.operator = deps.operator
  }

  /** Names in order, versions ascending; also those that are not ready. A new map after each change. */
  get repository(): ReadonlyMap<string, readonly Model[]> {
    return this.#view.repository
  }

  /** Whether everything that loaded can answer now. */
  get ready(): boolean {
    return [...this.#hosts.values()].every((host) => host.ready)
  }

  /**
   * What is found may be unloaded as soon as anything else had its turn: find it right before the run, with no `await` between.
   * @param version a number, or `latest`: the highest that is ready
   * @throws WeirError `MODEL_NOT_FOUND`. A version that is known and not ready is found; its `run` throws `MODEL_NOT_READY`.
   */
  find(name: string, version = 'latest'): Model {
    const versions = this.repository.get(name)
    if (versions === undefined) throw new WeirError('MODEL_NOT_FOUND', `there is no model "${clip(name)}"`)
    if (version === 'latest') return versions.findLast((model) => model.loaded) ?? versions.at(-1)!
    const found = versions.find((model) => model.description.version === version)
    if (found === undefined) throw new WeirError('MODEL_NOT_FOUND', `model "${clip(name)}" has no version ${clip(version)}`)
    return found
  }

  /** The version a label of the config stands for. @throws WeirError as `find`, and `MODEL_NOT_FOUND` for a label that is not declared */
  labelled(name: string, label: string): Model {
    this.find(name)
    const labels = Object.hasOwn(this.#view.labels, name) ? this.#view.labels[name]! : {}
    if (Object.hasOwn(labels, label)) return this.find(name, labels[label])
    throw new WeirError('MODEL_NOT_FOUND', `model "${clip(name)}" has no label "${clip(label)}"`)
  }

  /** Asks anew for every request, so that `latest` and labels follow what is loaded. */
  backend(config: OnnxBackendConfig | ModelBackendConfig): Backend {
    return modelBackend(config.name, config.kind, this.#resolver(config), this.gather)
  }

  #resolver(config: OnnxBackendConfig | ModelBackendConfig): () => Model {
    if (config.kind === 'onnx') return () => this.#ofBackend(config.name)
    const { model, version } = config
    return version === 'latest' || NUMBER.test(version) ? () => this.find(model, version) : () => this.labelled(model, version)
  }

  #ofBackend(name: string): Model {
    const model = this.#view.backends.get(name)
    if (model === undefined) throw new WeirError('MODEL_NOT_FOUND', `there is no model for backend "${name}"`)
    return model
  }

  /**
   * Opens what is new, then shows the new list in one step, then lets go of what is not in it. What is `loading` is
   * opened and not shown, so that a later update can show it on all threads at about the same time.
   */
  async update({ models, labels }: ModelsDescription): Promise<Updated> {
    const wanted = models.filter(isOpen)
    const failures = (await Promise.all(wanted.map((model) => this.#open(model)))).filter((failure) => failure !== null)
    this.#show(models, labels)
    const ids = new Set(wanted.map(({ id }) => id))
    return { failures, settled: this.#letGo([...this.#hosts.keys()].filter((id) => !ids.has(id))) }
  }

  /** When the last exchange is done. */
  async close(): Promise<void> {
    this.#view = NOTHING
    await this.#letGo([...this.#hosts.keys()])
  }

  async #open(model: ModelDescription): Promise<OpenFailure | null> {
    if (this.#hosts.has(model.id)) return null
    try {
      this.#hosts.set(model.id, await this.#deps.residents.take(model))
      return null
    } catch (error) {
      // It loaded in the control thread and does not here: its file was replaced since, perhaps.
      this.#deps.log.error('a model did not load', { model: model.name, version: model.version, error: String(error) })
      return { id: model.id, error: error instanceof Error ? error.message : String(error) }
    }
  }

  #show(models: readonly ModelDescription[], labels: ModelsDescription['labels']): void {
    const ready = new Set(models.filter(({ state }) => state === 'ready').map(keyOf))
    const shown = models.filter((model) => model.state === 'ready' || !ready.has(keyOf(model))).map((model) => this.#modelOf(model))
    const repository = Map.groupBy(shown.filter(({ description }) => description.source === 'repository'), ({ description }) => description.name)
    const backends = new Map(shown.filter(({ description }) => description.source === 'backend').map((model) => [model.description.name, model]))
    this.#view = { repository, backends, labels }
  }

  #modelOf(model: ModelDescription): Model {
    return new Model(model, model.state === 'ready' ? (this.#hosts.get(model.id) ?? null) : null, this.#deps)
  }

  async #letGo(ids: readonly number[]): Promise<void> {
    for (const id of ids) this.#hosts.delete(id)
    const { residents, log } = this.#deps
    // Whoever waits for it waits for the memory, which a session that cannot be released keeps anyway.
    await Promise.all(ids.map((id) => residents.giveBack(id).catch((error: unknown) => log.error('a model was not closed', { error: String(error) }))))
  }
}

const NUMBER = /^[0-9]+$/

function isOpen({ state, placement }: ModelDescription): boolean {
  return placement !== null && (state === 'ready' || state === 'loading')
}

function keyOf({ source, name, version }: ModelDescription): string {
  return `${source} ${name}/${version}`
}

/** The models of a new generation. */
export async function createModels(description: ModelsDescription, deps: ModelsDeps): Promise<Models> {
  const models = new Models(deps)
  await models.update(description)
  return models
}
