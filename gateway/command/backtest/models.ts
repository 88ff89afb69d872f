/** The models inside, run in this thread: no time passes for a row on the clock of a file, so nothing is placed, batched or watched. */
import type { BackendConfig, Config } from '../../../config/config.ts'
import { systemClock } from '../../clock.ts'
import type { Backend, Gather } from '../../exchange.ts'
import type { ModelPart } from '../../gateway.ts'
import type { ModelsDescription } from '../../models/description.ts'
import type { ModelDeps } from '../../models/model.ts'
import { createModels } from '../../models/models.ts'
import type { Operator } from '../../models/operator.ts'
import type { ModelIssue } from '../../models/repository/complaints.ts'
import { createLibrary, ModelSet } from '../../models/repository/model_set.ts'
import { residentsOf } from '../../models/residents.ts'
import type { Signature } from '../../models/signature.ts'

/** What a model takes, for requests that are made of rows. */
export interface Taken {
  readonly signature: Signature
  readonly features: readonly string[] | null
}

export interface InsideModels {
  readonly part: ModelPart
  readonly issues: readonly ModelIssue[]
  /** null: a backend without a model, or one that did not load. */
  taken(backend: BackendConfig): Taken | null
}

const NOBODY: Operator = {
  index: async () => [],
  load: async () => ({ code: 'MODEL_NOT_FOUND', message: 'models do not change in a backtest' }),
  unload: async () => ({ code: 'MODEL_NOT_FOUND', message: 'models do not change in a backtest' }),
  counts: async () => [],
}

/** As `config` names them, on no other thread than this. */
export function hereAlone(config: Config): Config {
  const inline = (backend: BackendConfig): BackendConfig => (backend.kind === 'onnx' ? { ...backend, placement: 'inline', batching: null } : backend)
  const backends = Object.fromEntries(Object.entries(config.backends).map(([name, backend]) => [name, inline(backend)]))
  return { ...config, backends, models: config.models === null ? null : { ...config.models, placement: 'inline', batching: null, watch_ms: 0 } }
}

/** @param config as `hereAlone` makes it */
export async function openModels(config: Config, deps: Omit<ModelDeps, 'clock'>, gather: Gather): Promise<InsideModels> {
  const clock = systemClock
  const library = createLibrary(config, { clock, log: deps.log })
  const set = new ModelSet(config, library, deps.log)
  await set.load(null)
  const { description, issues } = set
  const models = await createModels(description, { ...deps, clock, gather, operator: NOBODY, residents: residentsOf(null, clock) })
  // From here on they run on copies of this thread.
  await library.close()
  const inside = Object.values(config.backends).filter((backend) => backend.kind === 'onnx' || backend.kind === 'model')
  const part: ModelPart = { backends: new Map(inside.map((backend): [string, Backend] => [backend.name, models.backend(backend)])), routes: [], close: () => models.close() }
  return { part, issues, taken: (backend) => takenBy(description, backend) }
}

function takenBy({ models, labels }: ModelsDescription, backend: BackendConfig): Taken | null {
  const ready = models.filter(({ state, signature }) => state === 'ready' && signature !== null)
  if (backend.kind === 'onnx') return toTaken(ready.find(({ source, name }) => source === 'backend' && name === backend.name))
  if (backend.kind !== 'model') return null
  const versions = ready.filter(({ source, name }) => source === 'repository' && name === backend.model)
  const version = Object.hasOwn(labels, backend.model) ? (labels[backend.model]![backend.version] ?? backend.version) : backend.version
  return toTaken(version === 'latest' ? versions.at(-1) : versions.find((model) => model.version === version))
}

function toTaken(model: { readonly signature: Signature | null; readonly features: readonly string[] | null } | undefined): Taken | null {
  return model === undefined || model.signature === null ? null : { signature: model.signature, features: model.features }
}
