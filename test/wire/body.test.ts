/** Bodies by length, in chunks and until the end (RFC 9112 6 and 7). */
import { describe, expect, it } from 'vitest'
import { BodyReader } from '../../gateway/wire/body.ts'
import { CHUNKED, UNTIL_CLOSE } from '../../gateway/wire/head.ts'
import { codeOf, latin1 } from './helpers.ts'

interface Got {
  readonly body: string
  readonly rest: string
  readonly done: boolean
  readonly trailers: string[] | null
  readonly pieces: number
}

function readBody(length: number, text: string): Got {
  const data = latin1(text)
  const reader = new BodyReader(length)
  const pieces: string[] = []
  const next = reader.done ? 0 : reader.read(data, 0, data.length, { bodyData: (chunk) => void pieces.push(chunk.toString('latin1')) })
  return { body: pieces.join(''), rest: text.slice(next), done: reader.done, trailers: reader.trailers, pieces: pieces.length }
}

const chunked = (text: string): Got => readBody(CHUNKED, text)
const code = (text: string): string | null => codeOf(() => chunked(text))

describe('by length', () => {
  it('takes so many bytes and not one more', () => {
    expect(readBody(5, 'helloGET /')).toEqual({ body: 'hello', rest: 'GET /', done: true, trailers: null, pieces: 1 })
    expect(readBody(5, 'hell')).toMatchObject({ body: 'hell', done: false })
  })

  it('none is done at once', () => {
    expect(readBody(0, 'x')).toMatchObject({ body: '', rest: 'x', done: true })
  })

  it('until the end is never done', () => {
    expect(readBody(UNTIL_CLOSE, 'any\r\n0\r\n\r\n')).toMatchObject({ body: 'any\r\n0\r\n\r\n', rest: '', done: false })
  })
})

describe('chunked', () => {
  it.each([
    ['0\r\n\r\n', ''],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['1\r\na\r\n2\r\nbc\r\n0\r\n\r\n', 'abc'],
    ['a\r\n0123456789\r\n00\r\n\r\n', '0123456789'],
    ['A\r\n0123456789\r\n000\r\n\r\n', '0123456789'],
    ['005\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5\r\n0\r\n\r\n\r\n0\r\n\r\n', '0\r\n\r\n'],
    ['5;a=b;c="d e"\r\nhello\r\n0;z\r\n\r\n', 'hello'],
    ['5;a;b="\\"; \t\\\\";c=d\r\nhello\r\n0\r\n\r\n', 'hello'],
  ])('%j holds %j', (text, body) => {
    expect(chunked(`${text}REST`)).toMatchObject({ body, rest: 'REST', done: true })
  })

  it.each([
    ['\r\n', 'no size'],
    [' 5\r\nhello\r\n', 'space before a size'],
    ['5 \r\nhello\r\n', 'space behind a size'],
    ['5\t\r\nhello\r\n', 'tab behind a size'],
    ['5 ;a\r\nhello\r\n', 'space before an extension'],
    ['0x5\r\nhello\r\n', '0x'],
    ['+5\r\nhello\r\n', 'plus'],
    ['-5\r\nhello\r\n', 'minus'],
    ['5,\r\nhello\r\n', 'comma'],
    ['5g\r\nhello\r\n', 'no digit'],
    ['1_0\r\n0123456789abcdef\r\n', 'underscore'],
    ['\xb2\r\nab\r\n', 'superscript two'],
    [';a\r\n', 'extension without size'],
    ['"5"\r\nhello\r\n', 'quoted'],
    ['5\nhello\r\n0\r\n\r\n', 'bare LF behind a size'],
    ['5\rhello\r\n0\r\n\r\n', 'bare CR behind a size'],
    ['5\r\r\nhello\r\n', 'CR CR LF'],
    ['5;\r\nhello\r\n', 'an empty extension'],
    ['5; a\r\nhello\r\n', 'space in an extension'],
    ['5;a b\r\nhello\r\n', 'space inside an extension'],
    ['5;a=\r\nhello\r\n', 'an extension with an empty value'],
    ['5;a=b=c\r\nhello\r\n', 'an extension with two values'],
    ['5;a="b\r\n0\r\n\r\n"\r\nhello\r\n', 'CR LF in a quoted extension'],
    ['5;a="b"c\r\nhello\r\n', 'text behind a quoted extension'],
    ['5;a="\\\r\n"\r\nhello\r\n', 'an escaped CR'],
    ['5;\xe9\r\nhello\r\n', 'obs-text in an extension'],
    ['5;a="\xe9"\r\nhello\r\n', 'obs-text in a quoted extension'],
    ['5;a\nhello\r\n', 'bare LF in an extension'],
    ['5;a\rb\r\nhello\r\n', 'bare CR in an extension'],
    ['5;a\x00\r\nhello\r\n', 'NUL in an extension'],
    ['5;a\x7f\r\nhello\r\n', 'DEL in an extension'],
    ['5\r\nhello\n0\r\n\r\n', 'bare LF behind data'],
    ['5\r\nhello\r0\r\n\r\n', 'bare CR behind data'],
    ['5\r\nhelloXX0\r\n\r\n', 'no CR LF behind data'],
    ['5\r\nhelloo\r\n0\r\n\r\n', 'more data than said'],
    ['6\r\nhello\r\n0\r\n\r\n', 'less data than said'],
    ['0\r\n\n', 'bare LF at the end'],
    ['0\r\n\rX', 'bare CR at the end'],
    ['0\n\n', 'bare LFs'],
    ['0\r\nX\r\n\r\n', 'a trailer without colon'],
    ['0\r\n: x\r\n\r\n', 'a trailer without name'],
    ['0\r\nx : y\r\n\r\n', 'space before a colon'],
    ['0\r\n x: y\r\n\r\n', 'leading space'],
    ['0\r\nx: y\r\n z\r\n\r\n', 'a folded trailer'],
    ['0\r\nx: y\n\r\n', 'bare LF behind a trailer'],
    ['0\r\nx: \x00\r\n\r\n', 'NUL in a trailer'],
    ['0\r\nx: y\rz\r\n\r\n', 'bare CR in a trailer'],
    ['1000000000000\r\n', 'a size of 13 digits'],
    ['0000000000005\r\nhello\r\n', 'a size of 13 digits, mostly zeros'],
  ])('%j (%s) is refused', (text) => {
    expect(code(text)).toBe('BAD_FRAMING')
  })

  it('the largest size is exact', () => {
    const reader = new BodyReader(CHUNKED)
    const data = latin1('ffffffffffff\r\nabc')
    let body = ''
    reader.read(data, 0, data.length, { bodyData: (chunk) => void (body += chunk.toString('latin1')) })
    expect([body, reader.done]).toEqual(['abc', false])
  })

  it('extensions of all chunks together have a limit', () => {
    const small = `1;${'e'.repeat(1024)}\r\na\r\n`
    expect(chunked(`${small.repeat(3)}0\r\n\r\n`).done).toBe(true)
    expect(code(small.repeat(5))).toBe('BAD_FRAMING')
    expect(code(`1;${'e'.repeat(5000)}`)).toBe('BAD_FRAMING')
  })
})

describe('trailers', () => {
  it('keep names, values and order; what must not travel there is dropped', () => {
    const text = '0\r\nX-Sum: \t1 2 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: x\r\nCookie: y\r\nSet-Cookie: z\r\ntrailer: q\r\nx-sum:3\r\nx-empty:\r\nx-\xe9'
    expect(code(`${text}: no token\r\n\r\n`)).toBe('BAD_FRAMING')
    expect(chunked(`${text.slice(0, -3)}x-latin: \xe9\r\n\r\n`)).toMatchObject({ done: true, trailers: ['X-Sum', '1 2', 'x-sum', '3', 'x-empty', '', 'x-latin', '\xe9'] })
  })

  it('none are null', () => {
    expect(chunked('0\r\n\r\n').trailers).toBeNull()
    expect(chunked('0\r\nHost: x\r\n\r\n').trailers).toBeNull()
  })

  it('have limits', () => {
    expect(chunked(`0\r\n${'x: 1\r\n'.repeat(64)}\r\n`).trailers?.length).toBe(128)
    expect(code(`0\r\n${'x: 1\r\n'.repeat(65)}\r\n`)).toBe('BAD_FRAMING')
    expect(code(`0\r\n${'Host: 1\r\n'.repeat(3000)}\r\n`)).toBe('BAD_FRAMING')
    expect(code(`0\r\nx: ${'v'.repeat(9000)}`)).toBe('BAD_FRAMING')
  })
})
