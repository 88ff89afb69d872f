/** One version of one model on the control thread: what serves, what was tried, and how it is told. */
import { basename, relative } from 'node:path'
import type { BatchingConfig, ModelsConfig, OnnxBackendConfig } from '../../../config/config.ts'
import type { ModelDescription, ModelState } from '../description.ts'
import type { Loaded } from './library.ts'
import { type Placement, UNMEASURED } from '../inference/placement.ts'
import type { FoundModel, Look } from './folder.ts'
import type { Signature } from '../signature.ts'

/** What is to be loaded, and how. */
export interface Candidate {
  readonly name: string
  /** '' for an `onnx` backend. */
  readonly version: string
  readonly source: ModelDescription['source']
  /** Absolute. */
  readonly file: string
  /** The file for readers. */
  readonly shown: string
  readonly placement: 'auto' | Placement
  readonly batching: BatchingConfig | null
  readonly features: readonly string[] | null
}

export interface Slot {
  readonly candidate: Candidate
  readonly state: ModelState
  /** What serves, or (while `unloading`) served. */
  readonly loaded: Loaded | null
  /** Of the files that were tried last; they may have failed while those before serve on. */
  readonly tried: Look
  readonly reason: string
  readonly load_ms: number
}

export function backendCandidate({ name, path, placement, batching, columns }: OnnxBackendConfig): Candidate {
  return { name, version: '', source: 'backend', file: path, shown: basename(path), placement, batching, features: columns }
}

export function repositoryCandidate({ name, version, file }: FoundModel, { path, placement, batching }: ModelsConfig): Candidate {
  return { name, version, source: 'repository', file, shown: relative(path, file), placement, batching, features: null }
}

/** Slots of one set are told apart by it. Names have no slash. */
export function keyOf({ source, name, version }: Pick<Candidate, 'source' | 'name' | 'version'>): string {
  return `${source}/${name}/${version}`
}

/** @param state other than the slot's own while it is being changed @param unavailable why what is loaded runs no more */
export function describe(slot: Slot, state: ModelState = slot.state, unavailable: string | null = null): ModelDescription {
  const { name, version, source, file, batching, features } = slot.candidate
  const { loaded, tried, load_ms } = slot
  const base = { name, version, source, file, features, load_ms, state, reason: unavailable ?? slot.reason, modified_at: tried.modified_at }
  if (loaded === null) return { ...base, id: 0, signature: null, placement: null, why: '', measured: UNMEASURED, batching: null, bytes: tried.bytes, fingerprint: tried.fingerprint, loaded_at: 0 }
  const { id, signature, placement, why, measured, loaded_at, bytes } = loaded
  const joined = placement === 'thread' && measured.independent_rows ? batching : null
  return { ...base, id, signature, placement, why, measured, batching: joined, bytes, fingerprint: loaded.request.fingerprint, loaded_at }
}

/** What loads and still cannot be served. */
export function unusable(signature: Signature, features: readonly string[] | null): string | null {
  const odd = signature.inputs.find((input) => input.dtype === null)
  if (odd !== undefined) return `its input "${odd.name}" is not a tensor`
  if (features === null) return null
  const [only, more] = signature.inputs
  if (only === undefined || more !== undefined || only.shape.length !== 2) return '"columns" needs a model with one input of two dimensions'
  const width = only.shape[1]!
  return width === -1 || width === features.length ? null : `"columns" has ${features.length} names, its input "${only.name}" ${width} columns`
}
