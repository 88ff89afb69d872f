/** What one data thread drops, counted in shared memory and on the disk, so that it is counted over a kill and on a full disk, too. */
import type { Clock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import type { Row } from './cells.ts'
import { codeOf, type Files } from './files.ts'
import { Tally } from './tally.ts'

const PAUSE_MS = 1000

export class Drops {
  readonly #sink: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #row: Row
  readonly #tally: Tally
  /** The file lacks something. */
  #behind = false
  /** When a file that could not be opened is tried again. */
  #openAt = 0

  /** @param path of the file; a thread of the same number may have left it */
  constructor(sink: string, files: Files, path: string, row: Row, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#sink = sink
    this.#clock = clock
    this.#log = log
    this.#row = row
    this.#tally = new Tally(files, path)
    this.#open()
  }

  /** One more. @param reason `reasonIndex` */
  add(reason: number): void {
    const count = this.#row.dropped(reason) + 1
    try {
      if (!this.#tally.isOpen && this.#clock.now() >= this.#openAt) this.#open()
      this.#tally.set(reason, count)
      this.#behind = false
    } catch {
      // Counted in memory; the file gets the sum with the next drop that can be written, or at the end.
      this.#behind = true
    }
    this.#row.accepted++
    this.#row.setDropped(reason, count)
  }

  close(): void {
    if (this.#behind) this.#open()
    this.#tally.close()
  }

  /** The file of a thread that died in the middle of counting may be one ahead of the shared cells. */
  #open(): void {
    this.#tally.close()
    try {
      for (const [reason, count] of this.#tally.open().entries()) {
        const known = this.#row.dropped(reason)
        if (count > known) {
          this.#row.accepted += count - known
          this.#row.setDropped(reason, count)
        } else if (count < known) this.#tally.set(reason, known)
      }
    } catch (error) {
      this.#tally.close()
      if (this.#openAt === 0) this.#log.error('what is dropped cannot be counted on disk yet: a kill would forget it', { sink: this.#sink, reason: codeOf(error) })
      this.#openAt = this.#clock.now() + PAUSE_MS
    }
  }
}
