/** Writing messages: one string for a head, one buffer and one system call for a small message. */
import type { Duplex } from 'node:stream'
import { headerLines } from '../headers.ts'

/** Up to here head and body are copied into one buffer; a larger body is written behind its head without a copy. */
export const ONE_WRITE_BYTES = 65_536

const CRLF = Buffer.from('\r\n')
const LAST_CHUNK = Buffer.from('0\r\n\r\n')

/** @returns false when the socket asks to wait for `drain` */
export function writeMessage(socket: Duplex, head: string, body: Buffer | null): boolean {
  if (body === null || body.length === 0) return socket.write(head, 'latin1')
  if (head.length + body.length <= ONE_WRITE_BYTES) {
    const message = Buffer.allocUnsafe(head.length + body.length)
    message.write(head, 0, 'latin1')
    body.copy(message, head.length)
    return socket.write(message)
  }
  socket.cork()
  socket.write(head, 'latin1')
  const more = socket.write(body)
  socket.uncork()
  return more
}

/** Writes a piece of a body that the caller of this function still owns: it is copied. */
export function writePiece(socket: Duplex, chunk: Buffer, chunked: boolean): boolean {
  if (!chunked) return socket.write(Buffer.from(chunk))
  const size = `${chunk.length.toString(16)}\r\n`
  const framed = Buffer.allocUnsafe(size.length + chunk.length + 2)
  framed.write(size, 0, 'latin1')
  chunk.copy(framed, size.length)
  CRLF.copy(framed, size.length + chunk.length)
  return socket.write(framed)
}

/** Ends a chunked body. @param trailers flat, or null */
export function writeLastChunk(socket: Duplex, trailers: readonly string[] | null): boolean {
  if (trailers === null || trailers.length === 0) return socket.write(LAST_CHUNK)
  return socket.write(`0\r\n${headerLines(trailers)}\r\n`, 'latin1')
}

/** Standard reason phrases (RFC 9110 §15 and the IANA registry); other codes have none. */
const PHRASES: Readonly<Record<number, string>> = {
  100: 'Continue', 101: 'Switching Protocols', 102: 'Processing', 103: 'Early Hints',
  200: 'OK', 201: 'Created', 202: 'Accepted', 203: 'Non-Authoritative Information', 204: 'No Content', 205: 'Reset Content', 206: 'Partial Content', 207: 'Multi-Status',
  300: 'Multiple Choices', 301: 'Moved Permanently', 302: 'Found', 303: 'See Other', 304: 'Not Modified', 307: 'Temporary Redirect', 308: 'Permanent Redirect',
  400: 'Bad Request', 401: 'Unauthorized', 402: 'Payment Required', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 406: 'Not Acceptable',
  407: 'Proxy Authentication Required', 408: 'Request Timeout', 409: 'Conflict', 410: 'Gone', 411: 'Length Required', 412: 'Precondition Failed', 413: 'Content Too Large',
  414: 'URI Too Long', 415: 'Unsupported Media Type', 416: 'Range Not Satisfiable', 417: 'Expectation Failed', 421: 'Misdirected Request', 422: 'Unprocessable Content',
  423: 'Locked', 424: 'Failed Dependency', 425: 'Too Early', 426: 'Upgrade Required', 428: 'Precondition Required', 429: 'Too Many Requests', 431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons', 500: 'Internal Server Error', 501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported', 507: 'Insufficient Storage', 508: 'Loop Detected', 511: 'Network Authentication Required',
}

export function phraseOf(status: number): string {
  return PHRASES[status] ?? ''
}
