/** Character classes and the names the wire knows. */
import { describe, expect, it } from 'vitest'
import { dropNamed, HOST, Kind, kindOf, listHas, mayTrail, TARGET, TOKEN, VALUE } from '../../gateway/wire/fields.ts'

const members = (table: Uint8Array): string => [...table.keys()].filter((code) => table[code] === 1).map((code) => String.fromCharCode(code)).join('')

describe('classes', () => {
  it('tchar is RFC 9110 5.6.2', () => {
    const tchar = [..."!#$%&'*+-.^_`|~", ...'0123456789', ...'ABCDEFGHIJKLMNOPQRSTUVWXYZ', ...'abcdefghijklmnopqrstuvwxyz']
    expect([...members(TOKEN)].sort()).toEqual(tchar.sort())
  })

  it('a value holds HTAB, SP, VCHAR and obs-text', () => {
    for (let code = 0; code < 256; code++) expect(VALUE[code] === 1, String(code)).toBe(code === 9 || (code >= 0x20 && code !== 0x7f))
  })

  it('a target holds what is visible but # and \\', () => {
    for (let code = 0; code < 256; code++) expect(TARGET[code] === 1, String(code)).toBe(code > 0x20 && code < 0x7f && code !== 0x23 && code !== 0x5c)
  })

  it('a host holds nothing that ends or hides one', () => {
    for (const char of '@/?#\\ ,"<>^`{|}') expect(HOST[char.charCodeAt(0)], char).toBe(0)
  })
})

describe('kinds', () => {
  it('compare without case', () => {
    expect([kindOf('Content-Length'), kindOf('CONTENT-LENGTH'), kindOf('content-length')]).toEqual([Kind.content_length, Kind.content_length, Kind.content_length])
    expect(kindOf('hOsT')).toBe(Kind.host)
  })

  it('other names are plain, whatever their length or first byte', () => {
    for (const name of ['x', 'hosts', 'hos', 'content-lengt', 'content-length2', '_', '~', '9', '__proto__', 'constructor', 'x'.repeat(63), 'x'.repeat(64), 'x'.repeat(500), '']) expect(kindOf(name), name).toBe(Kind.plain)
  })

  it('deadlines are noticed', () => {
    for (const name of ['X-Request-Timeout-Ms', 'grpc-timeout', 'x-envoy-upstream-rq-timeout-ms', 'x-envoy-expected-rq-timeout-ms']) expect(kindOf(name), name).toBe(Kind.deadline)
  })

  it('a name that some servers read as one of them is a twin', () => {
    for (const name of ['content_length', 'Transfer_Encoding', 'x-forwarded_for', 'X_FORWARDED-FOR', 'x_request_id']) expect(kindOf(name), name).toBe(Kind.twin)
    expect(kindOf('x_other')).toBe(Kind.plain)
  })
})

describe('lists', () => {
  it('listHas finds a member without case', () => {
    expect(listHas('close', 'close')).toBe(true)
    expect(listHas(' a ,\tCLOSE', 'close')).toBe(true)
    expect(listHas('closed, clos', 'close')).toBe(false)
    expect(listHas('', 'close')).toBe(false)
  })

  it('dropNamed removes what is named and not protected', () => {
    const headers = ['A', '1', 'b', '2', 'a', '3', 'Host', 'h', 'c', '4']
    dropNamed(headers, ' a , ,B,HOST')
    expect(headers).toEqual(['Host', 'h', 'c', '4'])
  })

  it('trailers: framing, routing and secrets stay out', () => {
    for (const name of ['Host', 'content-length', 'Transfer-Encoding', 'AUTHORIZATION', 'set-cookie', 'Connection', 'Trailer']) expect(mayTrail(name), name).toBe(false)
    for (const name of ['x-sum', 'grpc-status', 'Server-Timing', 'etag']) expect(mayTrail(name), name).toBe(true)
  })
})
