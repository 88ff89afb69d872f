/** A folder of models: `name/version/model.onnx`, versions are integers. Whatever else lies there (notes, golden answers, weights) is ignored. */
import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export const MODEL_FILE = 'model.onnx'
/** Fifteen digits compare exactly; no leading zero, so that one version has one spelling. */
const VERSION = /^(?:0|[1-9][0-9]{0,14})$/
const MAX_REASON = 300

export interface FoundModel {
  readonly name: string
  readonly version: string
  /** Absolute. */
  readonly file: string
}

export interface Repository {
  /** Names in alphabetical order, versions ascending. */
  readonly models: readonly FoundModel[]
  /** Folders that hold no model, in words. */
  readonly remarks: readonly string[]
}

/** @throws when the folder itself cannot be read */
export async function scanRepository(path: string): Promise<Repository> {
  const models: FoundModel[] = []
  const remarks: string[] = []
  for (const name of await folders(path)) {
    const versions = (await folders(join(path, name))).filter((entry) => VERSION.test(entry)).sort((a, b) => Number(a) - Number(b))
    if (versions.length === 0) remarks.push(`${name}: expected folders named by a version (an integer) that hold ${MODEL_FILE}, found none`)
    for (const version of versions) models.push({ name, version, file: join(path, name, version, MODEL_FILE) })
  }
  return { models, remarks }
}

/** Folders and links to folders. Names that begin with a dot are not models (Kubernetes mounts have `..data`). */
async function folders(path: string): Promise<string[]> {
  const found: string[] = []
  for (const name of (await readdir(path)).sort()) {
    if (name.startsWith('.')) continue
    const entry = await stat(join(path, name)).catch(() => null)
    if (entry?.isDirectory() === true) found.push(name)
  }
  return found
}

/**
 * Why a file did not load, without the paths that ONNX Runtime puts into its messages.
 * @param shown the file's name for readers: relative to the repository, or as the config has it
 */
export function reasonOf(error: unknown, file: string, shown: string): string {
  const text = error instanceof Error ? error.message : String(error)
  const plain = text
    .replaceAll(file, shown)
    .replaceAll(`${dirname(file)}/`, '')
    // Source lines and C++ signatures of the library.
    .replace(/\/onnxruntime_src\/\S+ (?:[^()]*\([^)]*\))?\s*/g, '')
    .replace(/^Load model from .*? failed:\s*/, '')
    .replace(/\s+/g, ' ')
    .trim()
  return `${shown}: ${plain.length > MAX_REASON ? `${plain.slice(0, MAX_REASON)}…` : plain}`
}
