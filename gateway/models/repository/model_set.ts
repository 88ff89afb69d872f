/**
 * The models of one configuration on the control thread: found, loaded, described, changed while they serve. What runs
 * inline is loaded again by each data thread.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../../../config/config.ts'
import type { Clock } from '../../clock.ts'
import { clip } from '../../payload/json.ts'
import type { Log } from '../../plugin.ts'
import { complaints, type ModelIssue, unreadable } from './complaints.ts'
import type { ModelDescription, ModelsDescription } from '../description.ts'
import { Library, type Loaded } from './library.ts'
import type { Refusal } from '../operator.ts'
import { type OnLoad, Planner, type Sight, type Wish } from './planner.ts'
import { InferencePool } from '../inference/pool.ts'
import { lookAt, scanRepository } from './folder.ts'
import { backendCandidate, describe, keyOf, type Slot } from './slot.ts'
import { Step, type Target } from './step.ts'

const ALL: Wish = { concerns: () => true, retry: true }

export class ModelSet implements Target {
  readonly slots = new Map<string, Slot>()
  /** Of the load of the configuration. */
  issues: readonly ModelIssue[] = []
  readonly #config: Config
  readonly #library: Library
  readonly #planner: Planner
  /** Somebody unloaded these by name. */
  readonly #unloaded = new Set<string>()
  #remarks: readonly string[] = []

  constructor(config: Config, library: Library, log: Log, onLoad: OnLoad = () => undefined) {
    this.#config = config
    this.#library = library
    this.#planner = new Planner(library, log, onLoad)
  }

  /** For the data threads. */
  get description(): ModelsDescription {
    return { models: this.#sorted().map((slot) => describe(slot)), labels: this.#config.models?.labels ?? {}, remarks: this.#remarks }
  }

  /** For people: also what is being loaded, and what turned out to be deadly. */
  report(): ModelDescription[] {
    const beginning = [...this.#planner.loading].filter(([key]) => !this.slots.has(key)).map(([, slot]) => slot)
    return this.#sorted(beginning).map((slot) => {
      const unavailable = slot.loaded === null ? null : this.#library.unavailable(slot.loaded)
      const loading = slot.state !== 'ready' && this.#planner.loading.has(keyOf(slot.candidate))
      return describe(slot, unavailable !== null ? 'failed' : loading ? 'loading' : slot.state, unavailable)
    })
  }

  /**
   * Loads what the configuration names. Never rejects for a bad model: see `issues`.
   * @param before the set that runs now: where a file in its place is bad, the model that works serves on
   */
  async load(before: ModelSet | null): Promise<void> {
    if (before !== null) this.#adopt(before)
    const { models, backends } = this.#config
    for (const candidate of Object.values(backends).filter((backend) => backend.kind === 'onnx').map(backendCandidate)) {
      this.slots.set(keyOf(candidate), await this.#planner.load(candidate, await lookAt(candidate.file), null))
    }
    const sight = models === null ? NOTHING : await scanRepository(models.path).catch((error: unknown) => unreadable(error))
    const bad = 'severity' in sight ? [sight] : []
    if (models !== null && 'models' in sight) {
      this.#remarks = sight.remarks
      const step = new Step(this, await this.#planner.plan(models, this.slots, { settled: sight.models, moving: new Set() }, ALL))
      for (const loaded of step.commit(new Map())) await this.#library.giveBack(loaded)
    }
    this.issues = [...complaints(this.#config, this.#sorted(), this.#remarks), ...bad]
  }

  /** @param sight of the repository now @returns null when nothing changes */
  async follow(sight: Sight): Promise<Step | null> {
    const { models } = this.#config
    if (models === null) return null
    const changes = await this.#planner.plan(models, this.slots, sight, { concerns: (name) => !this.#unloaded.has(name), retry: false })
    return changes.size === 0 ? null : new Step(this, changes)
  }

  /** Loads what changed of one model, and what failed or was unloaded. @param name from a caller: it is compared, never made a path */
  async loadOne(name: string): Promise<Step | Refusal> {
    const { models } = this.#config
    const found = models === null ? [] : (await scanRepository(models.path).catch(() => NOTHING)).models.filter((model) => model.name === name)
    if (models === null || found.length === 0) return unknown(name)
    const changes = await this.#planner.plan(models, this.slots, { settled: found, moving: new Set() }, { concerns: (one) => one === name, retry: true })
    return new Step(this, changes, () => void this.#unloaded.delete(name))
  }

  /** All versions of one model. */
  unloadOne(name: string): Step | Refusal {
    const slots = [...this.slots.values()].filter(({ candidate }) => candidate.source === 'repository' && candidate.name === name)
    if (slots.length === 0) return unknown(name)
    const changes = slots.map((slot): [string, Slot] => [keyOf(slot.candidate), { ...slot, state: slot.loaded === null ? 'unloaded' : 'unloading', reason: '' }])
    return new Step(this, new Map(changes), () => void this.#unloaded.add(name))
  }

  /** No data thread uses it any more. */
  async giveBack(loaded: Loaded): Promise<void> {
    for (const [key, slot] of this.slots) if (slot.state === 'unloading' && slot.loaded === loaded) this.slots.set(key, { ...slot, state: 'unloaded', loaded: null })
    await this.#library.giveBack(loaded)
  }

  /** After the last data thread has let go of them. */
  async close(): Promise<void> {
    const serving = [...this.slots.values()].filter(({ state }) => state === 'ready')
    this.slots.clear()
    for (const { loaded } of serving) await this.#library.giveBack(loaded!)
  }

  /** What works and is asked for in the same way again. */
  #adopt({ slots }: ModelSet): void {
    const { models } = this.#config
    for (const [key, slot] of slots) {
      const { source, placement, batching, file } = slot.candidate
      if (models === null || source !== 'repository' || slot.state !== 'ready') continue
      if (placement !== models.placement || !isDeepStrictEqual(batching, models.batching) || !file.startsWith(`${models.path}/`)) continue
      this.#library.share(slot.loaded!)
      this.slots.set(key, slot)
    }
  }

  /** Names in order, versions ascending. */
  #sorted(more: readonly Slot[] = []): Slot[] {
    return [...this.slots.values(), ...more].sort(({ candidate: a }, { candidate: b }) => compare(a.source, b.source) || compare(a.name, b.name) || Number(a.version) - Number(b.version))
  }
}

const NOTHING = { models: [], remarks: [] }

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function unknown(name: string): Refusal {
  return { code: 'MODEL_NOT_FOUND', message: `there is no model "${clip(name)}" in the repository` }
}

export interface LibraryDeps {
  readonly log: Log
  readonly clock: Clock
  /** Code of the inference threads, for tests. */
  readonly entry?: URL
}

export function createLibrary(config: Config, deps: LibraryDeps): Library {
  return new Library((unavailable) => new InferencePool({ ...deps, inference: config.inference, unavailable }), deps.clock)
}

/** For `weir check`: loads everything once and lets go of it again. */
export async function loadForCheck(config: Config, deps: LibraryDeps): Promise<readonly ModelIssue[]> {
  const library = createLibrary(config, deps)
  const set = new ModelSet(config, library, deps.log)
  await set.load(null)
  await library.close()
  return set.issues
}
