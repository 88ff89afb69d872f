/**
 * The folder of a sink that writes files, and how a delivery that nobody committed is undone: before a delivery makes files it says in a
 * journal which ones, and a sink that opens at the state before that delivery removes them. Each life of a sink has a journal of its own:
 * several gateways may write to one folder, and one whose `state` was lost must not take what the last one delivered for its own.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../plugin.ts'

/** Paths of the journal are removed: nothing outside the folder can be. */
const INSIDE = /^(?!.*(^|\/)\.\.?(\/|$))[A-Za-z0-9_.=-]+(\/[A-Za-z0-9_.=-]+)*$/

interface Journal {
  readonly seq: number
  readonly files: readonly string[]
}

export function newId(): string {
  return randomBytes(4).toString('hex')
}

export function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]+$/.test(value)
}

/** What a sink of files committed of where it is. */
export interface Place {
  readonly folder: string
  readonly id: string
  /** Of the last delivery. */
  readonly seq: number
}

/**
 * A sink opens at what it committed: what the delivery after that made is removed.
 * @param path where it writes now @returns the folder it writes to now, and the one of the last commit, which may be another
 */
export async function reopen(path: string, sink: string, { folder, id, seq }: Place, log: Log): Promise<{ readonly folder: Folder; readonly before: Folder }> {
  const now = new Folder(path, sink, id)
  await now.makeFor('x')
  const before = folder === path ? now : new Folder(folder, sink, id)
  const undone = await before.undo(seq + 1)
  if (undone > 0) log.info('removed files of records that come again', { sink, files: undone })
  return { folder: now, before }
}

/** Readers of data lakes leave out names that begin with a dot. */
export function temporaryOf(file: string): string {
  return join(dirname(file), `.${basename(file)}.tmp`)
}

export class Folder {
  readonly path: string
  /** Of the sink and its life: what tells its files and its journal from those of others. */
  readonly id: string
  readonly #journal: string
  /** Folders that are known to be there. */
  readonly #made = new Set<string>()

  /** @param path absolute @param sink its name @param id hexadecimal */
  constructor(path: string, sink: string, id: string) {
    this.path = path
    this.id = id
    this.#journal = `.weir-${sink}-${id}.json`
  }

  at(file: string): string {
    return join(this.path, file)
  }

  /** Makes the folder of a file. */
  async makeFor(file: string): Promise<void> {
    const folder = dirname(this.at(file))
    if (this.#made.has(folder)) return
    await mkdir(folder, { recursive: true })
    if (this.#made.size >= 1000) this.#made.clear()
    this.#made.add(folder)
  }

  /** Says, on the disk, which files the delivery `seq` is about to make. */
  async announce(seq: number, files: readonly string[]): Promise<void> {
    await this.write(this.#journal, Buffer.from(JSON.stringify({ seq, files } satisfies Journal)))
  }

  /** Removes what the delivery `seq` made. @returns how many files it had announced */
  async undo(seq: number): Promise<number> {
    const journal = await this.#read()
    if (journal === null || journal.seq !== seq) return 0
    for (const file of journal.files) {
      if (!INSIDE.test(file)) continue
      await rm(this.at(file), { force: true })
      await rm(this.at(temporaryOf(file)), { force: true })
    }
    await rm(this.at(this.#journal), { force: true })
    return journal.files.length
  }

  /** The file is there as a whole or not at all, and stays when the power goes. */
  async write(file: string, bytes: Uint8Array): Promise<void> {
    await this.makeFor(file)
    const temporary = this.at(temporaryOf(file))
    try {
      const handle = await open(temporary, 'w')
      try {
        await handle.writeFile(bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(temporary, this.at(file))
    } catch (error) {
      this.#made.delete(dirname(this.at(file)))
      await rm(temporary, { force: true }).catch(() => undefined)
      throw error
    }
    await this.settle(file)
  }

  /** The name of a new file stays when the power goes. */
  async settle(file: string): Promise<void> {
    const handle = await open(dirname(this.at(file)), 'r')
    await handle.sync().finally(() => handle.close())
  }

  /** Bytes; null: it is not there. */
  async size(file: string): Promise<number | null> {
    const found = await stat(this.at(file)).catch(() => null)
    return found?.isFile() === true ? found.size : null
  }

  /** @throws when nothing can be written here */
  async probe(): Promise<void> {
    await this.write('.weir-probe', Buffer.from('weir'))
    await rm(this.at('.weir-probe'), { force: true })
  }

  async #read(): Promise<Journal | null> {
    const text = await readFile(this.at(this.#journal), 'utf8').catch(() => null)
    if (text === null) return null
    try {
      const { seq, files } = JSON.parse(text) as Journal
      return typeof seq === 'number' && Array.isArray(files) ? { seq, files: files.filter((file) => typeof file === 'string') } : null
    } catch {
      return null
    }
  }
}
