/** Profiles of a data thread: each file is read once, however many plugins and generations ask, and again when it has changed. */
import { statSync } from 'node:fs'
import { readProfile } from './check.ts'
import type { Profile } from './profile.ts'

const MAX_FILES = 32

interface Entry {
  readonly stamp: string
  readonly profile: Profile
}

export class Profiles {
  /** The one asked for last is the last. */
  readonly #files = new Map<string, Entry>()

  /** @throws Error: what is wrong with the file */
  readonly get = (path: string): Profile => {
    const stamp = stampOf(path)
    const known = this.#files.get(path)
    const entry = known !== undefined && known.stamp === stamp ? known : { stamp, profile: readProfile(path) }
    this.#files.delete(path)
    this.#files.set(path, entry)
    if (this.#files.size > MAX_FILES) this.#files.delete(this.#files.keys().next().value!)
    return entry.profile
  }
}

/** Nothing of a file that is not there: reading it says so. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? '' : `${stat.mtimeNs} ${stat.size} ${stat.ino}`
}
