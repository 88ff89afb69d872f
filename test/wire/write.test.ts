/** What is written is what a reader reads. */
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { headerLines } from '../../gateway/headers.ts'
import { phraseOf, writeLastChunk, writeMessage, writePiece } from '../../gateway/wire/write.ts'
import { STATUS_CODES } from 'node:http'
import { read } from './helpers.ts'

/** Bytes that `write` sends, and in how many writes. */
function written(write: (socket: PassThrough) => void): { bytes: Buffer; writes: number } {
  const socket = new PassThrough({ highWaterMark: 1 << 24 })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  write(socket)
  return { bytes: Buffer.concat(chunks), writes: chunks.length }
}

describe('writeMessage', () => {
  const head = 'HTTP/1.1 200 OK\r\nx: \xe9\r\n\r\n'

  it('writes latin1, with or without a body, in one write while it is small', () => {
    expect(written((socket) => writeMessage(socket, head, null))).toEqual({ bytes: Buffer.from(head, 'latin1'), writes: 1 })
    expect(written((socket) => writeMessage(socket, head, Buffer.alloc(0)))).toEqual({ bytes: Buffer.from(head, 'latin1'), writes: 1 })
    const body = Buffer.from([0, 255, 13, 10])
    expect(written((socket) => writeMessage(socket, head, body))).toEqual({ bytes: Buffer.concat([Buffer.from(head, 'latin1'), body]), writes: 1 })
  })

  it('a large body follows whole', () => {
    const body = Buffer.alloc(300_000, 'abc')
    expect(written((socket) => writeMessage(socket, head, body)).bytes.equals(Buffer.concat([Buffer.from(head, 'latin1'), body]))).toBe(true)
  })
})

describe('pieces', () => {
  it('copy what they are given', () => {
    const chunk = Buffer.from('abc')
    const { bytes } = written((socket) => {
      socket.pause()
      writePiece(socket, chunk, false)
      writePiece(socket, chunk, true)
      chunk.fill('x')
      socket.resume()
      socket.read()
    })
    expect(bytes.toString('latin1')).not.toContain('x')
  })

  it('chunks and trailers are read back as they were', () => {
    const { bytes } = written((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      writePiece(socket, Buffer.alloc(17, 'a'), true)
      writePiece(socket, Buffer.from('\r\n0\r\n\r\n'), true)
      writeLastChunk(socket, ['x-a', '1', 'x-b', '\xe9'])
    })
    const { messages, code } = read('answer', bytes)
    expect(code).toBeNull()
    expect(messages[0]).toMatchObject({ body: `${'a'.repeat(17)}\r\n0\r\n\r\n`, trailers: ['x-a', '1', 'x-b', '\xe9'] })
  })

  it('the last chunk without trailers', () => {
    expect(written((socket) => writeLastChunk(socket, null)).bytes.toString()).toBe('0\r\n\r\n')
    expect(written((socket) => writeLastChunk(socket, [])).bytes.toString()).toBe('0\r\n\r\n')
  })
})

describe('texts', () => {
  it('header lines', () => {
    expect(headerLines(['A', '1', 'b', ''])).toBe('A: 1\r\nb: \r\n')
    expect(headerLines([])).toBe('')
  })

  /** Node's table is older than RFC 9110 in places: these are the RFC's (15.5.14, 15.5.15, 15.5.21) and those of RFC 6585, 4918, 8470 as registered. */
  const RENAMED = new Set([413, 418, 422, 509])

  it('phrases are the registered ones', () => {
    for (const [status, phrase] of Object.entries(STATUS_CODES)) {
      const ours = phraseOf(Number(status))
      if (ours !== '' && !RENAMED.has(Number(status))) expect(ours, status).toBe(phrase)
    }
    expect([phraseOf(413), phraseOf(422), phraseOf(299)]).toEqual(['Content Too Large', 'Unprocessable Content', ''])
  })
})
