/**
 * What one data thread dropped, by reason, on disk: a file of fixed size that is written in place, so that it can be written while the disk is
 * full, and outlives a kill. Layout: one little-endian double for each of `DROP_REASONS`; cells beyond are zero.
 */
import { type Files, writeAll } from './files.ts'
import { DROP_REASONS } from './record.ts'

/** Room for reasons to come. */
const BYTES = 128

export class Tally {
  readonly #files: Files
  readonly #path: string
  readonly #cell = Buffer.alloc(8)
  #fd = -1

  /** Keeps the counts of a thread that wrote this file before. @throws what the system says */
  constructor(files: Files, path: string) {
    this.#files = files
    this.#path = path
  }

  /** @returns what the file has, zeros when it is new @throws what the system says; may be tried again */
  open(): number[] {
    const old = readTally(this.#files, this.#path)
    const fd = this.#files.openSync(this.#path, old === null ? 'w+' : 'r+')
    try {
      if (old === null) writeAll(this.#files, fd, Buffer.alloc(BYTES), 0)
    } catch (error) {
      this.#files.closeSync(fd)
      throw error
    }
    this.#fd = fd
    return old ?? DROP_REASONS.map(() => 0)
  }

  get isOpen(): boolean {
    return this.#fd >= 0
  }

  /** @throws what the system says */
  set(reason: number, count: number): void {
    this.#cell.writeDoubleLE(count)
    writeAll(this.#files, this.#fd, this.#cell, reason * 8)
  }

  close(): void {
    if (this.#fd >= 0) this.#files.closeSync(this.#fd)
    this.#fd = -1
  }
}

/** @returns counts in the order of `DROP_REASONS`; null when there is no such file, or it was never whole */
export function readTally(files: Files, path: string): number[] | null {
  if (!files.existsSync(path)) return null
  const bytes = files.readFileSync(path)
  return bytes.length < BYTES ? null : DROP_REASONS.map((_, i) => bytes.readDoubleLE(i * 8))
}
