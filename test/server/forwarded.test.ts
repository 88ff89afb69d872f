/** What weir says of the caller, and what it believes of it. */
import { describe, expect, it } from 'vitest'
import type { ForwardedConfig } from '../../config/config.ts'
import type { Caller } from '../../gateway/exchange.ts'
import { forwarding } from '../../gateway/server/forwarded.ts'
import type { Incoming } from '../../gateway/wire/incoming.ts'
import { codeOf, requestHead } from '../wire/helpers.ts'

interface Said {
  readonly caller: Caller
  readonly headers: Record<string, string[]>
}

function say(config: Partial<ForwardedConfig>, lines: readonly string[], peer: { address?: string; tls?: boolean } = {}): Said {
  const head = requestHead(['GET /x HTTP/1.1', 'Host: a.test', ...lines, '', ''].join('\r\n'))
  const request = { head, address: peer.address ?? '192.0.2.7', port: 4711, tls: peer.tls ?? false, trailers: false, trusted: false, connection: { localPortText: '8080' }, inform: () => {} } as unknown as Incoming
  const caller = forwarding({ trusted: [], write: 'x-forwarded', via: '', ...config }).apply(request)
  const headers: Record<string, string[]> = {}
  for (let i = 0; i < head.headers.length; i += 2) (headers[head.headers[i]!.toLowerCase()] ??= []).push(head.headers[i + 1]!)
  return { caller, headers }
}

const TRUSTED = ['192.0.2.0/24', '2001:db8::/32']

describe('X-Forwarded-*', () => {
  it('says who, how and to whom', () => {
    const { headers, caller } = say({}, [])
    expect(headers).toEqual({ host: ['a.test'], 'x-forwarded-for': ['192.0.2.7'], 'x-forwarded-proto': ['http'], 'x-forwarded-host': ['a.test'], 'x-forwarded-port': ['8080'] })
    expect(caller.address).toBe('192.0.2.7')
    expect(say({}, [], { tls: true }).headers['x-forwarded-proto']).toEqual(['https'])
  })

  it('what strangers say is gone, under every name', () => {
    const { headers, caller } = say({}, ['X-Forwarded-For: 1.1.1.1', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: evil', 'X-Forwarded-Port: 1', 'X-Forwarded-Prefix: /p', 'X-Forwarded-Scheme: https', 'X-Forwarded-Ssl: on', 'X-Real-IP: 1.1.1.1', 'Forwarded: for=1.1.1.1', 'X-Original-URL: /admin', 'X-Rewrite-URL: /admin'])
    expect(headers).toEqual({ host: ['a.test'], 'x-forwarded-for': ['192.0.2.7'], 'x-forwarded-proto': ['http'], 'x-forwarded-host': ['a.test'], 'x-forwarded-port': ['8080'] })
    expect(caller.address).toBe('192.0.2.7')
  })

  it('what a trusted proxy says stands, and is appended to', () => {
    const { headers, caller } = say({ trusted: TRUSTED }, ['X-Forwarded-For: 203.0.113.9', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: outer.test', 'X-Forwarded-Port: 443', 'X-Forwarded-Prefix: /p'])
    expect(headers['x-forwarded-for']).toEqual(['203.0.113.9, 192.0.2.7'])
    expect([headers['x-forwarded-proto'], headers['x-forwarded-host'], headers['x-forwarded-port'], headers['x-forwarded-prefix']]).toEqual([['https'], ['outer.test'], ['443'], ['/p']])
    expect([caller.address, caller.tls]).toEqual(['203.0.113.9', true])
  })

  it.each([
    ['the rightmost that is not trusted', ['X-Forwarded-For: 1.1.1.1, 203.0.113.9, 192.0.2.3'], '203.0.113.9'],
    ['over several fields', ['X-Forwarded-For: 1.1.1.1', 'X-Forwarded-For: 203.0.113.9, 192.0.2.3'], '203.0.113.9'],
    ['all trusted: the first', ['X-Forwarded-For: 192.0.2.1, 192.0.2.2'], '192.0.2.1'],
    ['IPv6', ['X-Forwarded-For: 2001:470::1, 2001:db8::1'], '2001:470::1'],
    ['no address: the peer', ['X-Forwarded-For: unknown'], '192.0.2.7'],
    ['empty: the peer', ['X-Forwarded-For:'], '192.0.2.7'],
    ['no address in the middle ends the chain', ['X-Forwarded-For: 203.0.113.9, _hidden, 192.0.2.2'], '192.0.2.7'],
    ['numbers that are no address', ['X-Forwarded-For: 203.0.113.9, 999.999.999.999'], '192.0.2.7'],
    ['numbers with leading zeros', ['X-Forwarded-For: 203.0.113.9, 192.0.02.01'], '192.0.2.7'],
    ['a zone', ['X-Forwarded-For: 203.0.113.9, fe80::1%eth0'], '192.0.2.7'],
    ['with a port', ['X-Forwarded-For: 203.0.113.9:4711'], '192.0.2.7'],
  ])('the caller is %s', (_, lines, address) => {
    expect(say({ trusted: TRUSTED }, lines).caller.address).toBe(address)
  })

  it('whoever speaks through a trusted proxy is trusted, whatever it says', () => {
    for (const lines of [[], ['X-Forwarded-For: 203.0.113.9'], ['X-Forwarded-For: unknown']]) {
      expect(say({ trusted: TRUSTED }, lines).caller.trusted).toBe(true)
      expect(say({ trusted: TRUSTED }, lines, { address: '198.51.100.1' }).caller.trusted).toBe(false)
      expect(say({}, lines).caller.trusted).toBe(false)
    }
  })

  it('a peer on a unix socket is trusted as soon as anybody is', () => {
    expect(say({ trusted: TRUSTED }, ['X-Forwarded-For: 203.0.113.9'], { address: '' }).caller.address).toBe('203.0.113.9')
    expect(say({}, ['X-Forwarded-For: 203.0.113.9'], { address: '' }).headers['x-forwarded-for']).toEqual(['unknown'])
  })
})

describe('Forwarded (RFC 7239)', () => {
  it.each([
    [{ address: '192.0.2.7' }, 'for="192.0.2.7:4711";proto=http;host="a.test"'],
    [{ address: '2001:db8::1' }, 'for="[2001:db8::1]:4711";proto=http;host="a.test"'],
    [{ address: '' }, 'for=unknown;proto=http;host="a.test"'],
    [{ address: '192.0.2.7', tls: true }, 'for="192.0.2.7:4711";proto=https;host="a.test"'],
  ])('%j → %s', (peer, value) => {
    expect(say({ write: 'forwarded' }, [], peer).headers).toEqual({ host: ['a.test'], forwarded: [value] })
  })

  it('is appended to what a trusted proxy said', () => {
    expect(say({ write: 'both', trusted: TRUSTED }, ['Forwarded: for=203.0.113.9']).headers['forwarded']).toEqual(['for=203.0.113.9, for="192.0.2.7:4711";proto=http;host="a.test"'])
  })

  it('none writes nothing', () => {
    expect(say({ write: 'none' }, ['X-Forwarded-For: 1.1.1.1']).headers).toEqual({ host: ['a.test'] })
  })
})

describe('Via', () => {
  it('is added behind what is there', () => {
    expect(say({ write: 'none', via: 'weir' }, ['Via: 1.0 fred, 1.1 p']).headers['via']).toEqual(['1.0 fred, 1.1 p', '1.1 weir'])
  })

  it('a request that came by three times goes in a circle; one that only looks so does not', () => {
    const by = (name: string, times: number): string => `Via: ${Array.from({ length: times }, () => `1.1 ${name}`).join(', ')}`
    expect(codeOf(() => say({ via: 'weir' }, [by('weir', 3)]))).toBe('LOOP')
    expect(codeOf(() => say({ via: 'weir' }, [by('weir', 2), 'Via: 1.1 weir (comment)']))).toBe('LOOP')
    expect(codeOf(() => say({ via: 'weir' }, [by('weir', 2)]))).toBeNull()
    expect(codeOf(() => say({ via: 'weir' }, [by('weirdo', 9)]))).toBeNull()
    expect(codeOf(() => say({ via: '' }, [by('weir', 9)]))).toBeNull()
  })
})
