/** The models of one generation as a data thread has them: the small ones loaded here, the others behind the inference thread. */
import type { MessagePort } from 'node:worker_threads'
import type { ModelBackendConfig, OnnxBackendConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import type { Backend } from '../exchange.ts'
import { clip } from '../payload/json.ts'
import { modelBackend } from './backends.ts'
import { InferenceClient } from './client.ts'
import type { ModelDescription, ModelsDescription } from './description.ts'
import { InlineHost, type ModelHost } from './host.ts'
import { type Gather, Model, type ModelDeps } from './model.ts'
import { openSession } from './session.ts'

export interface ModelsDeps extends ModelDeps {
  readonly gather: Gather
}

export class Models {
  /** Of the repository, names in order, versions ascending; also those that failed to load. */
  readonly repository: ReadonlyMap<string, readonly Model[]>
  readonly gather: Gather
  readonly #backends: ReadonlyMap<string, Model>
  readonly #client: InferenceClient | null

  constructor(models: readonly Model[], client: InferenceClient | null, gather: Gather) {
    const repository = models.filter(({ description }) => description.source === 'repository')
    this.repository = Map.groupBy(repository, ({ description }) => description.name)
    this.#backends = new Map(models.filter(({ description }) => description.source === 'backend').map((model) => [model.description.name, model]))
    this.#client = client
    this.gather = gather
  }

  /** Whether everything that loaded can answer now. */
  get ready(): boolean {
    return this.#all().every((model) => !model.loaded || model.ready)
  }

  /**
   * @param version a number, or `latest`: the highest that loaded
   * @throws WeirError `MODEL_NOT_FOUND`, `MODEL_NOT_READY`
   */
  find(name: string, version = 'latest'): Model {
    const versions = this.repository.get(name)
    if (versions === undefined) throw new WeirError('MODEL_NOT_FOUND', `there is no model "${clip(name)}"`)
    if (version === 'latest') return versions.findLast((model) => model.loaded) ?? versions.at(-1)!
    const found = versions.find((model) => model.description.version === version)
    if (found === undefined) throw new WeirError('MODEL_NOT_FOUND', `model "${clip(name)}" has no version ${clip(version)}`)
    return found
  }

  /** @throws WeirError for a model that is not there (the loader has said so before) */
  backend(config: OnnxBackendConfig | ModelBackendConfig): Backend {
    const model = config.kind === 'onnx' ? this.#backends.get(config.name) : this.find(config.model, config.version)
    if (model === undefined) throw new WeirError('MODEL_NOT_FOUND', `there is no model for backend "${config.name}"`)
    return modelBackend(config.name, config.kind, model, this.gather)
  }

  /** When the last exchange is done. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map((model) => model.close()))
    this.#client?.close()
  }

  #all(): Model[] {
    return [...this.#backends.values(), ...[...this.repository.values()].flat()]
  }
}

/** @param port from `ModelControl.connect()`, null when no model runs on the inference thread */
export async function createModels(description: ModelsDescription, port: MessagePort | null, deps: ModelsDeps): Promise<Models> {
  const client = port === null ? null : new InferenceClient(port)
  const hosts = await Promise.all(description.models.map((model) => host(model, client, deps)))
  await client?.connected(deps.clock)
  return new Models(description.models.map((model, i) => new Model(model, hosts[i]!, deps)), client, deps.gather)
}

/** A file that loaded in the control thread and does not here (replaced since, perhaps) takes nothing else down. */
async function host(model: ModelDescription, client: InferenceClient | null, { clock, log }: ModelsDeps): Promise<ModelHost | null> {
  if (model.state === 'failed') return null
  if (model.placement === 'thread') return client === null ? null : client.host(model.id)
  try {
    return new InlineHost(await openSession(model.file, clock))
  } catch (error) {
    log.error('a model did not load', { model: model.name, version: model.version, error: String(error) })
    return null
  }
}
