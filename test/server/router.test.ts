import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { MatchConfig } from '../../config/config.ts'
import type { Condition } from '../../gateway/plugin.ts'
import { compileRouter, explainMatch, hostName, patternProblem, type RouteEntry } from '../../gateway/server/router.ts'

function entry(path: string, more: Partial<MatchConfig> = {}, when: Condition | null = null): RouteEntry<string> {
  return { match: { host: null, methods: [], path, headers: {}, when: null, ...more }, when, route: path }
}

function routed(entries: RouteEntry<string>[], method: string, target: string, headers: string[] = []): string | null {
  return compileRouter(entries).find(method, target, headers).route
}

describe('paths', () => {
  it.each([
    ['/a', '/a', true],
    ['/a', '/a?q=/b', true],
    ['/a', '/a/', false],
    ['/a', '/A', false],
    ['/a', '/%61', false],
    ['/a//b', '/a//b', true],
    ['/a//b', '/a/b', false],
    ['/', '/', true],
    ['/', '/x', false],
    ['/a/*', '/a/x', true],
    ['/a/*', '/a/', false],
    ['/a/*', '/a', false],
    ['/a/*', '/a/x/y', false],
    ['/a/*/c', '/a/x%2Fy/c', true],
    ['/*', '/', false],
    ['/**', '/', true],
    ['/**', '/any/thing//at/all', true],
    ['/**', '*', true],
    ['/a/**', '/a', true],
    ['/a/**', '/a/', true],
    ['/a/**', '/a/b/c', true],
    ['/a/**', '/ab', false],
    ['/a/**', '/b/a', false],
    ['/{x}/**', '/a', true],
    ['/{x}/**', '/', false],
    ['/a', '*', false],
    ['/{x}', '*', false],
    ['/a', '', false],
  ])('%s and %s: %s', (pattern, target, expected) => {
    expect(routed([entry(pattern)], 'GET', target)).toBe(expected ? pattern : null)
  })

  it('gives named segments byte for byte', () => {
    const router = compileRouter([entry('/v2/models/{model}/versions/{version}/infer')])
    expect(router.find('POST', '/v2/models/a%20b/versions/3/infer?x=1', [])).toMatchObject({ params: { model: 'a%20b', version: '3' } })
  })

  it('keeps a segment called __proto__ a plain value', () => {
    const found = compileRouter([entry('/{__proto__}/{b}')]).find('GET', '/x/y', [])
    expect(found.route !== null && Object.keys(found.params!)).toEqual(['__proto__', 'b'])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  it('works out the params of a literal path that a pattern before it also fits', () => {
    const router = compileRouter([entry('/m/{name}'), entry('/m/fraud')])
    expect(router.find('GET', '/m/fraud', [])).toMatchObject({ route: '/m/{name}', params: { name: 'fraud' } })
  })

  it('allocates nothing for a literal path', () => {
    const router = compileRouter([entry('/a'), entry('/b/**')])
    expect(router.find('GET', '/a', [])).toBe(router.find('POST', '/a?x', []))
    expect(router.find('GET', '/b/c', [])).toBe(router.find('GET', '/b/d', []))
  })
})

describe('order', () => {
  it('takes the first in the file, literal or not', () => {
    expect(routed([entry('/**'), entry('/a')], 'GET', '/a')).toBe('/**')
    expect(routed([entry('/a'), entry('/**')], 'GET', '/a')).toBe('/a')
    expect(routed([entry('/{x}/b'), entry('/a/**')], 'GET', '/a/b')).toBe('/{x}/b')
    expect(routed([entry('/a/**'), entry('/{x}/b')], 'GET', '/a/b')).toBe('/a/**')
  })
})

describe('host', () => {
  it.each([
    ['api.example', 'api.example', true],
    ['api.example', 'API.Example:8080', true],
    ['api.example', 'api.example.', false],
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'a.b.example.com:80', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', '.example.com', false],
    ['*.example.com', 'badexample.com', false],
    ['[::1]', '[::1]:8080', true],
  ])('%s and %s: %s', (host, sent, expected) => {
    expect(routed([entry('/a', { host })], 'GET', '/a', ['Host', sent]) !== null).toBe(expected)
  })

  it('does not fit without a Host', () => {
    expect(routed([entry('/a', { host: 'x' })], 'GET', '/a')).toBeNull()
  })

  it.each([['a.b:80', 'a.b'], ['A', 'a'], ['[2001:DB8::1]:8080', '[2001:db8::1]'], ['[::1]', '[::1]'], ['', '']])('name of %s is %s', (authority, name) => {
    expect(hostName(authority)).toBe(name)
  })
})

describe('methods', () => {
  const entries = [entry('/a', { methods: ['GET'] }), entry('/a', { methods: ['POST', 'PUT'] }), entry('/h', { methods: ['GET'], host: 'x' })]

  it('answers a known path with the methods it has', () => {
    expect(compileRouter(entries).find('DELETE', '/a', [])).toEqual({ route: null, allow: 'GET, POST, PUT' })
  })

  it('matches HEAD exactly, as the Gateway API does', () => {
    expect(compileRouter(entries).find('HEAD', '/a', [])).toEqual({ route: null, allow: 'GET, POST, PUT' })
    expect(routed([entry('/a', { methods: ['GET', 'HEAD'] })], 'HEAD', '/a')).toBe('/a')
  })

  it('is case-sensitive', () => {
    expect(routed(entries, 'get', '/a')).toBeNull()
  })

  it('says 404 for a path of another host', () => {
    expect(compileRouter(entries).find('POST', '/h', ['host', 'y'])).toEqual({ route: null, allow: null })
  })

  it('says 404 when the method was right and a header was not', () => {
    expect(compileRouter([entry('/a', { methods: ['GET'], headers: { 'x-tier': 'gold' } }), entry('/a', { methods: ['POST'] })]).find('GET', '/a', [])).toEqual({ route: null, allow: null })
  })
})

describe('headers', () => {
  const entries = [entry('/a', { headers: { 'x-tier': 'gold' } })]
  it.each([
    [['X-Tier', 'gold'], true],
    [['x-tier', 'silver', 'X-TIER', 'gold'], true],
    [['x-tier', 'Gold'], false],
    [['x-tier', 'gold, silver'], false],
    [[], false],
  ])('%j: %s', (headers, expected) => {
    expect(routed(entries, 'GET', '/a', headers) !== null).toBe(expected)
  })
})

describe('conditions', () => {
  const when: Condition = { text: 'input.amount > 100.0', body: true, answer: 'none', test: () => false }

  it('hands the condition out and goes on behind it', () => {
    const router = compileRouter([entry('/a', { methods: ['POST'] }, when), entry('/**'), entry('/a')])
    const first = router.find('POST', '/a', [])
    expect(first).toMatchObject({ route: '/a', when, next: 1 })
    expect(router.find('POST', '/a', [], 1)).toMatchObject({ route: '/**', when: null, next: 2 })
    expect(router.find('POST', '/a', [], 2)).toMatchObject({ route: '/a', next: 3 })
    expect(router.find('POST', '/a', [], 3)).toEqual({ route: null, allow: null })
  })

  it('says 404, not 405, when the condition of the right method failed', () => {
    const router = compileRouter([entry('/a', { methods: ['POST'] }, when), entry('/a', { methods: ['GET'] })])
    expect(router.find('POST', '/a', [], 1)).toEqual({ route: null, allow: null })
  })
})

describe('patterns', () => {
  it.each([
    ['a', 'begins with "/"'],
    ['/a?b', 'no "?"'],
    ['/a/**/b', 'only at the end'],
    ['/a/b*', 'whole segment'],
    ['/a/{b', 'whole segment'],
    ['/a/{b}c', 'whole segment'],
    ['/a/{1b}', 'whole segment'],
    ['/{a}/{a}', 'stands twice'],
  ])('refuses %s', (path, complaint) => {
    expect(patternProblem(path)).toContain(complaint)
    expect(() => compileRouter([entry(path)])).toThrow(path)
  })

  it('accepts what the docs list', () => {
    for (const path of ['/', '/a', '/a/', '/{x}', '/*', '/**', '/a/{x}/*/**', '/v1/models/x:predict']) expect(patternProblem(path)).toBeNull()
  })
})

describe('why', () => {
  const match: MatchConfig = { host: 'api.example', methods: ['POST'], path: '/score/{id}', headers: { 'x-tier': 'gold' }, when: null }
  it.each([
    ['POST', '/score/1', ['host', 'other'], 'host is api.example, asked other'],
    ['POST', '/score', ['host', 'api.example'], 'path is /score/{id}'],
    ['GET', '/score/1', ['host', 'api.example'], 'method is POST'],
    ['POST', '/score/1', ['host', 'api.example'], 'header x-tier is "gold", asked without it'],
    ['POST', '/score/1', ['host', 'api.example', 'x-tier', 'tin'], 'header x-tier is "gold", asked with "tin"'],
    ['POST', '/score/1?x', ['host', 'api.example', 'x-tier', 'gold'], null],
  ])('%s %s %j: %s', (method, target, headers, reason) => {
    expect(explainMatch(match, method, target, headers)).toBe(reason)
  })
})

describe('against a naive router', () => {
  const segment = fc.constantFrom('a', 'b', 'c', '')
  const wild = fc.oneof(segment, fc.constant('*'), fc.nat(5).map((n) => `{n${n}}`))
  const pattern = fc.tuple(fc.array(wild, { minLength: 1, maxLength: 3 }), fc.boolean()).map(([parts, rest]) => `/${[...parts, ...(rest ? ['**'] : [])].join('/')}`).filter((path) => patternProblem(path) === null)
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`)
  const methods = fc.subarray(['GET', 'POST'])

  /** The definition, by regular expression: one a pattern, first wins. */
  function naive(rules: { path: string; methods: string[] }[], method: string, target: string): number {
    const source = (text: string) => text.replace(/\/\*\*$/, '(?:/.*)?').replace(/\/(?:\*(?!\))|\{[^}]*\})(?=\/|$|\()/g, '/[^/]+')
    return rules.findIndex((rule) => new RegExp(`^${source(rule.path)}$`).test(target) && (rule.methods.length === 0 || rule.methods.includes(method)))
  }

  it('chooses the same route', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ path: pattern, methods }), { maxLength: 8 }), fc.constantFrom('GET', 'POST'), path, (rules, method, target) => {
        const router = compileRouter(rules.map((rule, i) => ({ ...entry(rule.path, { methods: rule.methods }), route: i })))
        expect(router.find(method, target, []).route ?? -1).toBe(naive(rules, method, target))
      }),
      { numRuns: 2000 },
    )
  })
})
