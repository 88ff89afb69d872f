/** From a path to text: the file is read once, within a limit, and must be UTF-8 without control characters. */
import { open } from 'node:fs/promises'
import type { Complaint, Position } from './issues.ts'
import { NOWHERE } from './issues.ts'

export const MAX_FILE_BYTES = 1 << 20

export type Read = { readonly text: string } | { readonly complaint: Complaint; readonly at: Position }

export async function readSource(file: string): Promise<Read> {
  try {
    const handle = await open(file)
    try {
      if (!(await handle.stat()).isFile()) return refused({ rule: 'not-a-file', message: 'expected a file, found something else', help: 'Name the YAML file itself.' })
      return decodeSource(await readAtMost(handle, MAX_FILE_BYTES + 1))
    } finally {
      await handle.close()
    }
  } catch (error) {
    return refused(unreadable((error as NodeJS.ErrnoException).code))
  }
}

type Handle = Awaited<ReturnType<typeof open>>

/** Never by the size that `stat` says: a file may grow, and what is in /proc has none. */
async function readAtMost(handle: Handle, limit: number): Promise<Buffer> {
  const bytes = Buffer.alloc(limit)
  let length = 0
  while (length < limit) {
    const { bytesRead } = await handle.read(bytes, length, limit - length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}

export function decodeSource(bytes: Buffer): Read {
  if (bytes.length > MAX_FILE_BYTES) return refused(tooLarge())
  const mark = bytes.readUInt16BE.bind(bytes)
  if (bytes.length >= 2 && (mark(0) === 0xfffe || mark(0) === 0xfeff)) {
    return refused({ rule: 'encoding', message: 'expected UTF-8, found UTF-16', help: 'Save the file as UTF-8.' })
  }
  if (!bytes.every((byte) => byte < 0x80) && !isUtf8(bytes)) {
    return { complaint: { rule: 'encoding', message: 'expected UTF-8, found bytes that are not', help: 'Save the file as UTF-8.' }, at: firstBadByte(bytes) }
  }
  return checkText(bytes.toString('utf8'))
}

/** The same limits for text that did not come from a file. */
export function checkText(text: string): Read {
  if (text.length > MAX_FILE_BYTES) return refused(tooLarge())
  const clean = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  // YAML allows tab, LF and CR of the C0 controls (YAML 1.2.2, 5.1).
  const at = clean.search(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/)
  if (at < 0) return { text: clean }
  const code = clean.charCodeAt(at).toString(16).toUpperCase().padStart(4, '0')
  const hint = code === '0000' ? 'This may be UTF-16 or not a text file at all.' : 'Write it as an escape in double quotes: "\\x1b".'
  return { complaint: { rule: 'encoding', message: `the control character U+${code} is not allowed`, help: hint }, at: positionIn(clean, at) }
}

function isUtf8(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

/** Where decoding and encoding again first differ. */
function firstBadByte(bytes: Buffer): Position {
  const text = bytes.toString('utf8')
  const again = Buffer.from(text)
  let at = 0
  while (at < bytes.length && bytes[at] === again[at]) at++
  return positionIn(bytes.toString('utf8', 0, at), Number.MAX_SAFE_INTEGER)
}

function positionIn(text: string, offset: number): Position {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: before.length - start + 1 }
}

function tooLarge(): Complaint {
  return { rule: 'too-large', message: `the file is larger than ${MAX_FILE_BYTES / 1024} KiB`, help: 'A configuration is far smaller; is this the right file?' }
}

function unreadable(code: string | undefined): Complaint {
  if (code === 'ENOENT') return { rule: 'missing-file', message: 'there is no such file', help: 'Check the path.' }
  if (code === 'EACCES' || code === 'EPERM') return { rule: 'unreadable', message: 'the file may not be read', help: 'Check its permissions.' }
  return { rule: 'unreadable', message: `the file cannot be read (${code ?? 'unknown error'})`, help: '' }
}

function refused(complaint: Complaint): Read {
  return { complaint, at: NOWHERE }
}
