/**
 * Tells when the content of the config file has changed, however it was changed: written in place, replaced by an editor
 * (rename), or by Kubernetes swapping the `..data` link of the mounted folder.
 *
 * Events of the folder only say *when to look*; what counts is the content. A slow poll looks too, since some file systems
 * (network mounts) send no events. A new content must be read twice before it counts: whoever writes may not be done.
 */
import { createHash } from 'node:crypto'
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Clock, Timer } from '../gateway/clock.ts'

const SETTLE_MS = 100
const POLL_MS = 5000

export interface ConfigWatch {
  /** Idempotent. */
  close(): void
}

/** Calls `onChange` after each change of content; the file may be absent for a while. */
export function watchConfig(file: string, clock: Clock, onChange: () => void): ConfigWatch {
  return new Watch(resolve(file), clock, onChange)
}

class Watch implements ConfigWatch {
  readonly #file: string
  readonly #clock: Clock
  readonly #onChange: () => void
  readonly #folders = new Map<string, FSWatcher>()
  readonly #poll: Timer
  #known: string | null
  #candidate: string | null = null
  #settling: Timer | null = null
  #looking = false
  #again = false
  #closed = false

  constructor(file: string, clock: Clock, onChange: () => void) {
    this.#file = file
    this.#clock = clock
    this.#onChange = onChange
    this.#known = fingerprintNow(file)
    this.#watch(dirname(file))
    void this.#follow()
    this.#poll = clock.every(POLL_MS, () => this.#look())
  }

  close(): void {
    this.#closed = true
    this.#poll.cancel()
    this.#settling?.cancel()
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #soon(): void {
    if (this.#closed) return
    this.#settling?.cancel()
    this.#settling = this.#clock.after(SETTLE_MS, () => this.#look())
  }

  #look(): void {
    // One look at a time; what happened meanwhile is looked at afterwards.
    if (this.#looking) this.#again = true
    else {
      this.#looking = true
      void this.#judge().finally(() => {
        this.#looking = false
        if (this.#again) this.#soon()
        this.#again = false
      })
    }
  }

  async #judge(): Promise<void> {
    const found = await fingerprint(this.#file)
    await this.#follow()
    if (this.#closed || found === null) return
    if (found === this.#known) {
      this.#candidate = null
    } else if (found !== this.#candidate) {
      this.#candidate = found
      this.#soon()
    } else {
      this.#known = found
      this.#candidate = null
      this.#onChange()
    }
  }

  /** Watches the folder that the file is really in, beside the one it is named in. */
  async #follow(): Promise<void> {
    const folders = new Set([dirname(this.#file)])
    const real = await realpath(this.#file).catch(() => null)
    if (real !== null) folders.add(dirname(real))
    if (this.#closed) return
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder) || real === null) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of folders) this.#watch(folder)
  }

  #watch(folder: string): void {
    if (this.#folders.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#soon())
      const drop = () => {
        watcher.close()
        this.#folders.delete(folder)
      }
      watcher.on('error', drop)
      this.#folders.set(folder, watcher)
    } catch {
      // No such folder, or no watches left: the poll looks.
    }
  }
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function fingerprint(file: string): Promise<string | null> {
  return readFile(file).then(hash, () => null)
}

function fingerprintNow(file: string): string | null {
  try {
    return hash(readFileSync(file))
  } catch {
    return null
  }
}
