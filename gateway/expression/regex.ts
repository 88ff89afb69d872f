/**
 * Regular expressions in linear time, for `matches` in conditions.
 *
 * Idea: Thompson's simulation of a nondeterministic automaton (Thompson 1968; Cox, "Regular Expression Matching Can Be Simple
 * And Fast", 2007): all states are advanced together, one character after the other, so a match costs
 * O(length of text × states), whatever the pattern. Syntax: the part of RE2 without captures that conditions need: literals, `.`, classes
 * with ranges and negation, \d \w \s \D \W \S, \t \n \r \f \v, \xHH, anchors ^ $, groups (…) and (?:…), |, * + ? {n} {n,} {n,m} and a lazy `?` behind
 * them, which changes nothing for a yes or no. Matching looks for the pattern anywhere, as CEL says. No back-references, no look-around.
 * Characters are code points.
 */
const MAX_STATES = 1000
const MAX_REPEAT = 200

export class RegexError extends Error {}

type Range = readonly [low: number, high: number]

type State =
  | { readonly kind: 'char'; readonly ranges: readonly Range[]; readonly negated: boolean; next: number }
  | { readonly kind: 'split'; a: number; b: number }
  | { readonly kind: 'start' | 'end'; next: number }
  | { readonly kind: 'match' }

type Node =
  | { readonly kind: 'char'; readonly ranges: readonly Range[]; readonly negated: boolean }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'cat' | 'alt'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly min: number; readonly max: number }

/** @throws RegexError for what it cannot read or what would be too large */
export function compileRegex(pattern: string): (text: string) => boolean {
  const states = build(new Parser(pattern).parse())
  return (text) => matches(states, text)
}

// ---------------------------------------------------------------- reading

const DIGIT: readonly Range[] = [[48, 57]]
const WORD: readonly Range[] = [[48, 57], [65, 90], [95, 95], [97, 122]]
const SPACE: readonly Range[] = [[9, 10], [12, 13], [32, 32]]
const CONTROL: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 }
const LAST = 0x10ffff

class Parser {
  readonly #chars: readonly string[]
  #at = 0
  #depth = 0

  constructor(pattern: string) {
    this.#chars = [...pattern]
  }

  parse(): Node {
    const node = this.#alternatives()
    if (this.#at < this.#chars.length) throw this.#error('unmatched )')
    return node
  }

  #alternatives(): Node {
    if (++this.#depth > 50) throw this.#error('groups nest more than 50 deep')
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 ? parts[0]! : { kind: 'alt', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#chars.length && this.#peek() !== '|' && this.#peek() !== ')') parts.push(this.#repeated())
    return parts.length === 1 ? parts[0]! : { kind: 'cat', parts }
  }

  #repeated(): Node {
    const node = this.#atom()
    const bounds = this.#bounds()
    if (bounds === null) return node
    this.#take('?')
    if (this.#bounds() !== null) throw this.#error('a repetition of a repetition needs a group')
    return { kind: 'repeat', node, min: bounds[0], max: bounds[1] }
  }

  #bounds(): readonly [number, number] | null {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    const [all, low, comma, high] = /^\{(\d{1,4})(,?)(\d{0,4})\}/.exec(this.#chars.slice(this.#at, this.#at + 12).join('')) ?? []
    if (all === undefined) return null
    this.#at += all.length
    const min = Number(low)
    const max = comma === '' ? min : high === '' ? Infinity : Number(high)
    if (max < min) throw this.#error('{n,m} with m below n')
    if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT)) throw this.#error(`more than ${MAX_REPEAT} repetitions`)
    return [min, max]
  }

  #atom(): Node {
    const char = this.#next()
    switch (char) {
      case '(':
        return this.#group()
      case '[':
        return this.#class()
      case '.':
        return { kind: 'char', ranges: [[10, 10]], negated: true }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '\\':
        return { kind: 'char', ...this.#escape() }
      case '*':
      case '+':
      case '?':
        throw this.#error(`nothing before ${char} to repeat`)
      default:
        return { kind: 'char', ranges: [one(char)], negated: false }
    }
  }

  #group(): Node {
    if (this.#take('?') && !this.#take(':')) throw this.#error('of (?…) only (?:…) is supported')
    const node = this.#alternatives()
    if (!this.#take(')')) throw this.#error('a ( without its )')
    return node
  }

  #escape(): { ranges: readonly Range[]; negated: boolean } {
    const char = this.#next()
    const known = { d: DIGIT, w: WORD, s: SPACE }[char.toLowerCase()]
    if (known !== undefined) return { ranges: known, negated: char !== char.toLowerCase() }
    if (char in CONTROL) return { ranges: [[CONTROL[char]!, CONTROL[char]!]], negated: false }
    if (char === 'x') return { ranges: [this.#hex()], negated: false }
    if (/[A-Za-z0-9]/.test(char)) throw this.#error(`\\${char} is not supported`)
    return { ranges: [one(char)], negated: false }
  }

  #hex(): Range {
    const digits = this.#next() + this.#next()
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) throw this.#error('\\x needs two hexadecimal digits')
    return [Number.parseInt(digits, 16), Number.parseInt(digits, 16)]
  }

  #class(): Node {
    const negated = this.#take('^')
    const ranges: Range[] = []
    while (ranges.length === 0 || this.#peek() !== ']') ranges.push(...this.#classPart())
    this.#at++
    return { kind: 'char', ranges, negated }
  }

  #classPart(): readonly Range[] {
    const first = this.#classChar()
    if (this.#peek() !== '-' || this.#chars[this.#at + 1] === ']') return first
    this.#at++
    const last = this.#classChar()
    const [low] = first[0]!
    const [high] = last[0]!
    if (first.length !== 1 || last.length !== 1 || first[0]![1] !== low || last[0]![1] !== high || high < low) throw this.#error('a range in [ ] runs backwards or between classes')
    return [[low, high]]
  }

  #classChar(): readonly Range[] {
    const char = this.#next()
    if (char !== '\\') return [one(char)]
    const { ranges, negated } = this.#escape()
    return negated ? complement(ranges) : ranges
  }

  #peek(): string | undefined {
    return this.#chars[this.#at]
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #next(): string {
    const char = this.#chars[this.#at++]
    if (char === undefined) throw this.#error('it ends too early')
    return char
  }

  #error(what: string): RegexError {
    return new RegexError(`at character ${Math.min(this.#at, this.#chars.length)} of the pattern: ${what}`)
  }
}

function one(char: string): Range {
  return [char.codePointAt(0)!, char.codePointAt(0)!]
}

/** @param ranges ascending */
function complement(ranges: readonly Range[]): Range[] {
  const gaps: Range[] = []
  let from = 0
  for (const [low, high] of ranges) {
    if (low > from) gaps.push([from, low - 1])
    from = high + 1
  }
  return [...gaps, [from, LAST]]
}

// ---------------------------------------------------------------- the automaton

/** Built from the end: every part knows the state that follows it. State 0 is the match, the last one is the start. */
function build(root: Node): readonly State[] {
  const states: State[] = [{ kind: 'match' }]
  let visits = 0

  function push(state: State): number {
    if (states.length >= MAX_STATES) throw new RegexError(`the pattern needs more than ${MAX_STATES} states`)
    return states.push(state) - 1
  }

  function add(node: Node, next: number): number {
    // Empty groups make no states, but repeating them takes time too.
    if (++visits > 10 * MAX_STATES) throw new RegexError('the pattern is too large')
    switch (node.kind) {
      case 'char':
        return push({ kind: 'char', ranges: node.ranges, negated: node.negated, next })
      case 'start':
      case 'end':
        return push({ kind: node.kind, next })
      case 'cat':
        return node.parts.reduceRight((after, part) => add(part, after), next)
      case 'alt':
        return node.parts.map((part) => add(part, next)).reduceRight((b, a) => push({ kind: 'split', a, b }))
      case 'repeat':
        return repeat(node.node, node.min, node.max, next)
    }
  }

  function repeat(node: Node, min: number, max: number, next: number): number {
    let entry = next
    if (max === Infinity) {
      const loop: { kind: 'split'; a: number; b: number } = { kind: 'split', a: 0, b: next }
      entry = push(loop)
      loop.a = add(node, entry)
    } else for (let i = min; i < max; i++) entry = push({ kind: 'split', a: add(node, entry), b: next })
    for (let i = 0; i < min; i++) entry = add(node, entry)
    return entry
  }

  const start = add(root, 0)
  push({ kind: 'split', a: start, b: start })
  return states
}

function matches(states: readonly State[], text: string): boolean {
  const start = states.length - 1
  /** In which step a state was last added: no set to clear. */
  const seen = new Int32Array(states.length)
  let step = 0
  let current: number[] = []
  let following: number[] = []

  /** @returns true when the match is reached */
  function add(list: number[], from: number, atStart: boolean, atEnd: boolean): boolean {
    const stack = [from]
    while (stack.length > 0) {
      const at = stack.pop()!
      if (seen[at] === step) continue
      seen[at] = step
      const state = states[at]!
      if (state.kind === 'match') return true
      if (state.kind === 'split') stack.push(state.b, state.a)
      else if (state.kind === 'char') list.push(at)
      else if (state.kind === 'start' ? atStart : atEnd) stack.push(state.next)
    }
    return false
  }

  step++
  if (add(current, start, true, text.length === 0)) return true
  for (let i = 0; i < text.length; ) {
    const code = text.codePointAt(i)!
    i += code > 0xffff ? 2 : 1
    step++
    following = []
    const atEnd = i === text.length
    for (const at of current) {
      const state = states[at] as Extract<State, { kind: 'char' }>
      if (holds(state, code) && add(following, state.next, false, atEnd)) return true
    }
    if (add(following, start, false, atEnd)) return true
    current = following
  }
  return false
}

function holds({ ranges, negated }: { readonly ranges: readonly Range[]; readonly negated: boolean }, code: number): boolean {
  for (const [low, high] of ranges) if (code >= low && code <= high) return !negated
  return negated
}
