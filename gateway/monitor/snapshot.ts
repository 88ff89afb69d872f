/**
 * What monitors remember, as one file: written to a temporary name, synced and renamed, so that there is always a whole one; or refused as a whole.
 *
 * Layout, little-endian: magic (8 bytes) | u32 length | head, JSON: when it was saved and the sections, each with what its bytes mean | frames, each
 * u32 length | u32 section | bytes | … | u32 CRC-32 of all before. Frames of a section are in the order in which it gave them.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'

const MAGIC = Buffer.from('weirmem1')
const FRAME_HEAD = 8
const TRAILER = 4
/** No head and no frame is longer: a length beyond it is not one. */
const MAX_FRAME_BYTES = 256 << 20
/** What is read or written at once. */
const SLICE_BYTES = 1 << 20
/** A temporary file that is older belongs to a process that was killed. */
const ABANDONED_MS = 3_600_000

/** A part of what is remembered, with a layout of its own. */
export interface Section {
  readonly name: string
  /** Stands for what the bytes mean: bytes of another one are not taken. */
  readonly layout: string
  /**
   * Small pieces (about a millisecond each), copied: others may write meanwhile. An empty one is a pause; null: what was given no longer
   * fits what comes, and nothing is saved.
   */
  frames(): Iterable<Uint8Array | null>
  /** @param frame the bytes of the `i`-th frame, in a buffer of their own, aligned to 8 */
  take(frame: Buffer, i: number): void
}

export interface Head {
  /** Unix milliseconds. */
  readonly saved: number
  readonly sections: readonly { readonly name: string; readonly layout: string }[]
}

/** @returns false when a section took it back @throws what the system says; the file is as it was */
export async function writeSnapshot(path: string, sections: readonly Section[], saved: number): Promise<boolean> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`
  try {
    if (!(await writeAll(temporary, sections, saved))) return false
    await rename(temporary, path)
    return true
  } finally {
    await unlink(temporary).catch(() => undefined)
  }
}

async function writeAll(path: string, sections: readonly Section[], saved: number): Promise<boolean> {
  const file = await open(path, 'wx', 0o600)
  try {
    const head: Head = { saved, sections: sections.map(({ name, layout }) => ({ name, layout })) }
    const json = Buffer.from(JSON.stringify(head))
    let crc = 0
    const put = async (bytes: Buffer): Promise<void> => {
      crc = crc32(bytes, crc)
      await writeWhole(file, bytes)
    }
    // The sum of a slice takes half a millisecond.
    const putFrame = async (frame: Uint8Array, section: number): Promise<void> => {
      await put(Buffer.concat([u32(frame.length), u32(section), frame.subarray(0, SLICE_BYTES)]))
      for (let at = SLICE_BYTES; at < frame.length; at += SLICE_BYTES) await put(Buffer.from(frame.buffer, frame.byteOffset + at, Math.min(SLICE_BYTES, frame.length - at)))
    }
    await put(Buffer.concat([MAGIC, u32(json.length), json]))
    for (const [i, section] of sections.entries()) {
      for (const frame of section.frames()) {
        if (frame === null) return false
        if (frame.length === 0) await turn()
        else await putFrame(frame, i)
      }
    }
    await writeWhole(file, u32(crc))
    await file.datasync()
    return true
  } finally {
    await file.close()
  }
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten
}

/** Lets the event loop go on. */
function turn(): Promise<void> {
  return new Promise((done) => setImmediate(done))
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

export interface Taken {
  readonly taken: readonly Section[]
  /** Those that the file has in another layout. */
  readonly other: readonly Section[]
}

/**
 * Gives frames to the sections whose layout is the file's.
 * @returns null: there is no file @throws when it is damaged, and then nobody took anything
 */
export async function readSnapshot(path: string, sections: readonly Section[]): Promise<Taken | null> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (file === null) return null
  try {
    const length = await intact(file)
    const head = await headOf(file)
    const takers = head.sections.map(({ name, layout }) => sections.find((section) => section.name === name && section.layout === layout) ?? null)
    await deal(file, MAGIC.length + 4 + (await lengthAt(file, MAGIC.length)), length, takers)
    const taken = takers.filter((taker) => taker !== null)
    return { taken, other: sections.filter((section) => !taken.includes(section) && head.sections.some(({ name }) => name === section.name)) }
  } finally {
    await file.close()
  }
}

/** @returns length without the trailer @throws when the bytes are not those that were written */
async function intact(file: FileHandle): Promise<number> {
  const end = (await file.stat()).size - TRAILER
  if (end < MAGIC.length + 4) throw new Error('it is cut off')
  const slice = Buffer.allocUnsafeSlow(SLICE_BYTES)
  let crc = 0
  for (let at = 0; at < end; ) {
    const { bytesRead } = await file.read(slice, 0, Math.min(SLICE_BYTES, end - at), at)
    if (bytesRead === 0) throw new Error('it is cut off')
    if (at === 0 && !slice.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('it is no such file, or of another version')
    crc = crc32(slice.subarray(0, bytesRead), crc)
    at += bytesRead
  }
  if ((await lengthAt(file, end)) !== crc) throw new Error('its bytes are not those that were written')
  return end
}

async function headOf(file: FileHandle): Promise<Head> {
  return JSON.parse((await bytesAt(file, MAGIC.length + 4, await lengthAt(file, MAGIC.length))).toString()) as Head
}

async function deal(file: FileHandle, from: number, end: number, takers: readonly (Section | null)[]): Promise<void> {
  const given = takers.map(() => 0)
  for (let at = from; at < end; ) {
    const head = await bytesAt(file, at, FRAME_HEAD)
    const [length, section] = [head.readUInt32LE(0), head.readUInt32LE(4)]
    const taker = takers[section] ?? null
    if (taker !== null) taker.take(await bytesAt(file, at + FRAME_HEAD, length), given[section]!++)
    at += FRAME_HEAD + length
  }
}

async function lengthAt(file: FileHandle, at: number): Promise<number> {
  return (await bytesAt(file, at, 4)).readUInt32LE(0)
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  if (length > MAX_FRAME_BYTES) throw new Error('a length in it is none')
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let read = 0; read < length; ) {
    const { bytesRead } = await file.read(bytes, read, length - read, at + read)
    if (bytesRead === 0) throw new Error('it is cut off')
    read += bytesRead
  }
  return bytes
}

/** Removes what processes that were killed left half written. @param now Unix milliseconds */
export async function sweep(path: string, now: number): Promise<void> {
  const folder = dirname(path)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith('.tmp')) continue
    const { mtimeMs } = await stat(join(folder, name))
    if (now - mtimeMs > ABANDONED_MS) await unlink(join(folder, name))
  }
}
