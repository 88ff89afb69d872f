/**
 * Selectors: a dotted path to one value of an exchange, hyphens allowed (`header.x-user-id`). Everything before the first dot is
 * the root, everything behind it the name, so that names may hold dots themselves.
 */
import { nearest } from '../../config/issues.ts'
import type { Exchange } from '../exchange.ts'
import type { Selector } from '../plugin.ts'
import { columnsOf, cookieOf, headerOf, queryOf, type Root, ROOTS, WORDS } from './fields.ts'
import { valueAt } from './value.ts'

type Read = (x: Exchange) => string | undefined

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const EXAMPLES: Readonly<Record<Root, string>> = {
  header: 'header.x-user-id',
  query: 'query.user',
  cookie: 'cookie.session',
  input: 'input.user_id',
  output: 'output.score',
  client: 'client.ip',
}

/** @throws Error whose message is a complaint for the person who wrote it */
export function compileSelector(text: string): Selector {
  const complaint = checkSelector(text)
  if (complaint !== null) throw new Error(complaint)
  const dot = text.indexOf('.')
  return { text, body: text.startsWith('input.'), read: reader(dot < 0 ? text : text.slice(0, dot), text.slice(dot + 1)) }
}

/** @returns what is wrong with it, or null */
export function checkSelector(text: string): string | null {
  if ((WORDS as readonly string[]).includes(text)) return null
  const dot = text.indexOf('.')
  const root = dot < 0 ? text : text.slice(0, dot)
  const name = dot < 0 ? '' : text.slice(dot + 1)
  if (!(ROOTS as readonly string[]).includes(root)) return unknownRoot(root)
  const example = EXAMPLES[root as Root]
  if (name === '') return `selector "${text}" names no ${root === 'client' ? 'property' : root}: write it behind a dot, such as \`${example}\``
  if (root === 'client' && name !== 'ip') return `selector "${text}": a client has only \`client.ip\``
  if ((root === 'header' || root === 'cookie') && !TOKEN.test(name)) return `selector "${text}": "${name}" cannot be the name of a ${root}`
  return null
}

function unknownRoot(root: string): string {
  const known = [...ROOTS, ...WORDS]
  const near = nearest(root, known)
  const hint = near === null ? '' : `; did you mean \`${near}\`?`
  return `selector starts with "${root}", expected one of ${known.join(', ')}${hint}`
}

function reader(root: string, name: string): Read {
  switch (root) {
    case 'header': {
      const lower = name.toLowerCase()
      return function header(x) {
        return headerOf(x, lower)
      }
    }
    case 'query':
      return function query(x) {
        return queryOf(x, name)
      }
    case 'cookie':
      return function cookie(x) {
        return cookieOf(x, name)
      }
    case 'client':
      return function ip(x) {
        return x.caller.address === '' ? undefined : x.caller.address
      }
    case 'path':
      return function path(x) {
        return x.path
      }
    case 'method':
      return function method(x) {
        return x.method
      }
    default:
      return columnReader(root as 'input' | 'output', name)
  }
}

/** The first value of the column: of the first row, where there are rows. */
function columnReader(root: 'input' | 'output', name: string): Read {
  return function column(x) {
    const found = columnsOf(x, root)?.columns.find((one) => one.name === name)
    const value = found === undefined ? undefined : valueAt(found, 0)
    return value === undefined || value === null ? undefined : String(value)
  }
}
