/** The models of each generation on the control thread: loaded before the data threads build it, given back when the last of them has let go. */
import type { BuildIssue, Config } from '../../config/config.ts'
import type { Clock } from '../clock.ts'
import type { ModelIssue } from '../models/repository/complaints.ts'
import type { LibraryDeps, ModelSet } from '../models/repository/model_set.ts'
import { type ModelsDescription, NO_MODELS } from '../models/description.ts'
import type { Library, Loaded } from '../models/repository/library.ts'
import type { OnLoad } from '../models/repository/planner.ts'
import type { Log } from '../plugin.ts'
import type { ModelGrant } from './messages.ts'

/** The models of one generation. */
export interface Grant {
  readonly id: number
  /** null when the config has no models. */
  readonly set: ModelSet | null
  readonly issues: readonly ModelIssue[]
  readonly description: ModelsDescription
}

const NOTHING: Grant = { id: 0, set: null, issues: [], description: NO_MODELS }

/** Models that left the list: given back once every thread has let go of them. */
interface Leaving {
  readonly loaded: readonly Loaded[]
  /** Of the list without them. */
  readonly revision: number
  readonly done: () => void
}

class Open implements Grant {
  readonly id: number
  readonly set: ModelSet
  /** By thread: the last revision of which it has said that all before it is let go. */
  readonly holders = new Map<number, number>()
  leaving: Leaving[] = []
  revision = 0
  /** A generation that runs, or is being built, may be given to further threads. */
  wanted = true

  constructor(id: number, set: ModelSet) {
    this.id = id
    this.set = set
  }

  get issues(): readonly ModelIssue[] {
    return this.set.issues
  }
  get description(): ModelsDescription {
    return this.set.description
  }

  /** Gives back what no thread has any more. */
  async clear(): Promise<void> {
    const oldest = Math.min(...this.holders.values())
    const free = this.leaving.filter(({ revision }) => revision <= oldest)
    this.leaving = this.leaving.filter(({ revision }) => revision > oldest)
    for (const { loaded, done } of free) {
      for (const one of loaded) await this.set.giveBack(one)
      done()
    }
  }
}

export class Grants {
  readonly #deps: LibraryDeps
  readonly #onLoad: OnLoad
  readonly #open = new Map<number, Open>()
  /** Threads that have their way to the inference threads. */
  readonly #connected = new Set<number>()
  #library: Library | null = null
  #next = 1

  constructor(deps: { readonly clock: Clock; readonly log: Log }, onLoad: OnLoad) {
    this.#deps = deps
    this.#onLoad = onLoad
  }

  /**
   * Loads what the config names, as far as it is not loaded. A config without models loads no code for them either.
   * @param before the grant that runs
   */
  async load(config: Config, before: Grant | null): Promise<Grant> {
    if (!hasModels(config)) return NOTHING
    const { createLibrary, ModelSet } = await import('../models/repository/model_set.ts')
    this.#library ??= createLibrary(config, this.#deps)
    const open = new Open(this.#next++, new ModelSet(config, this.#library, this.#deps.log, this.#onLoad))
    this.#open.set(open.id, open)
    await open.set.load(before?.set ?? null)
    return open
  }

  /** For one data thread; null when the config has no models. The port in it is to be transferred. */
  for(thread: number, { id }: Grant): ModelGrant | null {
    const open = this.#open.get(id)
    if (open === undefined) return null
    open.holders.set(thread, open.revision)
    return { id, revision: open.revision, description: open.description, port: this.#portFor(thread) }
  }

  /** The list of a grant was changed and is about to be posted. @returns its number */
  revise({ id }: Grant): number {
    return ++this.#open.get(id)!.revision
  }

  /** Settles once no thread has these any more, which the list of the present revision does not name. */
  async retire({ id }: Grant, loaded: readonly Loaded[]): Promise<void> {
    if (loaded.length === 0) return
    const open = this.#open.get(id)!
    const { promise, resolve } = Promise.withResolvers<void>()
    open.leaving.push({ loaded, revision: open.revision, done: resolve })
    await open.clear()
    await promise
  }

  /** No further thread will be given these models. */
  drop({ id }: Grant): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.wanted = false
    this.#tidy(open)
  }

  /** A thread has let go of a grant. */
  release(thread: number, id: number): void {
    const open = this.#open.get(id)
    if (open?.holders.delete(thread) === true) this.#tidy(open)
  }

  /** A thread has let go of what is not in a revision. */
  settled(thread: number, id: number, revision: number): void {
    const open = this.#open.get(id)
    if (open === undefined || (open.holders.get(thread) ?? Infinity) >= revision) return
    open.holders.set(thread, revision)
    this.#tidy(open)
  }

  /** A thread is dead. */
  died(thread: number): void {
    this.#connected.delete(thread)
    for (const id of [...this.#open.keys()]) this.release(thread, id)
  }

  async close(): Promise<void> {
    await this.#library?.close()
  }

  #tidy(open: Open): void {
    void open.clear()
    if (open.wanted || open.holders.size > 0) return
    this.#open.delete(open.id)
    void open.set.close().then(() => this.#closeUnused())
  }

  /** The last models are gone: so are the inference threads. */
  async #closeUnused(): Promise<void> {
    if (this.#open.size > 0 || this.#library === null) return
    const library = this.#library
    this.#library = null
    this.#connected.clear()
    await library.close()
  }

  #portFor(thread: number): ModelGrant['port'] {
    if (this.#connected.has(thread)) return null
    this.#connected.add(thread)
    return this.#library!.connect()
  }
}

export function hasModels({ models, backends }: Config): boolean {
  return models !== null || Object.values(backends).some(({ kind }) => kind === 'onnx' || kind === 'model')
}

/** What keeps a config from running; warnings do not. */
export function modelErrors(grant: Grant): BuildIssue[] {
  return grant.issues.filter(({ severity }) => severity === 'error')
}
