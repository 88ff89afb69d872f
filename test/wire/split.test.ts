/** Any cut of a stream gives the same messages and the same end; what a grammar makes is read as what it made. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Fields, headerLines } from '../../gateway/headers.ts'
import { everyCut, latin1, LIMITS, read } from './helpers.ts'

const SMALL = { head_bytes: 120, fields: 5, target_bytes: 30 }

const requests: readonly string[] = [
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n',
  '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  '\r',
  '\rG',
  'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n1\r\n\r\r\n0\r\nx-t: 1 \r\nHost: no\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX',
  'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello',
  'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n z\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
  'GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\nx: a\x00b\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
  'GET / HTTP/1.1\r\nHost: a\n\r\n',
  'GET / HTTP/1.1\r\n x: 1\r\n\r\n',
  'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
  'GET / HTTP/3.0\r\nHost: a\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'GET http://a/b HTTP/1.1\r\nHost: b\r\n\r\n',
  `GET /${'a'.repeat(40)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  `GET / HTTP/1.1\r\nHost: a\r\nx: ${'b'.repeat(120)}\r\n\r\n`,
  `GET / HTTP/1.1\r\nHost: a\r\nx: ${'b'.repeat(85)}\x00\r\n\r\n`,
  'GET / HTTP/1.1\r\nHost: a\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\n\r\n',
  `${'M'.repeat(70)} / HTTP/1.1\r\n\r\n`,
]

const answers: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200\r\n\r\nuntil the end',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: 1\r\n\r\nHTTP/1.0 304 \r\nContent-Length: 7\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 200 O\x00K\r\n\r\n',
  'HTTP/1.1 200 OK\r\nx: 1\r\n y\r\n\r\n',
  'HTTP/1.1 200 OK\n\n',
  'garbage',
  `HTTP/1.1 200 ${'p'.repeat(200)}\r\n\r\n`,
]

describe('every cut gives the same result', () => {
  it.each([...requests.keys()])('request %i', (i) => {
    const data = latin1(requests[i]!)
    for (const limits of [LIMITS, SMALL]) {
      const whole = read('request', data, [], limits)
      for (const cuts of everyCut(data)) expect(read('request', data, cuts, limits), String(cuts)).toEqual(whole)
    }
  })

  it.each([...answers.keys()])('answer %i', (i) => {
    const data = latin1(answers[i]!)
    for (const limits of [LIMITS, SMALL]) {
      for (const bodyless of [false, true]) {
        const whole = read('answer', data, [], limits, bodyless)
        for (const cuts of everyCut(data)) expect(read('answer', data, cuts, limits, bodyless), String(cuts)).toEqual(whole)
      }
    }
  })

  it('a large head and a large body, cut at random', () => {
    const fields = Array.from({ length: 90 }, (_, i) => `x-${i}: ${'v'.repeat(i)}\r\n`).join('')
    const body = Array.from({ length: 60 }, (_, i) => `${(i * 7 + 1).toString(16)};e=${i}\r\n${String.fromCharCode(i + 32).repeat(i * 7 + 1)}\r\n`).join('')
    const data = latin1(`POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${fields}\r\n${body}0\r\n${'t: 1\r\n'.repeat(20)}\r\n`)
    const whole = read('request', data)
    expect(whole.messages.length).toBe(1)
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: data.length - 1 }), { maxLength: 40 }), (cuts) => void expect(read('request', data, cuts)).toEqual(whole)), { numRuns: 150 })
  })
})

// ---------------------------------------------------------------- a grammar

const from = (chars: string, size: { minLength?: number; maxLength: number }): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...chars), ...size })
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const tchars = `${LETTERS}0123456789!#$%&'*+-.^|~\``
const token = from(tchars, { minLength: 1, maxLength: 12 })
/** No wire name is this long, so the fields it makes go through. */
const fieldName = from(tchars, { maxLength: 8 }).map((rest) => `Generated-Field-Name-${rest}`)
const vchars = Array.from({ length: 256 }, (_, code) => code).filter((code) => code > 0x20 && code !== 0x7f).map((code) => String.fromCharCode(code)).join('')
const value = fc.oneof(fc.constant(''), fc.tuple(from(vchars, { minLength: 1, maxLength: 5 }), from(`${vchars} \t`, { maxLength: 20 }), from(vchars, { minLength: 1, maxLength: 5 })).map((parts) => parts.join('')))
const space = from(' \t', { maxLength: 3 })
const fields = fc.array(fc.record({ name: fieldName, value, before: space, after: space }), { maxLength: 10 })
/** Without dots: dot segments are refused. */
const target = from(`${LETTERS}0123456789-_~!$&'()*+,;=:@%/`, { maxLength: 30 }).map((text) => `/${text}`)
const method = token.filter((text) => text !== 'CONNECT' && text !== 'TRACE')
const bytes = fc.uint8Array({ maxLength: 60 }).map((data) => Buffer.from(data))
const body = fc.oneof(
  fc.record({ kind: fc.constant('none' as const) }),
  fc.record({ kind: fc.constant('length' as const), data: bytes, zeros: from('0', { maxLength: 4 }) }),
  fc.record({
    kind: fc.constant('chunked' as const),
    chunks: fc.array(fc.record({ data: bytes.filter((data) => data.length > 0), zeros: from('0', { maxLength: 3 }), upper: fc.boolean(), extension: fc.oneof(fc.constant(''), token.map((name) => `;${name}`), fc.tuple(token, token).map(([name, value]) => `;${name}=${value}`), token.map((text) => `;q="${text} \\""`)) }), { maxLength: 6 }),
    trailers: fc.array(fc.record({ name: fieldName, value }), { maxLength: 4 }),
  }),
)
type Body = typeof body extends fc.Arbitrary<infer B> ? B : never

function bodyText(made: Body): { field: string; text: string; data: string; trailers: string[] | null } {
  if (made.kind === 'none') return { field: '', text: '', data: '', trailers: null }
  if (made.kind === 'length') {
    const text = made.data.toString('latin1')
    return { field: `Content-Length: ${made.zeros}${made.data.length}\r\n`, text, data: text, trailers: null }
  }
  const size = (length: number, upper: boolean): string => (upper ? length.toString(16).toUpperCase() : length.toString(16))
  const chunks = made.chunks.map(({ data, zeros, upper, extension }) => `${zeros}${size(data.length, upper)}${extension}\r\n${data.toString('latin1')}\r\n`).join('')
  const trailers = made.trailers.flatMap(({ name, value }) => [name, value])
  return {
    field: 'Transfer-Encoding: chunked\r\n',
    text: `${chunks}0\r\n${headerLines(trailers)}\r\n`,
    data: made.chunks.map(({ data }) => data.toString('latin1')).join(''),
    trailers: trailers.length === 0 ? null : trailers,
  }
}

const cutsOf = (length: number, parts: readonly number[]): number[] => parts.map((part) => Math.floor(part * length))
const parts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 })

describe('a grammar', () => {
  it('requests are read as they were made', () => {
    fc.assert(
      fc.property(method, target, fields, body, parts, (method, target, fields, made, parts) => {
        const { field, text, data, trailers } = bodyText(made)
        const lines = fields.map(({ name, value, before, after }) => `${name}:${before}${value}${after}\r\n`)
        lines.splice(fields.length >> 1, 0, field)
        const stream = latin1(`${method} ${target} HTTP/1.1\r\nHost: a.test\r\n${lines.join('')}\r\n${text}`)
        const reading = read('request', Buffer.concat([stream, stream]), cutsOf(stream.length * 2, parts))
        expect(reading).toMatchObject({ code: null, waiting: false, consumed: stream.length * 2 })
        expect(reading.messages.length).toBe(2)
        for (const message of reading.messages) {
          expect(message.head).toMatchObject({ method, target, host: 'a.test' })
          expect((message.head['fields'] as Fields).list).toEqual(['Host', 'a.test', ...fields.flatMap(({ name, value }) => [name, value])])
          expect([message.body, message.trailers]).toEqual([data, trailers])
        }
      }),
      { numRuns: 300 },
    )
  })

  it('answers are read as they were made', () => {
    const status = fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304)
    fc.assert(
      fc.property(status, value, fields, body, parts, (status, phrase, fields, made, parts) => {
        const { field, text, data, trailers } = bodyText(made)
        const lines = fields.map(({ name, value, before, after }) => `${name}:${before}${value}${after}\r\n`).join('')
        const framing = made.kind === 'none' ? 'Content-Length: 0\r\n' : field
        const stream = latin1(`HTTP/1.1 ${status} ${phrase}\r\n${framing}${lines}\r\n${text}`)
        const reading = read('answer', stream, cutsOf(stream.length, parts))
        expect(reading).toMatchObject({ code: null, waiting: false, consumed: stream.length })
        expect(reading.messages[0]!.head).toMatchObject({ status, phrase })
        expect((reading.messages[0]!.head['fields'] as Fields).list).toEqual(fields.flatMap(({ name, value }) => [name, value]))
        expect([reading.messages[0]!.body, reading.messages[0]!.trailers]).toEqual([data, trailers])
      }),
      { numRuns: 300 },
    )
  })

  it('any bytes at all: the same end however they are cut, and never another error', () => {
    const pieces = fc.constantFrom('GET ', '/', ' HTTP/1.1', '\r\n', '\r', '\n', 'Host: a', 'Content-Length: 3', 'Transfer-Encoding: chunked', ': ', ' ', '\t', '\0', '5', 'abc', '0\r\n\r\n', 'HTTP/1.1 200 OK', ';', '\xff', 'Connection: close', 'x')
    const stream = fc.array(fc.oneof({ weight: 5, arbitrary: pieces }, { weight: 1, arbitrary: bytes.map((data) => data.toString('latin1')) }), { maxLength: 25 }).map((all) => latin1(all.join('')))
    fc.assert(
      fc.property(stream, parts, fc.constantFrom('request' as const, 'answer' as const), (stream, parts, kind) => {
        expect(read(kind, stream, cutsOf(stream.length, parts), SMALL)).toEqual(read(kind, stream, [], SMALL))
      }),
      { numRuns: 1500 },
    )
  })
})
