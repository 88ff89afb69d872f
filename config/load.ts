/**
 * The strict loader: file → YAML with positions → environment → schema → checks across references → `Config`.
 *
 * Every part that is right by itself is looked at further, so that one reading reports every problem. Any error: no config.
 */
import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { backend } from './assemble.ts'
import { checkLabels, checkModel, modelNames, type Named, References, warnOfHidden, warnOfUnused } from './checks.ts'
import type { BackendConfig, BuildIssue, Config, Issue, ModelsConfig, RouteConfig } from './config.ts'
import { readDocument, type Tree } from './document.ts'
import { effective } from './effective.ts'
import { checkFiles } from './files.ts'
import { Issues, join, NOWHERE, type Position } from './issues.ts'
import type { PluginSource } from './plugins.ts'
import { checkQuantities } from './quantities.ts'
import { loadRoutes } from './routes.ts'
import { type Scene, settle } from './scene.ts'
import { Backend, fileSchema } from './schema.ts'
import { loadSections } from './sections.ts'
import { loadSinks } from './sinks.ts'
import { checkText, readSource } from './source.ts'
import { type Data, isData, type JsonSchema } from './shape.ts'
import { Validator } from './validate.ts'

export interface Source {
  /** '' when the text was made from flags. */
  readonly file: string
  /** Instead of reading the file. */
  readonly text?: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface LoaderParts extends PluginSource {
  /** What `threads: auto` means. */
  readonly parallelism: number
}

export interface Loaded {
  /** null as soon as there is one error. */
  readonly config: Config | null
  /** Errors and warnings, in the order of the file. */
  readonly issues: readonly Issue[]
  /** Gives a problem that shows up later (a plugin's build, a model that does not load) its place in the file. */
  locate(problem: BuildIssue): Issue
}

export async function loadConfig(source: Source, parts: LoaderParts): Promise<Loaded> {
  const file = source.file === '' ? '' : resolve(source.file)
  // People see the path they typed.
  const issues = new Issues(source.file)
  const read = source.text === undefined ? await readSource(file) : checkText(source.text)
  if ('complaint' in read) {
    issues.error('', read.at, read.complaint)
    return loaded(null, issues, null)
  }
  const tree = readDocument(read.text, source.env, issues)
  if (tree === null) return loaded(null, issues, null)
  const schema = fileSchema(parts.plugins.values()) as unknown as JsonSchema
  new Validator(tree, issues).check(schema, tree.value, '')
  if (!isData(tree.value)) return loaded(null, issues, tree)
  const scene: Scene = { tree, issues, base: dirname(file), files: [] }
  const config = await assemble(scene, tree.value, schema, parts)
  if (issues.failed) return loaded(null, issues, tree)
  const hash = createHash('sha256').update(read.text).digest('hex').slice(0, 12)
  return loaded({ file, hash, ...config, effective: effective(schema, tree) }, issues, tree)
}

/** Looks at every part that is right so far. What it returns is whole only when no error was found. */
async function assemble(scene: Scene, file: Data, schema: JsonSchema, parts: LoaderParts): Promise<Omit<Config, 'file' | 'hash' | 'effective'>> {
  const sections = loadSections(scene, file, schema, parts.parallelism)
  const sinks = loadSinks(scene, file['sinks'], Object.hasOwn(file, 'state'))
  const backends = loadBackends(scene, file['backends'])
  const names = namesOf(file['backends'])
  const references: Named = { backends: new References(scene, 'backend', names), sinks: new References(scene, 'sink', namesOf(file['sinks'])) }
  const routes = await loadRoutes(scene, file['routes'], schema, backends, references, parts)
  await checkModels(scene, sections.models, backends, routes)
  await checkFiles(scene)
  if (!scene.issues.failed) for (const kind of [references.sinks, references.backends]) warnOfUnused(scene, kind)
  return { ...sections, sinks: Object.fromEntries(sinks), backends: Object.fromEntries(backends), routes: routes.map(({ route }) => route) }
}

function namesOf(written: unknown): string[] {
  return isData(written) ? Object.keys(written) : []
}

function loadBackends(scene: Scene, written: unknown): Map<string, BackendConfig> {
  const found = new Map<string, BackendConfig>()
  if (!isData(written)) return found
  const schema = Backend as unknown as JsonSchema
  for (const [name, value] of Object.entries(written)) {
    const path = join('backends', name)
    if (!scene.issues.clean(path)) continue
    checkQuantities(scene, schema, value, path, ['connect', 'response_headers', 'idle'])
    const made = backend(scene, name, settle(scene, schema, value))
    if (made !== null) found.set(name, made)
  }
  return found
}

async function checkModels(scene: Scene, models: ModelsConfig | null, backends: ReadonlyMap<string, BackendConfig>, routes: readonly { route: RouteConfig; path: string }[]): Promise<void> {
  const names = await modelNames(models)
  for (const backend of backends.values()) checkModel(scene, backend, models, names)
  checkLabels(scene, models, names)
  if (models !== null) warnOfHidden(scene, routes, names)
}

function loaded(config: Config | null, issues: Issues, tree: Tree | null): Loaded {
  const place = (at: string): Position => tree?.places.key(at) ?? NOWHERE
  return {
    config,
    issues: issues.all(),
    locate({ at, rule, message, help }) {
      const { line, column } = place(at)
      return { severity: 'error', file: issues.file, line, column, path: at, rule, message: issues.scrub(message), help: issues.scrub(help) }
    },
  }
}
