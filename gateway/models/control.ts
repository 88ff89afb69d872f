/** Models on the control thread: found, loaded once, measured, placed, described. What runs inline is loaded again by each data thread. */
import { basename, relative } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import type { BuildIssue, Config, OnnxBackendConfig } from '../../config/config.ts'
import type { ModelDescription, ModelsDescription } from './description.ts'
import type { FromInference } from './messages.ts'
import { type Placement, UNMEASURED } from './placement.ts'
import { InferencePool, type PoolDeps } from './pool.ts'
import { reasonOf, scanRepository } from './repository.ts'
import type { Signature } from './signature.ts'

/** A model that cannot be served. An `onnx` backend is an error, a model of a repository a warning: the others serve. */
export interface ModelIssue extends BuildIssue {
  readonly severity: 'error' | 'warning'
}

export interface ModelControl {
  /** Post it to the data threads. */
  readonly description: ModelsDescription
  readonly issues: readonly ModelIssue[]
  /** Deaths of the inference thread so far. */
  readonly restarts: number
  /** A port for one data thread (to be transferred), or null when no model runs on the inference thread. */
  connect(): MessagePort | null
  /** After the last data thread has let go of its models. */
  close(): Promise<void>
}

interface Candidate {
  readonly name: string
  readonly version: string
  readonly source: ModelDescription['source']
  readonly file: string
  /** The file for readers. */
  readonly shown: string
  readonly placement: 'auto' | Placement
  readonly features: readonly string[] | null
}

/** Never rejects for a bad model: see `issues`. A config without models starts no thread and loads no library. */
export async function createModelControl(config: Config, deps: Omit<PoolDeps, 'inference'>): Promise<ModelControl> {
  const issues: ModelIssue[] = []
  const remarks: string[] = []
  const candidates = [...backendCandidates(config), ...(await repositoryCandidates(config, issues, remarks))]
  const pool = new InferencePool({ ...deps, inference: config.inference })
  const models: ModelDescription[] = []
  for (const [id, candidate] of candidates.entries()) {
    const { file, placement, name, version } = candidate
    const outcome = await pool.load({ id, file, placement, batching: null })
    // In the library's words, for whoever the reason does not help.
    if ('error' in outcome) deps.log.warn('a model did not load', { name, version, error: outcome.error })
    models.push(describe(id, candidate, outcome))
  }
  for (const model of models) if (model.state === 'failed') issues.push(complaint(model))
  issues.push(...referenceIssues(config, models))
  const needed = pool.needed
  if (!needed) await pool.close()
  return {
    description: { models, labels: {}, remarks },
    issues,
    get restarts() {
      return pool.restarts
    },
    connect: () => (needed ? pool.connect() : null),
    close: () => pool.close(),
  }
}

/** For `weir check`: loads everything and lets go of it again. */
export async function loadForCheck(config: Config, deps: Omit<PoolDeps, 'inference'>): Promise<readonly ModelIssue[]> {
  const control = await createModelControl(config, deps)
  await control.close()
  return control.issues
}

function backendCandidates(config: Config): Candidate[] {
  return Object.values(config.backends)
    .filter((backend): backend is OnnxBackendConfig => backend.kind === 'onnx')
    .map(({ name, path, placement, columns }) => ({ name, version: '', source: 'backend', file: path, shown: basename(path), placement, features: columns }))
}

async function repositoryCandidates(config: Config, issues: ModelIssue[], remarks: string[]): Promise<Candidate[]> {
  if (config.models === null) return []
  const { path, placement } = config.models
  try {
    const repository = await scanRepository(path)
    remarks.push(...repository.remarks)
    for (const message of repository.remarks) issues.push({ severity: 'warning', at: 'models', rule: 'no-model', message, help: 'Add versions or move it away.' })
    return repository.models.map(({ name, version, file }) => {
      return { name, version, source: 'repository', file, shown: relative(path, file), placement, features: null }
    })
  } catch (error) {
    const message = `the folder of models cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`
    issues.push({ severity: 'error', at: 'models.path', rule: 'models-path', message, help: 'It holds name/version/model.onnx.' })
    return []
  }
}

function describe(id: number, candidate: Candidate, outcome: FromInference): ModelDescription {
  const { name, version, source, file, features } = candidate
  const base = { id, name, version, source, file, features, bytes: 0, fingerprint: '', modified_at: 0, loaded_at: 0, load_ms: outcome.load_ms }
  const failed = (reason: string): ModelDescription => ({ ...base, state: 'failed', reason, signature: null, placement: null, why: '', measured: UNMEASURED, batching: null })
  if ('error' in outcome) return failed(reasonOf(outcome.error, file, candidate.shown))
  const { signature, placement, why, measured } = outcome
  const complaint = unusable(signature, features)
  if (complaint !== null) return failed(`${candidate.shown}: ${complaint}`)
  return { ...base, state: 'ready', reason: '', signature, placement, why, measured, batching: null }
}

/** What loads and still cannot be served. */
function unusable(signature: Signature, features: readonly string[] | null): string | null {
  const odd = signature.inputs.find((input) => input.dtype === null)
  if (odd !== undefined) return `its input "${odd.name}" is not a tensor`
  if (features === null) return null
  const [only, more] = signature.inputs
  if (only === undefined || more !== undefined || only.shape.length !== 2) return '"columns" needs a model with one input of two dimensions'
  const width = only.shape[1]!
  return width === -1 || width === features.length ? null : `"columns" has ${features.length} names, its input "${only.name}" ${width} columns`
}

function complaint(model: ModelDescription): ModelIssue {
  const backend = model.source === 'backend'
  return {
    severity: backend ? 'error' : 'warning',
    at: backend ? `backends.${model.name}.onnx` : 'models',
    rule: 'model-load',
    message: `cannot serve this model: ${model.reason}`,
    help: backend ? '' : 'The other models are served.',
  }
}

/** `model:` backends that name nothing. One whose model is there but bad is reported with the model. */
function referenceIssues(config: Config, models: readonly ModelDescription[]): ModelIssue[] {
  const versions = Map.groupBy(models.filter(({ source }) => source === 'repository'), ({ name }) => name)
  const names = [...versions.keys()].join(', ')
  const issues: ModelIssue[] = []
  for (const backend of Object.values(config.backends)) {
    if (backend.kind !== 'model') continue
    const at = `backends.${backend.name}`
    const known = versions.get(backend.model)?.map(({ version }) => version)
    if (known === undefined) {
      const help = names === '' ? 'The config has no models.' : `There are ${names}.`
      issues.push({ severity: 'error', at: `${at}.model`, rule: 'unknown-model', message: `there is no model "${backend.model}"`, help })
    } else if (backend.version !== 'latest' && !known.includes(backend.version)) {
      const message = `model "${backend.model}" has no version ${backend.version}`
      issues.push({ severity: 'error', at: `${at}.version`, rule: 'unknown-version', message, help: `It has ${known.join(', ')}.` })
    }
  }
  return issues
}
