/** A folder of models: `name/version/model.onnx`, versions are integers. Whatever else lies there (notes, golden answers, weights) is ignored. */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

export const MODEL_FILE = 'model.onnx'
/** Fifteen digits compare exactly; no leading zero, so that one version has one spelling. */
const VERSION = /^(?:0|[1-9][0-9]{0,14})$/
const MAX_REASON = 300
/** Folders of models, versions of one model, files of one version: what is beyond is not looked at, and said. */
const MAX = { models: 1000, versions: 1000, files: 256 } as const

export interface FoundModel {
  readonly name: string
  readonly version: string
  /** Absolute. */
  readonly file: string
  readonly look: Look
}

/** What is seen of a model's files from outside. */
export interface Look {
  /** Of names, sizes and times of its files; '' when the model's own file is not there. */
  readonly fingerprint: string
  /** Of the model's own file. */
  readonly bytes: number
  /** Of the model's own file, Unix milliseconds. */
  readonly modified_at: number
}

const ABSENT: Look = { fingerprint: '', bytes: 0, modified_at: 0 }

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
  for (const name of bounded(await folders(path), MAX.models, 'models', remarks)) {
    const versions = await scanModel(path, name, remarks)
    if (versions.length === 0) remarks.push(`${name}: expected folders named by a version (an integer) that hold ${MODEL_FILE}, found none`)
    models.push(...versions)
  }
  return { models, remarks }
}

/** @param path of the repository @returns versions of one model, ascending; none when its folder cannot be read */
export async function scanModel(path: string, name: string, remarks: string[] = []): Promise<FoundModel[]> {
  const entries = await folders(join(path, name)).catch(() => [])
  const versions = entries.filter((entry) => VERSION.test(entry)).sort((a, b) => Number(b) - Number(a))
  const files = bounded(versions, MAX.versions, `versions of ${name}`, remarks).reverse()
  return Promise.all(
    files.map(async (version) => {
      const file = join(path, name, version, MODEL_FILE)
      return { name, version, file, look: await lookAt(file) }
    }),
  )
}

function bounded(names: string[], max: number, what: string, remarks: string[]): string[] {
  if (names.length > max) remarks.push(`there are ${names.length} ${what}, of which the first ${max} are looked at`)
  return names.slice(0, max)
}

/**
 * A model and what belongs to it: the files of a version's folder, or, of a model under any other name, those whose names
 * begin with its own (external data is `m.onnx.data` or `m.onnx_data` to the exporters).
 */
export async function lookAt(file: string): Promise<Look> {
  const folder = dirname(file)
  const own = basename(file)
  const names = (await readdir(folder).catch(() => [])).sort().filter((name) => own === MODEL_FILE || name.startsWith(own))
  const hash = createHash('sha256')
  let found = ABSENT
  for (const name of names.slice(0, MAX.files)) {
    const entry = await stat(join(folder, name), { bigint: true }).catch(() => null)
    if (entry === null || !entry.isFile()) continue
    hash.update(`${name}\0${entry.size} ${entry.mtimeNs} ${entry.ino}\n`)
    if (name === own) found = { fingerprint: '', bytes: Number(entry.size), modified_at: Number(entry.mtimeMs) }
  }
  return found === ABSENT ? ABSENT : { ...found, fingerprint: hash.digest('hex').slice(0, 24) }
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
