/** One change of a set of models: loaded, not yet shown. Exactly one of `commit` and `abandon` follows. */
import type { ModelsDescription } from '../description.ts'
import type { Loaded } from './library.ts'
import type { Refusal } from '../operator.ts'
import { describe, keyOf, type Slot } from './slot.ts'
import { reasonOf } from './folder.ts'

/** Reasons in one message. */
const MAX_SHOWN = 3

/** By key of the slot; null: it is gone. */
export type Changes = ReadonlyMap<string, Slot | null>

/** The set, as far as a step needs it. */
export interface Target {
  readonly slots: Map<string, Slot>
  /** What data threads are to have now. */
  readonly description: ModelsDescription
  giveBack(loaded: Loaded): Promise<void>
}

export class Step {
  readonly #set: Target
  readonly #changes: Changes
  readonly #committed: () => void

  /** @param committed runs with the change */
  constructor(set: Target, changes: Changes, committed: () => void = () => undefined) {
    this.#set = set
    this.#changes = changes
    this.#committed = committed
  }

  /** What the data threads are to open beside what they have, before anything is shown; null when there is nothing new. */
  opening(): ModelsDescription | null {
    const fresh = this.#fresh()
    if (fresh.length === 0) return null
    const { models, ...rest } = this.#set.description
    return { ...rest, models: [...models, ...fresh.map((slot) => describe(slot, 'loading'))] }
  }

  /**
   * Makes it so, except for what did not open everywhere: there the version before stays.
   * @param failures in the library's words, by id
   * @returns what is to be given back once no data thread has it any more
   */
  commit(failures: ReadonlyMap<number, string>): Loaded[] {
    const leaving: Loaded[] = []
    for (const [key, change] of this.#changes) {
      const before = this.#set.slots.get(key) ?? null
      const serving = before?.state === 'ready' ? before : null
      const error = change?.loaded == null || change.loaded === before?.loaded ? undefined : failures.get(change.loaded.id)
      const after = change === null || error === undefined ? change : notOpened(change, serving, error)
      if (error !== undefined) leaving.push(change!.loaded!)
      if (serving !== null && (after === null || after.state !== 'ready' || after.loaded !== serving.loaded)) leaving.push(serving.loaded!)
      if (after === null) this.#set.slots.delete(key)
      else this.#set.slots.set(key, after)
    }
    this.#committed()
    return leaving
  }

  async abandon(): Promise<void> {
    await Promise.all(this.#fresh().map(({ loaded }) => this.#set.giveBack(loaded!)))
  }

  /** After `commit`: why not everything that was to serve does, or null. */
  problem(): Refusal | null {
    const bad = [...this.#changes.keys()].map((key) => this.#set.slots.get(key)).filter((slot): slot is Slot => slot !== undefined && slot.reason !== '')
    if (bad.length === 0) return null
    const more = bad.length > MAX_SHOWN ? `; and ${bad.length - MAX_SHOWN} more` : ''
    return { code: 'MODEL_NOT_READY', message: bad.slice(0, MAX_SHOWN).map(({ reason }) => reason).join('; ') + more }
  }

  /** Slots whose model no thread has yet. */
  #fresh(): Slot[] {
    return [...this.#changes.values()].filter((slot): slot is Slot => slot?.state === 'ready' && slot.loaded !== this.#set.slots.get(keyOf(slot.candidate))?.loaded)
  }
}

function notOpened(slot: Slot, serving: Slot | null, error: string): Slot {
  return failedSlot(slot, serving, reasonOf(error, slot.candidate.file, slot.candidate.shown))
}

/** A version that cannot serve, or the files before that serve on. @param slot with what was tried */
export function failedSlot(slot: Slot, serving: Slot | null, reason: string): Slot {
  if (serving === null) return { ...slot, state: 'failed', loaded: null, reason }
  return { ...serving, tried: slot.tried, reason: `${reason} (the file before serves on)` }
}
