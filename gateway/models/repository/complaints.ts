/** What is wrong with the models of a configuration, each at its place in the file. */
import type { BuildIssue, Config, ModelsConfig } from '../../../config/config.ts'
import type { Slot } from './slot.ts'

/** A model that cannot be served. An `onnx` backend is an error, a model of a repository a warning: the others serve. */
export interface ModelIssue extends BuildIssue {
  readonly severity: 'error' | 'warning'
}

/** @param remarks on folders that hold no model */
export function complaints({ models, backends }: Config, slots: readonly Slot[], remarks: readonly string[]): ModelIssue[] {
  const versions = Map.groupBy(slots.filter(({ candidate }) => candidate.source === 'repository'), ({ candidate }) => candidate.name)
  return [
    ...remarks.map((message): ModelIssue => ({ severity: 'warning', at: 'models', rule: 'no-model', message, help: 'Add versions or move it away.' })),
    ...slots.filter(({ reason }) => reason !== '').map(badModel),
    ...Object.values(backends).flatMap((backend) => (backend.kind === 'model' ? badReference(backend.name, backend.model, backend.version, models, versions) : [])),
    ...(models === null ? [] : badLabels(models, versions)),
  ]
}

export function unreadable(error: unknown): ModelIssue {
  const message = `the folder of models cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`
  return { severity: 'error', at: 'models.path', rule: 'models-path', message, help: 'It holds name/version/model.onnx.' }
}

function badModel({ candidate, state, reason }: Slot): ModelIssue {
  const { source, name } = candidate
  if (state === 'ready') return { severity: 'warning', at: 'models', rule: 'model-replace', message: reason, help: 'The file before is served on.' }
  const backend = source === 'backend'
  return {
    severity: backend ? 'error' : 'warning',
    at: backend ? `backends.${name}.onnx` : 'models',
    rule: 'model-load',
    message: `cannot serve this model: ${reason}`,
    help: backend ? '' : 'The other models are served.',
  }
}

/** A `model` backend that names nothing. One whose model is there but bad is reported with the model. */
function badReference(name: string, model: string, version: string, models: ModelsConfig | null, versions: ReadonlyMap<string, readonly Slot[]>): ModelIssue[] {
  const at = `backends.${name}`
  const known = versions.get(model)
  if (known === undefined) {
    const names = [...versions.keys()].join(', ')
    const help = names === '' ? 'The config has no models.' : `There are ${names}.`
    return [{ severity: 'error', at: `${at}.model`, rule: 'unknown-model', message: `there is no model "${model}"`, help }]
  }
  const label = labelsOf(models, model)[version]
  return version === 'latest' || label !== undefined ? [] : missing(`${at}.version`, model, version, known)
}

/** Labels of models that are not there are found with the file. */
function badLabels(models: ModelsConfig, versions: ReadonlyMap<string, readonly Slot[]>): ModelIssue[] {
  return Object.keys(models.labels).flatMap((model) =>
    Object.entries(labelsOf(models, model)).flatMap(([label, version]) => {
      const at = `models.labels.${model}.${label}`
      const known = versions.get(model) ?? []
      const slot = known.find(({ candidate }) => candidate.version === version)
      if (slot === undefined) return missing(at, model, version, known)
      if (slot.state === 'ready') return []
      const message = `label "${label}" of model "${model}" stands for version ${version}, which is not ready`
      return [{ severity: 'warning', at, rule: 'label-not-ready', message, help: 'Requests to it are answered 503 until it is.' } satisfies ModelIssue]
    }),
  )
}

function missing(at: string, model: string, version: string, known: readonly Slot[]): ModelIssue[] {
  if (known.some(({ candidate }) => candidate.version === version)) return []
  const help = known.length === 0 ? 'No version of it is served.' : `It has ${known.map(({ candidate }) => candidate.version).join(', ')}.`
  return [{ severity: 'error', at, rule: 'unknown-version', message: `model "${model}" has no version ${version}`, help }]
}

function labelsOf(models: ModelsConfig | null, model: string): Readonly<Record<string, string>> {
  return models !== null && Object.hasOwn(models.labels, model) ? models.labels[model]! : {}
}
