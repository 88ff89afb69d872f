/** The file system as the spool needs it; tests put one in its place whose disk is full. */
import fs from 'node:fs'

export type Files = Pick<typeof fs, 'openSync' | 'writeSync' | 'readSync' | 'ftruncateSync' | 'truncateSync' | 'fsyncSync' | 'fdatasyncSync' | 'closeSync' | 'renameSync' | 'unlinkSync' | 'readdirSync' | 'readFileSync' | 'statSync' | 'mkdirSync' | 'existsSync'>

export const systemFiles: Files = fs

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error))
}

/** Writes all of it. @throws what the system says, with some of it maybe written */
export function writeAll(files: Files, fd: number, bytes: Buffer, position: number | null): void {
  let at = 0
  while (at < bytes.length) {
    const wrote = files.writeSync(fd, bytes, at, bytes.length - at, position === null ? null : position + at)
    if (wrote === 0) throw new Error('nothing was written')
    at += wrote
  }
}
