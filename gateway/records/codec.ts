/**
 * A record as bytes in the spool, little-endian.
 *
 *   frame    u32 length of the payload | u32 CRC-32 of it (zlib's) | payload
 *   payload  u32 length of the head | head, JSON | the bytes of request, sent and response, one after the other
 *
 * Bodies stay as they are: nothing is escaped or base64. The head is an array in the order of `LogRecord`, since names would be
 * a third of a small record; the version of the layout is in the header of the segment.
 */
import { crc32 } from 'node:zlib'
import type { LoggedBody, LogRecord } from './record.ts'

export const FRAME_BYTES = 8
/** No record is longer: a length beyond it is not one. */
export const MAX_FRAME_BYTES = 64 << 20
/** What is kept for the next record; larger ones get a buffer of their own. */
const SCRATCH_BYTES = 256 << 10
const HEAD_BYTES = 4
/** UTF-8 takes at most three bytes a UTF-16 unit. */
const UTF8_MAX = 3

type BodyHead = readonly [bytes: number, length: number, truncated: 0 | 1, type: string, encoding: string]

/** Writes frames into a buffer that the next `encode` uses again. */
export class Encoder {
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

  /** @returns the frame, valid until the next call; null = the record is too large for any */
  encode(record: LogRecord): Buffer | null {
    const head = JSON.stringify(headOf(record))
    const bodies = sizeOf(record.request) + sizeOf(record.sent) + sizeOf(record.response)
    const most = FRAME_BYTES + HEAD_BYTES + head.length * UTF8_MAX + bodies
    if (most > MAX_FRAME_BYTES) return null
    const frame = most <= SCRATCH_BYTES ? this.#scratch : Buffer.allocUnsafeSlow(most)
    const headBytes = frame.write(head, FRAME_BYTES + HEAD_BYTES)
    frame.writeUInt32LE(headBytes, FRAME_BYTES)
    let end = FRAME_BYTES + HEAD_BYTES + headBytes
    end = put(frame, end, record.request)
    end = put(frame, end, record.sent)
    end = put(frame, end, record.response)
    frame.writeUInt32LE(end - FRAME_BYTES, 0)
    frame.writeUInt32LE(crc32(frame.subarray(FRAME_BYTES, end)), 4)
    return frame.subarray(0, end)
  }
}

/**
 * The payload of the frame that begins at `at`.
 * @returns null when there is no intact one: it is cut off, or its bytes are not those that were written
 */
export function frameAt(bytes: Buffer, at: number): Buffer | null {
  if (at + FRAME_BYTES > bytes.length) return null
  const length = bytes.readUInt32LE(at)
  const end = at + FRAME_BYTES + length
  if (length < HEAD_BYTES || end > bytes.length || length > MAX_FRAME_BYTES) return null
  const payload = bytes.subarray(at + FRAME_BYTES, end)
  return crc32(payload) === bytes.readUInt32LE(at + 4) ? payload : null
}

/** @param payload of an intact frame; bodies are views of it @throws when it is of another layout */
export function decode(payload: Buffer): LogRecord {
  const headEnd = HEAD_BYTES + payload.readUInt32LE(0)
  const head = JSON.parse(payload.toString('utf8', HEAD_BYTES, headEnd)) as ReturnType<typeof headOf>
  let at = headEnd
  const body = (of: BodyHead | null): LoggedBody | null => {
    if (of === null) return null
    const [size, length, truncated, type, encoding] = of
    at += size
    return { bytes: payload.subarray(at - size, at), length, truncated: truncated === 1, type, encoding }
  }
  const [record_id, inference_id, request_id, time, route, backend, arm, model, version, method, target, status, reason, flags, attempts, fallback, duration_ms, backend_ms, format, request_headers, response_headers] = head
  const [request, sent, response] = [body(head[21]), body(head[22]), body(head[23])]
  return { record_id, inference_id, request_id, time, route, backend, arm, model, version, method, target, status, reason, flags, attempts, fallback, duration_ms, backend_ms, format, request_headers, response_headers, request, sent, response }
}

function headOf(r: LogRecord) {
  return [
    r.record_id, r.inference_id, r.request_id, r.time, r.route, r.backend, r.arm, r.model, r.version, r.method, r.target, r.status, r.reason, r.flags,
    r.attempts, r.fallback, r.duration_ms, r.backend_ms, r.format, r.request_headers, r.response_headers, bodyHead(r.request), bodyHead(r.sent), bodyHead(r.response),
  ] as const
}

function bodyHead(body: LoggedBody | null): BodyHead | null {
  return body === null ? null : [body.bytes.length, body.length, body.truncated ? 1 : 0, body.type, body.encoding]
}

function sizeOf(body: LoggedBody | null): number {
  return body === null ? 0 : body.bytes.length
}

function put(frame: Buffer, at: number, body: LoggedBody | null): number {
  return body === null ? at : at + body.bytes.copy(frame, at)
}
