/**
 * Lines of JSON in files: `<route>/dt=YYYY-MM-DD/hour=HH/<boot>-<n>.jsonl`, by the hour of the record, UTC. A file is written to until it
 * is old or large; then it is closed, and compressed if that is wanted.
 *
 * Exactly once: the state holds how long each open file is. A sink that opens cuts what is longer, and removes files that nobody committed.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, open, rename, rm, truncate } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { JsonlSinkConfig } from '../../../config/config.ts'
import type { Clock } from '../../clock.ts'
import type { LogRecord } from '../record.ts'
import type { Delivery, Sink, SinkDeps, SinkState } from '../sink.ts'
import { hourOf, segment, writableLine } from './envelope.ts'
import { Folder, isId, newId, type Place, reopen, temporaryOf } from './folder.ts'

/** Files written to at the same time; the state of each has about 150 bytes. */
export const MAX_OPEN = 100
const BATCH = { rows: 10_000, bytes: 16 << 20, wait_ms: 0 }

interface OpenFile {
  readonly path: string
  readonly key: string
  /** Bytes that are committed, or are about to be. */
  bytes: number
  /** `clock.now()` of its first record. */
  readonly since: number
  full: boolean
}

/** What one delivery adds to one file. */
interface Addition {
  readonly file: OpenFile
  readonly created: boolean
  readonly lines: string[]
  bytes: number
}

interface State extends Place {
  readonly kind: 'jsonl'
  /** Path → bytes. */
  readonly open: Readonly<Record<string, number>>
}

export class JsonlSink implements Sink {
  readonly batch = BATCH
  readonly #config: JsonlSinkConfig
  readonly #clock: Clock
  readonly #log: SinkDeps['log']
  #folder: Folder
  readonly #boot = newId()
  /** By path, in the order they were made. */
  readonly #open = new Map<string, OpenFile>()
  #files = 0
  #seq = 0
  /** The last delivery broke off: what it made is removed first. */
  #broken = false

  constructor(config: JsonlSinkConfig, { clock, log }: SinkDeps) {
    this.#config = config
    this.#clock = clock
    this.#log = log
    this.#folder = new Folder(config.path, config.name, newId())
  }

  async open(state: SinkState | null): Promise<SinkState | undefined> {
    const known = stateOf(state)
    this.#seq = known?.seq ?? 0
    this.#open.clear()
    if (known === null) {
      await this.#folder.makeFor('x')
      return this.#state()
    }
    const { folder, before } = await reopen(this.#config.path, this.#config.name, known, this.#log)
    this.#folder = folder
    for (const [path, bytes] of Object.entries(known.open)) await this.#recover(before, path, bytes)
    return undefined
  }

  async #recover(folder: Folder, path: string, bytes: number): Promise<void> {
    const size = await folder.size(path)
    if (size !== null && size < bytes) this.#log.warn('a file of a sink is shorter than what was written to it', { sink: this.#config.name, file: path, bytes: size, expected: bytes })
    await this.#finish(folder, path, bytes)
  }

  async deliver(records: readonly LogRecord[]): Promise<Delivery> {
    if (this.#broken) await this.#folder.undo(this.#seq + 1)
    this.#broken = true
    const { additions, rejected } = this.#plan(records)
    const created = additions.filter((addition) => addition.created)
    if (created.length > 0) await this.#folder.announce(this.#seq + 1, created.map(({ file }) => file.path))
    for (const addition of additions) await this.#append(addition)
    for (const { file, bytes } of additions) {
      this.#open.set(file.path, file)
      file.bytes = bytes
    }
    await this.#closeMany(created)
    this.#seq++
    this.#broken = false
    return { delivered: records.length - rejected, rejected, state: this.#state(), error: null }
  }

  async rotate(all: boolean): Promise<SinkState | undefined> {
    const now = this.#clock.now()
    const done = [...this.#open.values()].filter((file) => all || file.full || now - file.since >= this.#config.rotate_ms)
    for (const { path, bytes } of done) {
      await this.#finish(this.#folder, path, bytes)
      this.#open.delete(path)
    }
    return done.length > 0 ? this.#state() : undefined
  }

  async probe(): Promise<void> {
    await this.#folder.probe()
  }

  async close(): Promise<void> {
    // Nothing is held open between deliveries.
  }

  // ---------------------------------------------------------------- a delivery

  #plan(records: readonly LogRecord[]): { additions: Addition[]; rejected: number } {
    const current = new Map<string, Addition>()
    const additions: Addition[] = []
    let rejected = 0
    for (const record of records) {
      const line = writableLine(record, this.#config.name, this.#log)
      if (line === null) {
        rejected++
        continue
      }
      const { date, hour } = hourOf(record.time)
      const key = `${segment(record.route)}/dt=${date}/hour=${hour}`
      const size = Buffer.byteLength(line)
      let addition = current.get(key)
      if (addition === undefined || (addition.bytes > 0 && addition.bytes + size > this.#config.max_file_bytes)) {
        addition = this.#additionTo(key, size, addition)
        current.set(key, addition)
        additions.push(addition)
      }
      addition.lines.push(line)
      addition.bytes += size
    }
    return { additions, rejected }
  }

  /** @param before the addition of this delivery that is full */
  #additionTo(key: string, size: number, before: Addition | undefined): Addition {
    if (before !== undefined) before.file.full = true
    else {
      for (const file of this.#open.values()) {
        if (file.key !== key || file.full) continue
        if (file.bytes + size <= this.#config.max_file_bytes) return { file, created: false, lines: [], bytes: file.bytes }
        file.full = true
      }
    }
    const path = `${key}/${this.#boot}-${++this.#files}.jsonl`
    return { file: { path, key, bytes: 0, since: this.#clock.now(), full: false }, created: true, lines: [], bytes: 0 }
  }

  async #append({ file, created, lines, bytes }: Addition): Promise<void> {
    if (created) await this.#folder.makeFor(file.path)
    else if (((await this.#folder.size(file.path)) ?? -1) < file.bytes) {
      // Somebody moved or cut it. What is committed is theirs now; the next attempt begins another file.
      this.#open.delete(file.path)
      throw new Error(`the file ${file.path} was moved or cut while it was written to`)
    }
    const handle = await open(this.#folder.at(file.path), created ? 'w' : 'r+')
    try {
      await writeAt(handle, Buffer.from(lines.join('')), file.bytes)
      // What an attempt that broke off may have left behind.
      await handle.truncate(bytes)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    if (created) await this.#folder.settle(file.path)
  }

  /** So that the state stays small: of too many files, the ones this delivery made are closed; the journal knows them. */
  async #closeMany(created: readonly Addition[]): Promise<void> {
    for (const { file } of created) {
      if (this.#open.size <= MAX_OPEN) return
      this.#open.delete(file.path)
    }
  }

  // ---------------------------------------------------------------- files that are done

  /** Keeps what is committed, and only that: however often it is done, the result is the same. */
  async #finish(folder: Folder, path: string, bytes: number): Promise<void> {
    const whole = folder.at(path)
    const size = await folder.size(path)
    if (size === null) return
    if (size > bytes) await truncate(whole, bytes)
    if (bytes === 0) return rm(whole, { force: true })
    if (this.#config.gzip) await this.#compress(folder, path)
  }

  /** A disk that is too full for it keeps the file as it is: records go first. */
  async #compress(folder: Folder, path: string): Promise<void> {
    const whole = folder.at(path)
    const temporary = folder.at(temporaryOf(`${path}.gz`))
    try {
      await pipeline(createReadStream(whole), createGzip(), createWriteStream(temporary, { flush: true }))
      await rename(temporary, `${whole}.gz`)
      await folder.settle(path)
      await rm(whole, { force: true })
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined)
      this.#log.warn('a closed file of a sink stays uncompressed', { sink: this.#config.name, file: path, reason: (error as Error).message })
    }
  }

  #state(): SinkState {
    return { kind: 'jsonl', folder: this.#config.path, id: this.#folder.id, seq: this.#seq, open: Object.fromEntries([...this.#open.values()].map(({ path, bytes }) => [path, bytes])) } satisfies State
  }
}

/** null: of another kind of sink, or none. */
function stateOf(state: SinkState | null): State | null {
  const found = state as Partial<State> | null
  return found?.kind === 'jsonl' && typeof found.folder === 'string' && isId(found.id) && typeof found.seq === 'number' && typeof found.open === 'object' ? (found as State) : null
}

/** A full disk takes a part first, and says so at the next write. */
async function writeAt(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}
