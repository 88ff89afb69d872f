/**
 * Conditions: CEL (Common Expression Language) over the same names as selectors.
 *
 * Numbers from JSON are doubles, integers written in a condition are CEL ints, and 64-bit columns are exact: they compare with each
 * other as CEL says, and here they compute with each other too (`input.n + 1` is a double). `matches` runs in linear time
 * (`regex.ts`) and takes a literal pattern. Only what a condition names is read from the exchange.
 */
import { createRequire } from 'node:module'
import type { ASTNode, Environment } from '@marcbachmann/cel-js'
import { nearest } from '../../config/issues.ts'
import type { Exchange } from '../exchange.ts'
import type { Condition } from '../plugin.ts'
import { columnsOf, cookieOf, headerOf, NUMBERS, queryOf, type Root, ROOTS, WORDS } from './fields.ts'
import { compileRegex, RegexError } from './regex.ts'
import { valueOf } from './value.ts'

const LIMITS = { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 }
export const MAX_LENGTH = 4096
/** Roots whose values are text: nothing can be subtracted from them. */
const TEXT_ROOTS: readonly string[] = ['header', 'query', 'cookie', 'client']

/** Loaded with the first condition: most configurations have none, and every thread would pay for it at its start. */
const load = createRequire(import.meta.url)
let cel: typeof import('@marcbachmann/cel-js') | null = null

type Names = readonly string[]
type Context = Record<string, unknown>
/** Puts one name into the context. */
type Fill = (context: Context, x: Exchange) => void

/** What a condition is made of, once it is known to be right. */
interface Compiled {
  readonly run: (context: Context) => unknown
  readonly fills: readonly Fill[]
  readonly body: boolean
  readonly answer: Condition['answer']
}

class Complaint extends Error {}

/** @throws Error whose message is a complaint for the person who wrote it */
export function compileCondition(text: string): Condition {
  const { run, fills, body, answer } = compile(text)
  function test(x: Exchange): boolean {
    const context: Context = {}
    try {
      for (const fill of fills) fill(context, x)
      return run(context) === true
    } catch {
      return false
    }
  }
  return { text, body, answer, test }
}

/**
 * @param answered whether there may be an answer when it is tested
 * @returns what is wrong with it, with the column (from 1) where that is known, or null
 */
export function checkCondition(text: string, answered = true): string | null {
  try {
    const { answer } = compile(text)
    return answered || answer === 'none' ? null : `\`${answer === 'head' ? 'status' : 'output'}\` is of the answer, and a route is chosen before there is one: ask for something of the request`
  } catch (error) {
    if (error instanceof Complaint) return error.message
    throw error
  }
}

function compile(text: string): Compiled {
  if (text.length > MAX_LENGTH) throw new Complaint(`the condition has ${text.length} characters, at most ${MAX_LENGTH} are read`)
  const patterns = new Map<string, (value: string) => boolean>()
  const parsed = celled(() => environment(patterns).parse(text))
  const names = new Map<string, Set<string> | null>()
  visit(parsed.ast, (node) => {
    hyphenMistake(node, text)
    linearMatches(node, patterns)
  })
  collect(parsed.ast, names)
  const { valid, type, error } = parsed.check()
  if (!valid) throw complaintOf(error)
  if (type !== 'bool' && type !== 'dyn') throw new Complaint(`the condition gives a ${type}, expected true or false: compare it with something`)
  return { run: (context) => parsed(context), fills: [...names].map(([name, keys]) => filler(name, keys)), body: names.has('input'), answer: names.has('output') ? 'body' : names.has('status') ? 'head' : 'none' }
}

function environment(patterns: ReadonlyMap<string, (value: string) => boolean>): Environment {
  cel ??= load('@marcbachmann/cel-js') as typeof import('@marcbachmann/cel-js')
  const env = new cel.Environment({ limits: LIMITS, homogeneousAggregateLiterals: false })
  for (const root of ROOTS) env.registerVariable(root, root === 'input' || root === 'output' ? 'map<string, dyn>' : 'map<string, string>')
  for (const word of WORDS) env.registerVariable(word, 'string')
  for (const number of NUMBERS) env.registerVariable(number, 'int')
  env.registerFunction(`string.${LINEAR}(string): bool`, (value: string, pattern: string) => patterns.get(pattern)!(value))
  const mixed: Readonly<Record<string, (a: number, b: number) => number>> = { '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b, '/': (a, b) => a / b, '%': (a, b) => a % b }
  for (const [operator, apply] of Object.entries(mixed)) {
    const numbers = (a: number | bigint, b: number | bigint): number => apply(Number(a), Number(b))
    env.registerOperator(`int ${operator} double: double`, numbers).registerOperator(`double ${operator} int: double`, numbers)
  }
  return env.registerOperator('double % double', mixed['%']!).registerOperator('int == double', (a: bigint, b: number) => Number.isInteger(b) && BigInt(b) === a)
}

/** What `matches` is called once its pattern was compiled; not a name anybody can write by accident. */
const LINEAR = 'matches_in_linear_time'

// ---------------------------------------------------------------- the tree

function visit(node: ASTNode, see: (node: ASTNode) => void): void {
  see(node)
  for (const child of childrenOf(node.args)) visit(child, see)
}

function childrenOf(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf)
  const found = typeof args === 'object' && args !== null && 'op' in args && 'args' in args
  return found ? [args as ASTNode] : []
}

/** `header.x-user-id` is a subtraction in CEL. */
function hyphenMistake(node: ASTNode, text: string): void {
  if (node.op !== '-') return
  const [left, right] = node.args
  let first = left
  while (first.op === '-') first = first.args[0]
  if (first.op !== '.' || first.args[0].op !== 'id') return
  const root = first.args[0].args
  const stranger = right.op === 'id' && !isName(right.args)
  if (!TEXT_ROOTS.includes(root) && !(isName(root) && stranger)) return
  const [written = ''] = /^[\w.-]+/.exec(text.slice(first.start)) ?? []
  throw at(first.start, `\`${written}\` is read as a subtraction: write \`${root}["${written.slice(root.length + 1)}"]\``)
}

/** The pattern must be known at load: it is compiled here, and the call is pointed at the linear matcher. */
function linearMatches(node: ASTNode, patterns: Map<string, (value: string) => boolean>): void {
  if (node.op !== 'rcall' || node.args[0] !== 'matches') return
  const [pattern] = node.args[2]
  if (pattern?.op !== 'value' || typeof pattern.args !== 'string') throw at(pattern?.start ?? node.start, '`matches` takes a literal pattern, such as `path.matches("^/v[0-9]+/")`')
  try {
    patterns.set(pattern.args, compileRegex(pattern.args))
  } catch (error) {
    if (error instanceof RegexError) throw at(pattern.start, `\`matches\`: ${error.message}`)
    throw error
  }
  node.args[0] = LINEAR
}

/** Which keys of which names are read; null = it cannot be told, so all. */
function collect(node: ASTNode, names: Map<string, Set<string> | null>): void {
  const key = constantKey(node)
  if (key !== null) {
    const known = names.get(key.root)
    if (known === undefined) names.set(key.root, new Set([key.name]))
    else known?.add(key.name)
  } else if (node.op === 'id') {
    if (isName(node.args)) names.set(node.args, null)
  } else for (const child of childrenOf(node.args)) collect(child, names)
}

function constantKey(node: ASTNode): { root: Root; name: string } | null {
  if (node.op === '.' && node.args[0].op === 'id' && isRoot(node.args[0].args)) return { root: node.args[0].args, name: node.args[1] }
  if (node.op !== '[]' || node.args[0].op !== 'id' || !isRoot(node.args[0].args)) return null
  const [, key] = node.args
  return key.op === 'value' && typeof key.args === 'string' ? { root: node.args[0].args, name: key.args } : null
}

function isRoot(name: string): name is Root {
  return (ROOTS as readonly string[]).includes(name)
}

function isName(name: string): boolean {
  return isRoot(name) || (WORDS as readonly string[]).includes(name) || (NUMBERS as readonly string[]).includes(name)
}

// ---------------------------------------------------------------- complaints

function at(start: number, what: string): Complaint {
  return new Complaint(`column ${start + 1}: ${what}`)
}

function celled<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw complaintOf(error)
  }
}

function complaintOf(error: unknown): Complaint {
  const { summary, range } = error as { summary?: string; range?: { start: number } }
  const what = summary ?? (error instanceof Error ? error.message : String(error))
  const unknown = /^Unknown variable: (\w+)$/.exec(what)?.[1]
  const said = unknown === undefined ? what : unknownName(unknown)
  return range === undefined ? new Complaint(said) : at(range.start, said)
}

function unknownName(name: string): string {
  const known = [...ROOTS, ...WORDS, ...NUMBERS]
  const near = nearest(name, known)
  return `unknown name "${name}", expected one of ${known.join(', ')}${near === null ? '' : `; did you mean \`${near}\`?`}`
}

// ---------------------------------------------------------------- the context

function filler(name: string, keys: ReadonlySet<string> | null): Fill {
  const listed = keys === null ? null : [...keys]
  switch (name) {
    case 'path':
      return (context, x) => void (context['path'] = x.path)
    case 'method':
      return (context, x) => void (context['method'] = x.method)
    case 'status':
      return (context, x) => void (x.answer !== null && (context['status'] = BigInt(x.answer.status)))
    case 'client':
      return (context, x) => void (context['client'] = bag([['ip', x.caller.address]]))
    case 'header':
      return (context, x) => void (context['header'] = bag(listed === null ? allHeaders(x) : some(listed, (key) => headerOf(x, key.toLowerCase()))))
    case 'query':
      return (context, x) => void (context['query'] = bag(listed === null ? firsts(new URLSearchParams(x.query)) : some(listed, (key) => queryOf(x, key))))
    case 'cookie':
      return (context, x) => void (context['cookie'] = bag(some(listed ?? cookieNames(x), (key) => cookieOf(x, key))))
    default:
      return (context, x) => void (context[name] = columns(x, name as 'input' | 'output', listed))
  }
}

type Pair = readonly [key: string, value: unknown]

/** Without a prototype: `header["constructor"]` is a header that is not there. */
function bag(pairs: Iterable<Pair>): Context {
  const made = Object.create(null) as Context
  for (const [key, value] of pairs) made[key] = value
  return made
}

function some(keys: Names, read: (key: string) => string | undefined): Pair[] {
  return keys.map((key): Pair => [key, read(key)]).filter(([, value]) => value !== undefined)
}

function allHeaders(x: Exchange): Pair[] {
  return firsts(Array.from({ length: x.headers.length / 2 }, (_, i): Pair => [x.headers[2 * i]!.toLowerCase(), x.headers[2 * i + 1]]))
}

/** The first value of a name counts. */
function firsts(pairs: Iterable<Pair>): Pair[] {
  return [...pairs].reverse()
}

function cookieNames(x: Exchange): string[] {
  const names = x.headers.flatMap((name, i) => (i % 2 === 0 && name.toLowerCase() === 'cookie' ? x.headers[i + 1]!.split(';') : []))
  return names.map((pair) => pair.slice(0, Math.max(0, pair.indexOf('='))).trim()).filter((name) => name !== '')
}

function columns(x: Exchange, root: 'input' | 'output', keys: Names | null): Context {
  const found = columnsOf(x, root)?.columns ?? []
  return bag(found.filter(({ name }) => keys === null || keys.includes(name)).map((column): Pair => [column.name, valueOf(column)]))
}
