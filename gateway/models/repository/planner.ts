/** Decides what of a repository is to serve, and loads it. Shows nothing to anybody: that is a `Step`. */
import type { ModelsConfig } from '../../../config/config.ts'
import type { Log } from '../../plugin.ts'
import type { Library, Loaded, NotLoaded } from './library.ts'
import { checkManifest } from './manifest.ts'
import { selectVersions } from './policy.ts'
import { type FoundModel, type Look, reasonOf } from './folder.ts'
import { type Candidate, keyOf, repositoryCandidate, type Slot, unusable } from './slot.ts'
import { type Changes, failedSlot } from './step.ts'

/** What a look at the folder says. */
export interface Sight {
  /** Versions ascending within a name. */
  readonly settled: readonly FoundModel[]
  /** Keys of versions that change just now, or come or go: nothing is decided about them yet. */
  readonly moving: ReadonlySet<string>
}

export interface Wish {
  /** What else there is stays as it is. */
  readonly concerns: (name: string) => boolean
  /** Tries again what failed with the very same files. */
  readonly retry: boolean
}

/** Told of each load. @param loaded null: it failed */
export type OnLoad = (name: string, version: string, loaded: Loaded | null) => void

export class Planner {
  readonly #library: Library
  readonly #log: Log
  readonly #onLoad: OnLoad
  /** What is being loaded now, for whoever looks. */
  readonly loading = new Map<string, Slot>()

  constructor(library: Library, log: Log, onLoad: OnLoad) {
    this.#library = library
    this.#log = log
    this.#onLoad = onLoad
  }

  /** @param slots what there is, by key @returns what differs from it, loaded */
  async plan(models: ModelsConfig, slots: ReadonlyMap<string, Slot>, { settled, moving }: Sight, { concerns, retry }: Wish): Promise<Changes> {
    const changes = new Map<string, Slot | null>()
    const known = Map.groupBy([...slots.values()].filter(({ candidate }) => candidate.source === 'repository'), ({ candidate }) => candidate.name)
    const found = Map.groupBy(settled, ({ name }) => name)
    for (const name of new Set([...known.keys(), ...found.keys()])) {
      if (!concerns(name)) continue
      const before = new Map((known.get(name) ?? []).map((slot) => [slot.candidate.version, slot]))
      const after = await this.#planModel(models, before, found.get(name) ?? [], moving, retry)
      for (const slot of after.values()) if (slot !== before.get(slot.candidate.version)) changes.set(keyOf(slot.candidate), slot)
      for (const [version, slot] of before) if (!after.has(version)) changes.set(keyOf(slot.candidate), null)
    }
    return changes
  }

  /** By version. */
  async #planModel(models: ModelsConfig, before: ReadonlyMap<string, Slot>, found: readonly FoundModel[], moving: ReadonlySet<string>, retry: boolean): Promise<Map<string, Slot>> {
    const files = new Map(found.filter((file) => file.look.fingerprint !== '' || retry || isMissed(before.get(file.version))).map((file) => [file.version, file]))
    const still = [...before.values()].filter(({ candidate }) => moving.has(keyOf(candidate))).map(({ candidate }) => candidate.version)
    const versions = [...new Set([...files.keys(), ...still])].sort((a, b) => Number(a) - Number(b))
    const after = new Map<string, Slot>()
    const broken = new Set<string>()
    for (let open = true; open; ) {
      open = false
      for (const version of selectVersions(models.versions, versions, broken)) {
        if (after.has(version)) continue
        open = true
        const file = files.get(version)
        const slot = file === undefined ? before.get(version)! : await this.#bring(repositoryCandidate(file, models), file.look, before.get(version) ?? null, retry)
        after.set(version, slot)
        if (slot.state !== 'ready') broken.add(version)
      }
    }
    return after
  }

  /** One version as its files are now. */
  async #bring(candidate: Candidate, look: Look, before: Slot | null, retry: boolean): Promise<Slot> {
    if (before === null) return this.load(candidate, look, null)
    const serving = before.state === 'ready' ? before.loaded : null
    if (serving?.request.fingerprint === look.fingerprint && this.#library.unavailable(serving) === null) {
      return before.reason === '' && before.tried.fingerprint === look.fingerprint ? before : { ...before, tried: look, reason: '' }
    }
    if (before.tried.fingerprint === look.fingerprint && !retry) return before
    return this.load(candidate, look, serving === null ? null : before)
  }

  /** @param serving what stays if this is bad */
  async load(candidate: Candidate, look: Look, serving: Slot | null): Promise<Slot> {
    const { name, version, file, shown, placement, batching } = candidate
    const slot: Slot = { candidate, state: 'loading', loaded: null, tried: look, reason: '', load_ms: 0 }
    this.loading.set(keyOf(candidate), slot)
    let loaded: Loaded | null = null
    try {
      const manifest = candidate.source === 'repository' ? await checkManifest(file) : null
      if (manifest !== null) return this.#failed(slot, serving, `${shown}: ${manifest}`)
      const outcome = await this.#library.take({ file, fingerprint: look.fingerprint, placement, batching })
      if ('error' in outcome) return this.#notLoaded(slot, serving, outcome)
      const complaint = unusable(outcome.signature, candidate.features)
      if (complaint !== null) await this.#library.giveBack(outcome)
      if (complaint !== null) return this.#failed(slot, serving, `${shown}: ${complaint}`)
      this.#log.debug('a model is loaded', { name, version, placement: outcome.placement, load_ms: outcome.load_ms })
      loaded = outcome
      return { ...slot, state: 'ready', loaded, load_ms: outcome.load_ms }
    } finally {
      this.loading.delete(keyOf(candidate))
      this.#onLoad(name, version, loaded)
    }
  }

  #notLoaded(slot: Slot, serving: Slot | null, { error, load_ms }: NotLoaded): Slot {
    const { name, version, file, shown } = slot.candidate
    // In the library's words, for whoever the reason does not help.
    this.#log.warn('a model did not load', { name, version, error })
    return failedSlot({ ...slot, load_ms }, serving, reasonOf(error, file, shown))
  }

  #failed(slot: Slot, serving: Slot | null, reason: string): Slot {
    const { name, version } = slot.candidate
    this.#log.warn('a model did not load', { name, version, error: reason })
    return failedSlot(slot, serving, reason)
  }
}

/** Its folder had no file when it was tried: that is told until there is one. */
function isMissed(slot: Slot | undefined): boolean {
  return slot?.state === 'failed' && slot.tried.fingerprint === ''
}
