/** Schemas and values in words, for messages. */
import type { JsonSchema } from './shape.ts'

export const KINDS: Readonly<Record<string, string>> = {
  duration: 'a duration such as `300ms`, `5s` or `2m`',
  size: 'a size such as `64KiB`, `1MiB` or a number of bytes',
  percent: 'a percentage such as `5%`, or a number from 0 to 100',
  backend: 'the name of a backend',
  sink: 'the name of a sink',
  arms: 'backends and their weights',
  selector: 'a selector such as `header.x-user-id`',
  condition: 'a CEL condition',
  file: 'the path of a file',
}

export const BOUNDS: Readonly<Record<string, (limit: number) => string>> = {
  minimum: (limit) => `at least ${limit}`,
  maximum: (limit) => `at most ${limit}`,
  exclusiveMinimum: (limit) => `more than ${limit}`,
  exclusiveMaximum: (limit) => `less than ${limit}`,
  minLength: (limit) => (limit === 1 ? 'some text' : `at least ${limit} characters`),
  maxLength: (limit) => `at most ${limit} characters`,
  minItems: (limit) => `at least ${limit} item${limit === 1 ? '' : 's'}`,
  maxItems: (limit) => `at most ${limit} items`,
  minProperties: (limit) => `at least ${limit} key${limit === 1 ? '' : 's'}`,
  maxProperties: (limit) => `at most ${limit} keys`,
  uniqueItems: () => 'every item once',
}

const ARTICLES: Readonly<Record<string, string>> = { string: 'a text', number: 'a number', integer: 'a whole number', boolean: '`true` or `false`', object: 'keys and values', array: 'a list', null: 'nothing' }

/** A schema in a few words. */
function describe(schema: JsonSchema): string {
  if (schema.expected !== undefined) return schema.expected
  const kind = KINDS[schema['x-weir'] ?? '']
  if (kind !== undefined) return kind
  if (schema.anyOf !== undefined) return describeAll(schema.anyOf)
  if (schema.enum !== undefined || schema.const !== undefined || schema.type === 'object') return describeAll([schema])
  return ARTICLES[schema.type ?? ''] ?? 'something else'
}

export function describeAll(branches: readonly JsonSchema[]): string {
  const words = branches.flatMap((branch) => branch.enum ?? (branch.const === undefined ? [] : [branch.const])).map(String)
  const objects = branches.filter((branch) => branch.type === 'object' && branch.expected === undefined)
  const others = branches.filter((branch) => branch.enum === undefined && branch.const === undefined && !objects.includes(branch))
  const keys = [...new Set(objects.flatMap((branch) => branch.required ?? []))]
  const kinds = [...others.map(describe), ...(words.length > 0 ? [list(words)] : []), ...(objects.length > 0 ? [keys.length > 0 ? `keys and values with ${list(keys)}` : 'keys and values'] : [])]
  return [...new Set(kinds)].join(', or ')
}

export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'keys and values'
  if (typeof value === 'string') return value === '' ? 'an empty text' : JSON.stringify(shorten(value))
  return String(value)
}

/** `a`, `b` or `c`. */
export function list(names: readonly string[]): string {
  const quoted = names.slice(0, 30).map((name) => `\`${name}\``)
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`
}

export function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
