/**
 * From YAML 1.2 text to plain values, with the position of every key and value, environment expanded.
 *
 * Limits are counted while reading, so that no input costs more than its size allows: tokens, depth, values (aliases
 * included: a "bomb" runs into the limit), expanded characters.
 */
import { Composer, type CST, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, type Node, type Pair, Parser, type Scalar, type YAMLError } from 'yaml'
import { expand } from './environment.ts'
import { Issues, join, NOWHERE, parent, type Position } from './issues.ts'

const MAX_TOKENS = 200_000
const MAX_DEPTH = 64
const MAX_VALUES = 50_000
const MAX_EXPANDED_CHARACTERS = 4 << 20
const MAX_SYNTAX_ISSUES = 20

export interface Tree {
  /** Plain data; objects have no prototype surprises (`__proto__` is a key like any other). */
  value: unknown
  readonly places: Places
  /** Path → text before expansion, for every value that the environment had a part in. */
  readonly written: ReadonlyMap<string, string>
}

/** Where things stand, by path. */
export class Places {
  readonly #values = new Map<string, Position>()
  readonly #keys = new Map<string, Position>()

  add(path: string, value: Position, key: Position | null): void {
    this.#values.set(path, value)
    if (key !== null) this.#keys.set(path, key)
  }

  /** Of the value at `path`, or of what is nearest above it. */
  value(path: string): Position {
    for (let at = path; ; at = parent(at)) {
      const found = this.#values.get(at)
      if (found !== undefined) return found
      if (at === '') return NOWHERE
    }
  }

  /** Of the key that names `path`; list items and the root have none, then of the value. */
  key(path: string): Position {
    for (let at = path; ; at = parent(at)) {
      const found = this.#keys.get(at) ?? this.#values.get(at)
      if (found !== undefined) return found
      if (at === '') return NOWHERE
    }
  }
}

/** @returns null when there is nothing to go on with; `issues` says why */
export function readDocument(text: string, env: Readonly<Record<string, string | undefined>>, issues: Issues): Tree | null {
  const lines = new LineCounter()
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const tokens = tokenize(text, lines, at, issues)
  if (tokens === null) return null
  const documents = [...new Composer({ uniqueKeys: false, prettyErrors: false, logLevel: 'silent', merge: false, resolveKnownTags: false, lineCounter: lines }).compose(tokens)]
  const [document, second] = documents
  complainOfSyntax(documents.flatMap((one) => [...one.errors, ...one.warnings]), text, at, issues)
  if (issues.failed) return null
  if (document === undefined || document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    issues.error('', { line: 1, column: 1 }, { rule: 'empty', message: 'the file is empty', help: 'The least is `backends:` and `routes:`.' })
    return null
  }
  if (second !== undefined) {
    issues.error('', at(second.range[0]), { rule: 'many-documents', message: 'expected one YAML document, found several', help: 'Remove the `---` between them.' })
    return null
  }
  return new Reader(text, env, issues, at).tree(document.contents)
}

/** Concrete syntax first: it is built without recursion, so depth can be measured before anything recurses. */
function tokenize(text: string, lines: LineCounter, at: (offset: number) => Position, issues: Issues): CST.Token[] | null {
  const parser = new Parser(lines.addNewLine)
  lines.addNewLine(0)
  const tokens: CST.Token[] = []
  let count = 0
  for (const lexeme of new Lexer().lex(text)) {
    tokens.push(...parser.next(lexeme))
    if (++count <= MAX_TOKENS) continue
    issues.error('', NOWHERE, { rule: 'too-large', message: `the file has more than ${MAX_TOKENS} tokens`, help: 'A configuration is far smaller; is this the right file?' })
    return null
  }
  tokens.push(...parser.end())
  const deep = tooDeep(tokens)
  if (deep === null) return tokens
  issues.error('', at(deep), { rule: 'too-deep', message: `nested deeper than ${MAX_DEPTH} levels`, help: '' })
  return null
}

/** Offset of the first token below the allowed depth, or null. */
function tooDeep(tokens: readonly CST.Token[]): number | null {
  const rest = tokens.map((token) => ({ token, depth: 0 }))
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const { token, depth } = next
    if (depth > MAX_DEPTH) return token.offset
    if ('value' in token && token.value !== undefined) rest.push({ token: token.value, depth: depth + 1 })
    if (!('items' in token)) continue
    for (const { key, value } of token.items) {
      if (key) rest.push({ token: key, depth: depth + 1 })
      if (value) rest.push({ token: value, depth: depth + 1 })
    }
  }
  return null
}

// ---------------------------------------------------------------- syntax, in words

function complainOfSyntax(problems: readonly YAMLError[], text: string, at: (offset: number) => Position, issues: Issues): void {
  // After the first surprise the rest of the file surprises too; that helps nobody.
  const own = problems.filter(({ message }, i) => i === 0 || !/^Unexpected .*(in YAML stream|at node end)/.test(message))
  for (const { message, code, pos } of own.slice(0, MAX_SYNTAX_ISSUES)) {
    const place = at(pos[0])
    issues.error('', place, { rule: 'yaml-syntax', message: plain(message), help: hint(code, text.split('\n', place.line)[place.line - 1] ?? '') })
  }
}

const TOKENS: Readonly<Record<string, string>> = {
  'flow-map-start': '`{`', 'flow-map-end': '`}`', 'flow-seq-start': '`[`', 'flow-seq-end': '`]`', 'flow-error-end': '`]` or `}`', comma: 'comma',
  'map-value-ind': '`:`', 'seq-item-ind': '`-`', 'explicit-key-ind': '`?`', 'double-quoted-scalar': 'quoted text', 'single-quoted-scalar': 'quoted text',
  'block-map': 'keys and values', 'block-seq': 'list', 'block-scalar': 'text block', scalar: 'text', 'doc-start': '`---`', 'doc-end': '`...`',
}

function plain(message: string): string {
  const words = message.replace(/ in YAML stream.*| at node end/s, ' here').replace(/[a-z]+(-[a-z]+)+|\bscalar\b/g, (word) => TOKENS[word] ?? word).replace(' token', '')
  return words.length > 160 ? `${words.slice(0, 160)}…` : words
}

function hint(code: string, line: string): string {
  if (code === 'TAB_AS_INDENT') return 'Indent with spaces.'
  if (code === 'MULTIPLE_DOCS') return 'One file is one document.'
  if (code === 'TAG_RESOLVE_FAILED') return 'Tags (!…) are not used here; write the value alone.'
  if (/[{[].*[^"']\$\{/.test(line)) return 'Inside { } or [ ] a value with ${…} must be quoted: "${NAME}".'
  return /[{,]\s*path:\s*\/\S*[*{]|:\s*[*&!%@`]/.test(line) ? 'A value that begins with * & ! % @ ` or holds { } must be quoted.' : ''
}

// ---------------------------------------------------------------- values

class Reader {
  readonly #text: string
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #issues: Issues
  readonly #at: (offset: number) => Position
  readonly #places = new Places()
  readonly #written = new Map<string, string>()
  readonly #anchors = new Map<string, Node>()
  #values = 0
  #expanded = 0
  #stopped = false

  constructor(text: string, env: Readonly<Record<string, string | undefined>>, issues: Issues, at: (offset: number) => Position) {
    this.#text = text
    this.#env = env
    this.#issues = issues
    this.#at = at
  }

  tree(root: Node): Tree | null {
    const value = this.#node(root, '', null, 0)
    return this.#stopped ? null : { value, places: this.#places, written: this.#written }
  }

  #node(node: Node | null, path: string, key: Position | null, depth: number): unknown {
    const at = node?.range ? this.#at(node.range[0]) : (key ?? NOWHERE)
    if (this.#exhausted(at, depth)) return null
    this.#places.add(path, at, key)
    if (node === null) return null
    if (isAlias(node)) return this.#alias(node.source, path, key, at, depth)
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, node)
    if (isMap(node)) return this.#map(node.items, path, depth)
    if (isSeq(node)) return node.items.map((item, i) => this.#node(item as Node | null, join(path, i), null, depth + 1))
    return isScalar(node) ? this.#scalar(node, path, at) : null
  }

  #exhausted(at: Position, depth: number): boolean {
    if (this.#stopped) return true
    if (++this.#values <= MAX_VALUES && depth <= MAX_DEPTH && this.#expanded <= MAX_EXPANDED_CHARACTERS) return false
    this.#stopped = true
    const complaint =
      depth > MAX_DEPTH
        ? { rule: 'too-deep', message: `nested deeper than ${MAX_DEPTH} levels`, help: 'An alias may contain itself.' }
        : { rule: 'too-large', message: `more than ${MAX_VALUES} values or ${MAX_EXPANDED_CHARACTERS / 1024} KiB of text once aliases and \${} are expanded`, help: 'Repeat less.' }
    this.#issues.error('', at, complaint)
    return true
  }

  #alias(name: string, path: string, key: Position | null, at: Position, depth: number): unknown {
    const target = this.#anchors.get(name)
    if (target === undefined) {
      this.#issues.error(path, at, { rule: 'unknown-alias', message: `the alias *${name} has no anchor &${name} before it`, help: 'A value that begins with * must be quoted.' })
      return null
    }
    return this.#node(target, path, key, depth + 1)
  }

  #map(pairs: readonly Pair[], path: string, depth: number): Record<string, unknown> {
    const result: Record<string, unknown> = {}
    const seen = new Map<string, Position>()
    for (const pair of pairs) {
      const key = this.#key(pair.key as Node | null, path, seen)
      if (key === null) continue
      const value = this.#node(pair.value as Node | null, join(path, key), seen.get(key)!, depth + 1)
      // Not an assignment: that would set the prototype for `__proto__`.
      Object.defineProperty(result, key, { value, enumerable: true, writable: true, configurable: true })
    }
    return result
  }

  #key(node: Node | null, path: string, seen: Map<string, Position>): string | null {
    const at = node?.range ? this.#at(node.range[0]) : NOWHERE
    if (!isScalar(node) || node.value === null) {
      this.#issues.error(path, at, { rule: 'bad-key', message: 'expected a name as key, found something else', help: '' })
      return null
    }
    const key = node.source !== undefined && node.type === 'PLAIN' ? node.source : String(node.value)
    const first = seen.get(key)
    if (first !== undefined) {
      this.#issues.error(join(path, key), at, { rule: 'duplicate-key', message: `the key \`${key.slice(0, 60)}\` stands here twice, first in line ${first.line}`, help: 'Keep one of them.' })
      return null
    }
    if (key.includes('${')) this.#issues.error(join(path, key), at, { rule: 'environment-in-key', message: 'found ${ in a key', help: 'The environment is expanded in values only.' })
    if (key === '<<') this.#issues.error(join(path, key), at, { rule: 'merge-key', message: 'YAML 1.2 has no merge keys (<<)', help: 'Use an alias for the whole value, or write the keys out.' })
    seen.set(key, at)
    return key
  }

  #scalar(node: Scalar, path: string, at: Position): unknown {
    const { value } = node
    if (typeof value === 'bigint') return Number(value)
    if (typeof value !== 'string' || !value.includes('${')) return value
    const { value: expanded, used, names, problem } = expand(value, this.#env)
    for (const name of names) this.#issues.hide(this.#env[name] ?? '', name)
    if (problem !== null) this.#issues.error(path, this.#inside(node, value.slice(problem.offset, problem.offset + 8), at), problem)
    if (used) this.#written.set(path, value)
    this.#expanded += expanded.length
    return expanded
  }

  /** Where a part of a scalar stands in the text, else where the scalar begins. */
  #inside(node: Scalar, part: string, fallback: Position): Position {
    if (!node.range) return fallback
    const offset = this.#text.indexOf(part, node.range[0])
    return offset >= 0 && offset < node.range[1] ? this.#at(offset) : fallback
  }
}
