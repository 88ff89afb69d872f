/**
 * When what a monitor knows is written below `state`, and when it is read: by the leader alone, in memory that is new.
 *
 * Saved: every so often if something changed (less often where it takes long), and at the end. Several generations with one memory take turns, and
 * only the newest saves. Of two processes with one `state` the newer begins with what the file has when it starts; what the older counts after that is not
 * known to it, and whoever saves last is whom the next one begins with: nothing is counted twice.
 */
import { rename } from 'node:fs/promises'
import type { Timer } from '../clock.ts'
import { readSnapshot, type Section, sweep, writeSnapshot } from './snapshot.ts'

/** However often it is asked for. */
const LEAST_MS = 1_000
/** A save may take this part of the time. */
const BUSY = 20
/** At one save, of a memory that changes meanwhile. */
const ATTEMPTS = 3

/** What it needs of a plugin's host. */
export interface Keeping {
  readonly leader: boolean
  folder(): string | null
  keep<T>(key: string, make: () => T): T
  share(key: string, bytes: number): SharedArrayBuffer | Promise<SharedArrayBuffer>
  every(ms: number, run: () => void): Timer
  now(): number
  wall(): number
  readonly log: { warn(message: string, fields?: Readonly<Record<string, unknown>>): void; info(message: string, fields?: Readonly<Record<string, unknown>>): void }
}

export type Outcome = 'saved' | 'failed' | 'restored' | 'not_restored'
export const OUTCOMES = ['saved', 'failed', 'restored', 'not_restored'] as const

/** Counts outcomes from 0 on, so that the first one is an increase. @param bind a counter of the plugin */
export function counted(bind: (labels: { readonly outcome: Outcome }) => { add(): void }): (outcome: Outcome) => void {
  const counters = new Map(OUTCOMES.map((outcome) => [outcome, bind({ outcome })]))
  return (outcome) => counters.get(outcome)!.add()
}

export interface Memory {
  readonly sections: readonly Section[]
  /** Another number or text when there is something new to save. */
  version(): string
}

/** Of all generations of this thread. */
interface Turns {
  /** Oldest first; the last one saves. */
  readonly holders: object[]
  last: Promise<void>
}

/** Of all generations with this memory. */
interface Known {
  version: string | null
}

export class Remembered {
  readonly #path: string
  readonly #memory: Memory
  readonly #host: Keeping
  readonly #turns: Turns
  readonly #known: Known
  readonly #told: (outcome: Outcome) => void
  /** What is there now is not what was restored: it is kept beside the first file that is written. */
  #aside: boolean
  #next = -Infinity

  constructor(host: Keeping, path: string, memory: Memory, known: Known, turns: Turns, aside: boolean, every: number, told: (outcome: Outcome) => void) {
    this.#host = host
    this.#path = path
    this.#memory = memory
    this.#known = known
    this.#turns = turns
    this.#aside = aside
    this.#told = told
    turns.holders.push(this)
    host.every(Math.max(LEAST_MS, every), () => {
      if (host.now() >= this.#next) void this.save()
    })
  }

  /** Does nothing when nothing changed, or a newer generation does it. */
  save(): Promise<void> {
    return (this.#turns.last = this.#turns.last.then(() => this.#save()))
  }

  /** The generation ends. */
  async close(): Promise<void> {
    await this.save()
    this.#turns.holders.splice(this.#turns.holders.indexOf(this), 1)
  }

  async #save(): Promise<void> {
    const version = this.#memory.version()
    if (this.#turns.holders.at(-1) !== this || version === this.#known.version) return
    const began = this.#host.now()
    try {
      if (!(await this.#write())) return
      this.#known.version = version
      this.#told('saved')
    } catch (error) {
      this.#told('failed')
      this.#host.log.warn('what is remembered could not be saved', { error: wordOf(error) })
    }
    this.#next = this.#host.now() + BUSY * (this.#host.now() - began)
  }

  /** @returns false when it changed under every attempt */
  async #write(): Promise<boolean> {
    if (this.#aside) await setAside(this.#path)
    this.#aside = false
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) if (await writeSnapshot(this.#path, this.#memory.sections, this.#host.wall())) return true
    return false
  }
}

/**
 * Restores what the file has into memory that is new, and keeps the file up to date from then on.
 * @param every milliseconds from one save to the next
 * @returns null without `state`, or on another thread than the leader
 */
export async function remember(host: Keeping, name: string, memory: Memory, every: number, told: (outcome: Outcome) => void): Promise<Remembered | null> {
  const folder = host.leader ? host.folder() : null
  if (folder === null) return null
  const path = `${folder}/${name}.memory`
  const known = host.keep<Known>(`saved ${memory.sections.map(({ layout }) => layout).join()}`, () => ({ version: null }))
  const fresh = await freshOf(host, memory.sections)
  let aside = false
  if (fresh.length > 0) {
    await sweep(path, host.wall()).catch(() => undefined)
    aside = await restore(host, path, fresh.map(([section]) => section), told)
    for (const [, flag] of fresh) Atomics.store(flag, 0, 1)
    // What was kept over a reload has changed since whatever was saved.
    if (fresh.length === memory.sections.length) known.version = memory.version()
  }
  return new Remembered(host, path, memory, known, host.keep<Turns>('turns', () => ({ holders: [], last: Promise.resolve() })), aside, every, told)
}

/** Sections whose memory nobody has used yet: a mark that lives as long as it. */
async function freshOf(host: Keeping, sections: readonly Section[]): Promise<(readonly [Section, Int32Array])[]> {
  const flags = await Promise.all(sections.map(async (section) => [section, new Int32Array(await host.share(`used ${section.name} ${section.layout}`, 4))] as const))
  return flags.filter(([, flag]) => Atomics.load(flag, 0) === 0)
}

/** @returns whether the file has what was not restored */
async function restore({ log }: Keeping, path: string, sections: readonly Section[], told: (outcome: Outcome) => void): Promise<boolean> {
  try {
    const found = await readSnapshot(path, sections)
    if (found === null) return false
    const { taken, other } = found
    for (const _ of taken) told('restored')
    for (const _ of other) told('not_restored')
    if (other.length > 0) log.warn('what was remembered under other options begins anew', { of: other.map(({ name }) => name) })
    return other.length > 0
  } catch (error) {
    for (const _ of sections) told('not_restored')
    log.warn('what was remembered cannot be read and begins anew; the file is set aside', { error: wordOf(error) })
    return true
  }
}

/** Over what was set aside before. */
async function setAside(path: string): Promise<void> {
  await rename(path, `${path}.aside`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

function wordOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error))
}
