/**
 * Which route an exchange takes: the first in the order of the file whose host, path, method and headers fit.
 *
 * Paths match byte for byte: nothing is decoded, merged or folded, so what matched is what is forwarded. `*` and
 * `{name}` stand for one segment that is not empty; `**` (only at the end) for the rest, so `/a/**` matches `/a`, `/a/`
 * and `/a/b/c`, and `/**` everything. A method matches exactly, HEAD too: list it beside GET when a route takes both.
 * A header matches when one of its field lines has exactly the value.
 *
 * Every literal path of the config has its candidates worked out at load; other paths look at the patterns that share
 * their first segment. Matching is one scan of the path per pattern, without regular expressions.
 */
import type { MatchConfig } from '../../config/config.ts'
import type { Candidate, Missing, Router } from '../generation.ts'
import { all, get } from '../headers.ts'
import type { Condition } from '../plugin.ts'

export interface RouteEntry<R> {
  readonly match: MatchConfig
  /** `match.when`, compiled; null when there is none. */
  readonly when: Condition | null
  readonly route: R
}

// ---------------------------------------------------------------- patterns

/** A literal segment, or `{name}`, or `*` (name ''). */
type Segment = { readonly literal: string } | { readonly name: string }

interface Pattern {
  readonly segments: readonly Segment[]
  /** Ends in `**`. */
  readonly rest: boolean
  /** Has `{name}` segments. */
  readonly named: boolean
  /** No wildcard at all. */
  readonly exact: boolean
}

/** @returns a complaint about a path pattern, or null; for the config loader */
export function patternProblem(path: string): string | null {
  if (!path.startsWith('/')) return 'a path begins with "/"'
  if (/[?#]/.test(path)) return 'a path has no "?" and no "#"; match on the query with `when`'
  const texts = path.slice(1).split('/')
  const names = new Set<string>()
  for (const [i, text] of texts.entries()) {
    if (text === '**' && i < texts.length - 1) return '"**" stands only at the end'
    if (text === '*' || text === '**') continue
    const name = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(text)?.[1]
    if (name === undefined && /[*{}]/.test(text)) return `"${text}": a wildcard is a whole segment: "{name}", "*" or "**"`
    if (name === undefined) continue
    if (names.has(name)) return `"{${name}}" stands twice`
    names.add(name)
  }
  return null
}

function parsePattern(path: string): Pattern {
  const complaint = patternProblem(path)
  if (complaint !== null) throw new Error(`path "${path}": ${complaint}`)
  const texts = path.slice(1).split('/')
  const rest = texts.at(-1) === '**'
  if (rest) texts.pop()
  const segments = texts.map((text): Segment => (text === '*' ? { name: '' } : text.startsWith('{') ? { name: text.slice(1, -1) } : { literal: text }))
  const wild = segments.filter((segment) => 'name' in segment)
  return { segments, rest, named: wild.some((segment) => segment.name !== ''), exact: !rest && wild.length === 0 }
}

/** @returns the params, `NO_PARAMS` when it fits without any, or undefined when it does not fit */
function fitPath(pattern: Pattern, path: string): Readonly<Record<string, string>> | null | undefined {
  if (pattern.rest && pattern.segments.length === 0) return NO_PARAMS
  if (path.charCodeAt(0) !== SLASH) return undefined
  const params: Record<string, string> | null = pattern.named ? Object.create(null) : NO_PARAMS
  let at = 1
  for (const segment of pattern.segments) {
    if (at > path.length) return undefined
    const slash = path.indexOf('/', at)
    const end = slash < 0 ? path.length : slash
    if ('literal' in segment) {
      if (end - at !== segment.literal.length || !path.startsWith(segment.literal, at)) return undefined
    } else {
      if (end === at) return undefined
      if (segment.name !== '') params![segment.name] = path.slice(at, end)
    }
    at = end + 1
  }
  return pattern.rest || at > path.length ? params : undefined
}

const NO_PARAMS = null
const SLASH = 47

// ---------------------------------------------------------------- one route's rule

interface Rule<R> {
  readonly entry: RouteEntry<R>
  readonly pattern: Pattern
  readonly index: number
  /** Empty = any. */
  readonly methods: readonly string[]
  /** Flat pairs; empty = any. */
  readonly headers: readonly (readonly [string, string])[]
  /** The answer, when the pattern has no names. */
  readonly fixed: Candidate<R>
}

function compileRule<R>(entry: RouteEntry<R>, index: number): Rule<R> {
  const { match, when, route } = entry
  const fixed = { route, params: null, when, next: index + 1 }
  return { entry, pattern: parsePattern(match.path), index, methods: match.methods, headers: Object.entries(match.headers), fixed }
}

/** Name of the host in an authority: lower case, without port; an IPv6 literal keeps its brackets. */
export function hostName(authority: string): string {
  const from = authority.startsWith('[') ? authority.indexOf(']') + 1 : 0
  const colon = authority.indexOf(':', from)
  return (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase()
}

function fitsHost(wanted: string, host: string): boolean {
  return wanted.startsWith('*.') ? host.length > wanted.length - 1 && host.endsWith(wanted.slice(1)) : host === wanted
}

function wrongHeader(wanted: readonly (readonly [string, string])[], headers: readonly string[]): string | null {
  for (const [name, value] of wanted) if (!all(headers, name).includes(value)) return name
  return null
}

// ---------------------------------------------------------------- the router

const NOT_FOUND: Missing = { route: null, allow: null }

/** @param entries in the order they are tried; the built-in endpoints come after the routes of the file */
export function compileRouter<R>(entries: readonly RouteEntry<R>[]): Router<R> {
  const rules = entries.map(compileRule)
  const patterns = rules.filter((rule) => !rule.pattern.exact)
  const exact = new Map<string, readonly Option<R>[]>()
  for (const { entry } of rules.filter((rule) => rule.pattern.exact)) exact.set(entry.match.path, optionsFor(rules, entry.match.path))
  const byFirst = new Map<string, readonly Option<R>[]>()
  for (const first of patterns.map(firstLiteral)) if (first !== null) byFirst.set(first, patterns.filter((rule) => isAny(firstLiteral(rule), first)).map(asOption))
  const others = patterns.filter((rule) => firstLiteral(rule) === null).map(asOption)

  return {
    looksAtHeaders: entries.some(({ match }) => match.host !== null || Object.keys(match.headers).length > 0),
    find(method, target, headers, from = 0) {
      const mark = target.indexOf('?')
      const path = mark < 0 ? target : target.slice(0, mark)
      const options = exact.get(path) ?? (byFirst.size === 0 ? others : (byFirst.get(firstSegment(path)) ?? others))
      return pick(options, method, path, headers, from)
    },
  }
}

/** A rule that may fit; `candidate` is set when the path is known to fit. */
interface Option<R> {
  readonly rule: Rule<R>
  readonly candidate: Candidate<R> | null
}

function asOption<R>(rule: Rule<R>): Option<R> {
  return { rule, candidate: null }
}

function optionsFor<R>(rules: readonly Rule<R>[], path: string): Option<R>[] {
  return rules.flatMap((rule) => {
    const candidate = rule.pattern.exact ? (rule.entry.match.path === path ? rule.fixed : null) : fitRule(rule, path)
    return candidate === null ? [] : [{ rule, candidate }]
  })
}

function fitRule<R>(rule: Rule<R>, path: string): Candidate<R> | null {
  const params = fitPath(rule.pattern, path)
  if (params === undefined) return null
  return params === null ? rule.fixed : { ...rule.fixed, params }
}

function firstLiteral(rule: Rule<unknown>): string | null {
  const first = rule.pattern.segments[0]
  return first !== undefined && 'literal' in first ? first.literal : null
}

function isAny(literal: string | null, first: string): boolean {
  return literal === null || literal === first
}

function firstSegment(path: string): string {
  const slash = path.indexOf('/', 1)
  return slash < 0 ? path.slice(1) : path.slice(1, slash)
}

function pick<R>(options: readonly Option<R>[], method: string, path: string, headers: readonly string[], from: number): Candidate<R> | Missing {
  let host: string | null = null
  let allow: string[] | null = null
  let methodKnown = from > 0
  for (const { rule, candidate } of options) {
    if (rule.index < from) continue
    const wanted = rule.entry.match.host
    if (wanted !== null && !fitsHost(wanted, (host ??= hostName(get(headers, 'host') ?? '')))) continue
    const found = candidate ?? fitRule(rule, path)
    if (found === null) continue
    if (rule.methods.length > 0 && !rule.methods.includes(method)) {
      allow = [...(allow ?? []), ...rule.methods]
      continue
    }
    methodKnown = true
    if (rule.headers.length === 0 || wrongHeader(rule.headers, headers) === null) return found
  }
  if (methodKnown || allow === null) return NOT_FOUND
  return { route: null, allow: [...new Set(allow)].join(', ') }
}

// ---------------------------------------------------------------- why

/** Why a route fits (null) or does not, in words; for `weir explain`. */
export function explainMatch(match: MatchConfig, method: string, target: string, headers: readonly string[]): string | null {
  const path = target.split('?', 1)[0]!
  const host = hostName(get(headers, 'host') ?? '')
  const pattern = parsePattern(match.path)
  const fits = pattern.exact ? match.path === path : fitPath(pattern, path) !== undefined
  if (match.host !== null && !fitsHost(match.host, host)) return `host is ${match.host}, asked ${host === '' ? 'without one' : host}`
  if (!fits) return `path is ${match.path}`
  if (match.methods.length > 0 && !match.methods.includes(method)) return `method is ${match.methods.join(', ')}`
  const wrong = wrongHeader(Object.entries(match.headers), headers)
  return wrong === null ? null : `header ${wrong} is "${match.headers[wrong]}", asked ${get(headers, wrong) === undefined ? 'without it' : `with "${get(headers, wrong)}"`}`
}
