/** The JSON Schema that editors use: `fileSchema` without weir's own annotations, with room for `${NAME}`. */
import type { Plugin } from '../gateway/plugin.ts'
import { fileSchema } from './schema.ts'

type Node = { [key: string]: unknown }

/** What only the loader needs. */
const OWN = new Set(['x-weir', 'expected', 'noun', 'secret'])
const VARIABLE = { type: 'string', pattern: '^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$' }

/** @returns text of config/weir.schema.json */
export function jsonSchema(plugins: Iterable<Plugin>): string {
  // Through JSON first: what TypeBox keeps beside the schema is not in it.
  const file = JSON.parse(JSON.stringify(fileSchema(plugins))) as Node
  const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'weir', ...(forEditors(file) as Node) }
  return `${JSON.stringify(schema, null, 2)}\n`
}

function forEditors(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(forEditors)
  if (typeof node !== 'object' || node === null) return node
  const kept = Object.fromEntries(Object.entries(node).filter(([key]) => !OWN.has(key)).map(([key, value]) => [key, part(key, value)])) as Node
  return takesVariable(node as Node) ? withVariable(kept) : kept
}

/** Keywords whose values are data, and those whose values are schemas by name. */
const LITERAL = new Set(['default', 'enum', 'const', 'required', 'examples'])
const NAMED = new Set(['properties', 'patternProperties'])

function part(keyword: string, value: unknown): unknown {
  if (LITERAL.has(keyword)) return value
  if (!NAMED.has(keyword)) return forEditors(value)
  return Object.fromEntries(Object.entries(value as Node).map(([name, schema]) => [name, forEditors(schema)]))
}

/** A single value that plain text would not satisfy. */
function takesVariable({ type, pattern, minLength, enum: words, anyOf, 'x-weir': kind }: Node): boolean {
  if (kind === 'size' || kind === 'percent' || kind === 'duration') return true
  if (anyOf !== undefined) return false
  return type === 'integer' || type === 'number' || type === 'boolean' || words !== undefined || (type === 'string' && (pattern !== undefined || Number(minLength ?? 0) > 1))
}

function withVariable({ description, default: usual, ...rest }: Node): Node {
  const about = { ...(description !== undefined && { description }), ...(usual !== undefined && { default: usual }) }
  const { anyOf, ...others } = rest
  return anyOf !== undefined && Object.keys(others).length === 0 ? { ...about, anyOf: [...(anyOf as unknown[]), VARIABLE] } : { ...about, anyOf: [rest, VARIABLE] }
}
