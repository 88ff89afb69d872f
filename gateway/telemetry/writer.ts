/**
 * Lines to a file or stdout without ever waiting for it: the lines of one turn of the event loop leave in one write, one write
 * is under way at a time, and what a slow reader leaves behind is bounded. A line that finds no room is dropped and counted.
 */
import type { Clock } from '../clock.ts'

/** Where lines go: all that the logs know of it. */
export interface LineSink {
  /** @param line without its line feed */
  write(line: string): void
}

export interface LineWriter extends LineSink {
  /** Writes what waits, for at most two seconds; the rest is dropped and counted. Idempotent. */
  close(): Promise<void>
}

/** Takes bytes: a file descriptor, or a fake one in tests. */
export interface Destination {
  /** More than this in one write might be torn apart by other writers to the same place. */
  readonly pieceBytes: number
  /** @param done called once with how many bytes were taken, or why none were */
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void
  close(): void
}

export interface LineWriterOptions {
  readonly destination: Destination
  readonly clock: Clock
  /** Told how many lines were dropped; a `Counter` fits. */
  readonly dropped: { add(count: number): void }
  /** Bytes that may wait, the write under way included. */
  readonly maxBytes?: number
  /** Told of the first error of a row of errors. */
  readonly failed?: (error: Error) => void
}

export const MAX_BYTES = 4 << 20
/** A pipe that is full is tried again after this. */
const RETRY_MS = 5
const CLOSE_MS = 2_000
const LINE_FEED = 10

export function lineWriter(options: LineWriterOptions): LineWriter {
  return new Writer(options)
}

class Writer implements LineWriter {
  readonly #destination: Destination
  readonly #clock: Clock
  readonly #dropped: { add(count: number): void }
  readonly #failed: ((error: Error) => void) | undefined
  readonly #maxBytes: number
  #lines: string[] = []
  /** Bytes of `#lines` and of what is left of `#batch`. */
  #pending = 0
  #batch: Buffer | null = null
  /** How much of the batch is written. */
  #at = 0
  #scheduled = false
  #failing = false
  /** The last write ended within a line: the next batch begins with a line feed that ends no line of its own. */
  #torn = false
  /** The batch begins so. */
  #led = false
  #closed: Promise<void> | null = null
  #idle: (() => void) | null = null
  #stopped = false

  constructor(options: LineWriterOptions) {
    this.#destination = options.destination
    this.#clock = options.clock
    this.#dropped = options.dropped
    this.#failed = options.failed
    this.#maxBytes = options.maxBytes ?? MAX_BYTES
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1
    if (this.#closed !== null || this.#pending + bytes > this.#maxBytes) {
      this.#dropped.add(1)
      return
    }
    this.#pending += bytes
    this.#lines.push(line)
    if (this.#batch !== null || this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    if (this.#pending > 0) {
      // The clock's timers do not keep the process alive, an open port does: it must not end before the last line is out.
      const alive = new MessageChannel().port1
      alive.ref()
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle = resolve
      const deadline = this.#clock.after(CLOSE_MS, resolve)
      await promise
      deadline.cancel()
      alive.close()
    }
    this.#stopped = true
    this.#dropped.add(this.#lines.length + (this.#batch === null ? 0 : this.#left(this.#batch)))
    this.#lines = []
    this.#batch = null
    this.#destination.close()
  }

  #flush(): void {
    this.#scheduled = false
    if (this.#stopped || this.#batch !== null) return
    if (this.#lines.length === 0) return this.#idle?.()
    this.#batch = Buffer.from(`${this.#torn ? '\n' : ''}${this.#lines.join('\n')}\n`)
    this.#pending = this.#batch.length
    this.#led = this.#torn
    this.#torn = false
    this.#lines = []
    this.#at = 0
    this.#send(this.#batch)
  }

  #send(batch: Buffer): void {
    const end = pieceEnd(batch, this.#at, this.#destination.pieceBytes)
    this.#destination.write(batch.subarray(this.#at, end), (error, written) => this.#sent(batch, error, written))
  }

  #sent(batch: Buffer, error: NodeJS.ErrnoException | null, written: number): void {
    if (this.#stopped) return
    if (error !== null && error.code === 'EAGAIN') {
      this.#clock.after(RETRY_MS, () => {
        if (!this.#stopped) this.#send(batch)
      })
      return
    }
    if (error !== null) return this.#lose(batch, error)
    this.#failing = false
    this.#at += written
    this.#pending -= written
    if (this.#at < batch.length) return this.#send(batch)
    this.#batch = null
    this.#flush()
  }

  /** The batch is lost, later lines get their own try. */
  #lose(batch: Buffer, error: Error): void {
    this.#torn = this.#at === 0 ? this.#led : batch[this.#at - 1] !== LINE_FEED
    this.#dropped.add(this.#left(batch))
    this.#pending -= batch.length - this.#at
    this.#batch = null
    if (!this.#failing) this.#failed?.(error)
    this.#failing = true
    this.#flush()
  }

  /** Lines of the batch that are not out; one that lacks only its line feed is. */
  #left(batch: Buffer): number {
    const at = this.#at === 0 ? Number(this.#led) : this.#at + Number(batch[this.#at - 1] !== LINE_FEED && batch[this.#at] === LINE_FEED)
    return linesFrom(batch, at)
  }
}

/** Whole lines up to `limit` bytes, or one longer line. */
function pieceEnd(batch: Buffer, at: number, limit: number): number {
  if (batch.length - at <= limit) return batch.length
  const last = batch.lastIndexOf(LINE_FEED, at + limit - 1)
  return (last >= at ? last : batch.indexOf(LINE_FEED, at)) + 1
}

function linesFrom(batch: Buffer, at: number): number {
  let count = 0
  for (let i = batch.indexOf(LINE_FEED, at); i >= 0; i = batch.indexOf(LINE_FEED, i + 1)) count++
  return count
}
