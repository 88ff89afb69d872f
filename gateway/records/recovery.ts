/** What a writer left open when it died, sealed by its successor. */
import { join } from 'node:path'
import type { Row } from './cells.ts'
import { codeOf, type Files } from './files.ts'
import { fileOf, type SegmentName } from './names.ts'
import { acceptedIn, readSegment } from './segment.ts'

/**
 * Seals an open segment whose writer is dead, and gives it to `owner`. One that holds nothing is removed.
 * @returns the sealed one, or null @throws what the system says
 */
export function sealOrphan(files: Files, folder: string, open: SegmentName, owner: string): SegmentName | null {
  const path = join(folder, fileOf(open))
  const records = acceptedIn(readSegment(files, path))
  if (records === 0) {
    files.unlinkSync(path)
    return null
  }
  const sealed: SegmentName = { ...open, owner, records, stage: 'seg' }
  files.renameSync(path, join(folder, fileOf(sealed)))
  return sealed
}

/**
 * Seals what a data thread of this process, which is dead, left open; counts the record that it may have written and not counted.
 * @param row of that thread; nobody else may write it now
 */
export function takeOver(files: Files, folder: string, open: SegmentName, row: Row): SegmentName | null {
  const bytes = files.statSync(join(folder, fileOf(open))).size
  const sealed = sealOrphan(files, folder, open, open.boot)
  if (sealed === null) row.freed += bytes
  // An older one, which could not be sealed at its time, was counted then.
  if (open.seq === row.seq) {
    row.accepted += (sealed?.records ?? 0) - row.openRecords
    row.openRecords = 0
  }
  row.changed()
  return sealed
}

/** @returns false: somebody else was faster, it is not there any more @throws what else the system says */
export function moveTo(files: Files, folder: string, from: SegmentName, to: SegmentName): boolean {
  try {
    files.renameSync(join(folder, fileOf(from)), join(folder, fileOf(to)))
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}
