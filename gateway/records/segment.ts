/**
 * A segment: a header, then frames (`codec.ts`), written by one thread, appended only.
 *
 *   header   magic `weirseg1` | frame of JSON: {"sink"}; the magic has the version of the layout of records
 *
 * Whatever does not read as a frame ends it. How many records were accepted into a sealed segment says its name; what cannot be read
 * of these is lost and counted `torn`. Of a segment whose writer was killed, bytes after the last intact frame are one record: it was begun,
 * so it counts as accepted, and its answer had not gone out.
 */
import { crc32 } from 'node:zlib'
import { FRAME_BYTES, frameAt } from './codec.ts'
import type { Files } from './files.ts'

const MAGIC = Buffer.from('weirseg1')

export function header(sink: string): Buffer {
  const payload = Buffer.from(JSON.stringify({ sink }))
  const frame = Buffer.alloc(FRAME_BYTES)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload), 4)
  return Buffer.concat([MAGIC, frame, payload])
}

export interface Scanned {
  /** Payloads of the intact records; views of one buffer. */
  readonly payloads: readonly Buffer[]
  /** Bytes after the last intact frame. */
  readonly rest: number
}

/** @throws what the system says */
export function readSegment(files: Files, path: string): Scanned {
  return scan(files.readFileSync(path))
}

export function scan(bytes: Buffer): Scanned {
  const payloads: Buffer[] = []
  const first = bytes.subarray(0, MAGIC.length).equals(MAGIC) ? frameAt(bytes, MAGIC.length) : null
  // Without its header nothing was appended yet.
  if (first === null) return { payloads, rest: 0 }
  let at = MAGIC.length + FRAME_BYTES + first.length
  for (let payload = frameAt(bytes, at); payload !== null; payload = frameAt(bytes, at)) {
    payloads.push(payload)
    at += FRAME_BYTES + payload.length
  }
  return { payloads, rest: bytes.length - at }
}

/** Records that were accepted into the segment of a writer that was killed. */
export function acceptedIn({ payloads, rest }: Scanned): number {
  return payloads.length + (rest > 0 ? 1 : 0)
}
