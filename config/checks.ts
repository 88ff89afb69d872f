/** What only the whole file can tell: references, lists of targets, reachability, listeners, models. */
import { readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { checkCondition } from '../gateway/expression/condition.ts'
import { checkSelector } from '../gateway/expression/selector.ts'
import { conflict, formatAddress, isLoopback } from './addresses.ts'
import type { Address, AdminConfig, BackendConfig, ModelBackendConfig, ModelsConfig, RouteConfig } from './config.ts'
import { visit } from './decode.ts'
import { needFile } from './files.ts'
import { join, parent, suggestion } from './issues.ts'
import type { Placed } from './plugins.ts'
import { complain, type Scene } from './scene.ts'
import { covers, hides } from './shadow.ts'
import type { JsonSchema } from './shape.ts'

/** Counts which backends, or sinks, something sends to. */
export class References {
  readonly kind: 'backend' | 'sink'
  readonly #scene: Scene
  readonly #names: readonly string[]
  readonly #used = new Set<string>()

  /** @param names every name of the file, of broken ones too */
  constructor(scene: Scene, kind: 'backend' | 'sink', names: readonly string[]) {
    this.#scene = scene
    this.kind = kind
    this.#names = names
  }

  to(name: string, path: string): void {
    this.#used.add(name)
    if (this.#names.includes(name)) return
    const written = this.#scene.tree.written.get(path)
    const help = this.#names.length === 0 ? `The file has no ${this.kind}s.` : suggestion(name, this.#names)
    complain(this.#scene, path, { rule: `unknown-${this.kind}`, message: `there is no ${this.kind} ${written === undefined ? `\`${name.slice(0, 64)}\`` : `of the name that \`${written}\` holds`}`, help })
  }

  unused(): string[] {
    return this.#names.filter((name) => !this.#used.has(name))
  }
}

/** What plugins and routes may name. */
export interface Named {
  readonly backends: References
  readonly sinks: References
}

// ---------------------------------------------------------------- plugins

/** @returns the backends this plugin may send to */
export function checkPlugin(scene: Scene, placed: Placed, references: Named): string[] {
  const { plugin, written, path } = placed
  const lists = new Map<string, string[]>()
  const named: string[] = []
  const name = (backend: string, at: string) => {
    named.push(backend)
    references.backends.to(backend, at)
  }
  visit(plugin.config as unknown as JsonSchema, written, path, (kind, value, at) => {
    if (kind === 'backend') {
      name(String(value), at)
      if (at.endsWith(']')) lists.set(parent(at), [...(lists.get(parent(at)) ?? []), String(value)])
    } else if (kind === 'sink') references.sinks.to(String(value), at)
    else if (kind === 'file') needFile(scene, at, resolve(scene.base, String(value)))
    else if (kind === 'arms') checkArms(scene, value as Readonly<Record<string, number>>, at, name)
    else if (kind === 'selector') checkExpression(scene, checkSelector(String(value)), 'bad-selector', at)
    else if (kind === 'condition') checkExpression(scene, checkCondition(String(value)), 'bad-condition', at)
  })
  for (const [at, targets] of lists) checkTargets(scene, targets, at)
  if (plugin.caution !== undefined) scene.issues.warning(path, scene.tree.places.key(path), { rule: 'caution', message: plugin.caution, help: '' })
  return named
}

export function checkExpression(scene: Scene, complaint: string | null, rule: string, path: string): void {
  if (complaint !== null) complain(scene, path, { rule, message: complaint, help: 'Names: `header.x`, `query.q`, `cookie.c`, `client.ip`, `input.column`, `output.column`; in CEL `header["x-name"]`.' })
}

function checkArms(scene: Scene, arms: Readonly<Record<string, number>>, path: string, name: (backend: string, at: string) => void): void {
  const entries = Object.entries(arms)
  for (const [backend] of entries) name(backend, join(path, backend))
  if (entries.reduce((sum, [, weight]) => sum + weight, 0) <= 0) complain(scene, path, { rule: 'weights-zero', message: 'the weights sum to zero', help: 'Give at least one arm a weight above 0.' })
  if (entries.length === 1) complain(scene, path, { rule: 'same-backend', message: `every arm is \`${entries[0]![0]}\``, help: 'A split needs two backends; else name this one as `backend` of the route.' })
}

function checkTargets(scene: Scene, targets: readonly string[], path: string): void {
  targets.forEach((target, i) => {
    const first = targets.indexOf(target)
    if (first < i) complain(scene, join(path, i), { rule: 'duplicate-target', message: `\`${target}\` is listed twice`, help: 'A target that failed is not tried again; list each once.' })
  })
}

/** A fallback to nothing but the backend that just failed. */
export function checkFallback(scene: Scene, backend: string, plugins: readonly Placed[]): void {
  const splits = plugins.some((placed) => kinds(placed).has('arms'))
  for (const placed of plugins) {
    if (placed.plugin.nesting !== 'fallback' || splits) continue
    const targets = kinds(placed).get('backend') ?? []
    if (targets.length > 0 && targets.every(({ value }) => value === backend)) {
      complain(scene, targets[0]!.at, { rule: 'same-backend', message: `every target is \`${backend}\`, the backend of the route itself`, help: 'Name another backend.' })
    }
  }
}

/** Plugins that would see no columns: they would count every request as unreadable, which somebody has to notice first. */
export function checkFormat(scene: Scene, format: RouteConfig['format'], plugins: readonly Placed[]): void {
  if (format !== null && format !== 'openai') return
  for (const { plugin, config } of plugins) {
    if (plugin.readsColumns !== true) continue
    const message = `\`${plugin.name}\` reads bodies as named columns, and ${format === null ? 'this route does not say how its bodies are read' : 'those of `openai` have none'}`
    complain(scene, config.at, { rule: 'no-format', message, help: 'Write `format: rows` (or oip, kserve_v1, tfs, mlflow: what its callers send) beside `match`, or take the plugin out.' })
  }
}

function kinds({ plugin, written, path }: Placed): Map<string, { value: unknown; at: string }[]> {
  const found = new Map<string, { value: unknown; at: string }[]>()
  visit(plugin.config as unknown as JsonSchema, written, path, (kind, value, at) => found.set(kind, [...(found.get(kind) ?? []), { value, at }]))
  return found
}

// ---------------------------------------------------------------- routes

/** @param routes in file order, with the path each stands at */
export function checkRoutes(scene: Scene, routes: readonly { readonly route: RouteConfig; readonly path: string }[]): void {
  const names = new Map<string, string>()
  routes.forEach(({ route, path }, i) => {
    const first = names.get(route.name)
    const line = (at: string) => scene.tree.places.key(at).line
    if (first !== undefined) complain(scene, join(path, 'name'), { rule: 'duplicate-route', message: `two routes are named \`${route.name}\`, the first in line ${line(first)}`, help: 'Names tell routes apart in metrics and logs.' })
    else names.set(route.name, path)
    const before = routes.slice(0, i).find((earlier) => covers(earlier.route.match, route.match))
    if (before === undefined) return
    const message = `no request gets here: route \`${before.route.name}\` in line ${line(before.path)} takes them all`
    complain(scene, join(path, 'match'), { rule: 'shadowed-route', message, help: 'The first match in file order wins: move this route up or narrow the other one.' })
  })
}

export function warnOfHidden(scene: Scene, routes: readonly { readonly route: RouteConfig; readonly path: string }[], models: readonly string[]): void {
  for (const { route, path } of routes) {
    const hidden = hides(route, models)
    if (hidden === null) continue
    const at = join(join(path, 'match'), 'path')
    scene.issues.warning(at, scene.tree.places.value(at), { rule: 'hides-models', message: `this route takes \`${hidden}\`, which \`models:\` would serve`, help: 'Built-in endpoints come after all routes; narrow the path if that is not meant.' })
  }
}

export function warnOfUnused(scene: Scene, references: References): void {
  const { kind } = references
  for (const name of references.unused()) {
    const at = join(`${kind}s`, name)
    scene.issues.warning(at, scene.tree.places.key(at), { rule: `unused-${kind}`, message: `nothing sends to the ${kind} \`${name}\``, help: '' })
  }
}

// ---------------------------------------------------------------- listeners

export function checkListeners(scene: Scene, listeners: readonly { readonly path: string; readonly address: Address }[]): void {
  listeners.forEach(({ path, address }, i) => {
    const other = listeners.slice(0, i).find((earlier) => conflict(earlier.address, address))
    if (other !== undefined) complain(scene, path, { rule: 'address-conflict', message: `${formatAddress(address)} is taken by \`${other.path}\``, help: 'Give each listener an address of its own.' })
  })
}

/** Whether others than this machine may use the admin listener without showing who they are. */
export function isExposed({ address, token, tls }: AdminConfig): boolean {
  return !isLoopback(address) && token === null && (tls === null || tls.client_ca === null)
}

export function checkAdmin(scene: Scene, admin: AdminConfig | null): void {
  if (admin === null || !isExposed(admin)) return
  complain(scene, 'admin', exposure(admin))
}

/** The complaint about a listener that `isExposed`. */
export function exposure({ address }: AdminConfig): { readonly rule: string; readonly message: string; readonly help: string } {
  return {
    rule: 'admin-exposed',
    message: `the admin listener can be reached from elsewhere (${formatAddress(address)}) and asks for nothing`,
    help: 'Write `admin: { address: …, token: "${ADMIN_TOKEN}" }`, or `tls` with `client_ca`, or listen on 127.0.0.1.',
  }
}

// ---------------------------------------------------------------- models

const MAX_MODELS = 1000

/** Names in a repository: its folders. */
export async function modelNames(models: ModelsConfig | null): Promise<string[]> {
  if (models === null) return []
  const entries = await readdir(models.path, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map((entry) => entry.name).filter((name) => !name.startsWith('.')).slice(0, MAX_MODELS)
}

export function checkModel(scene: Scene, backend: BackendConfig, models: ModelsConfig | null, names: readonly string[]): void {
  if (backend.kind !== 'model') return
  const path = join(join('backends', backend.name), 'model')
  if (models === null) complain(scene, path, { rule: 'unknown-model', message: 'the file has no `models:`', help: 'Name the repository: `models: ./models`.' })
  else if (!names.includes(backend.model)) complain(scene, path, { rule: 'unknown-model', message: `there is no model \`${backend.model}\` in the repository`, help: suggestion(backend.model, names) })
  else checkLabel(scene, backend, Object.keys(models.labels[backend.model] ?? {}))
}

/** Whether a version is there at all is found out when the models are loaded; a label must be declared. */
function checkLabel(scene: Scene, { name, model, version }: ModelBackendConfig, labels: readonly string[]): void {
  if (version === 'latest' || /^[0-9]+$/.test(version) || labels.includes(version)) return
  const help = labels.length === 0 ? `Write a number, \`latest\`, or declare it: \`models: { labels: { ${model}: { ${version}: 1 } } }\`.` : suggestion(version, labels)
  complain(scene, join(join('backends', name), 'version'), { rule: 'unknown-label', message: `model \`${model}\` has no label "${version}"`, help })
}

/** Labels of models that are not there. */
export function checkLabels(scene: Scene, models: ModelsConfig | null, names: readonly string[]): void {
  for (const model of Object.keys(models?.labels ?? {})) {
    if (names.includes(model)) continue
    const path = join('models.labels', model)
    scene.issues.error(path, scene.tree.places.key(path), { rule: 'unknown-model', message: `there is no model \`${model}\` in the repository`, help: suggestion(model, names) })
  }
}
