/**
 * A lock that a process holds until it closes it or dies, by whatever death: the kernel's own lock on a file, which Node does not offer by
 * itself and SQLite takes for an exclusive transaction. So nobody guesses from process ids or the age of a file whether somebody lives.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

export interface Lock {
  release(): void
}

/** @returns null when somebody holds it @throws when the file cannot be made */
export function takeLock(path: string): Lock | null {
  mkdirSync(dirname(path), { recursive: true })
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // With a journal in memory nothing is written at all: it works on a full disk.
    database.exec('PRAGMA journal_mode=MEMORY; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE')
    return { release: () => database.close() }
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null
    throw error
  }
}

/** A lock of the caller's own from the moment its file is there: nobody who looks at it can come first. @throws when the file cannot be made */
export function newLock(path: string): Lock {
  const lock = takeLock(`${path}.new`)
  if (lock === null) throw new Error('somebody else has the new lock')
  renameSync(`${path}.new`, path)
  return lock
}

/** Whether somebody holds it. A lock without a file is nobody's. */
export function isHeld(path: string): boolean {
  if (!existsSync(path)) return false
  const lock = takeLock(path)
  lock?.release()
  return lock === null
}
