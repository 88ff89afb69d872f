/** What happens to a valid tree: defaults filled in (still as written), units decoded, references found. */
import { resolve } from 'node:path'
import { Check } from 'typebox/schema'
import { join } from './issues.ts'
import { isData, type JsonSchema, schemaOf } from './shape.ts'
import { decodeDuration, decodePercent, decodeSize } from './units.ts'

/** Puts defaults where keys are absent. The result is again valid input. A nested default needs `default: {}` on its object. */
export function fill(schema: JsonSchema, value: unknown): unknown {
  return transform(schema, value, (_own, leaf) => leaf, true)
}

/** Durations to milliseconds, sizes to bytes, percentages to 0–100, files to absolute paths. @param base folder of the file */
export function decode(schema: JsonSchema, value: unknown, base: string): unknown {
  return transform(schema, value, (own, leaf) => decodeLeaf(own['x-weir'], leaf, base), false)
}

function decodeLeaf(kind: string | undefined, value: unknown, base: string): unknown {
  if (kind === 'duration') return decodeDuration(value)
  if (kind === 'size') return decodeSize(value)
  if (kind === 'percent') return decodePercent(value)
  if (kind === 'file') return resolve(base, String(value))
  return value
}

/** Tells of every value that has a kind (`backend`, `arms`, `selector`, …), with its path. */
export function visit(schema: JsonSchema, value: unknown, path: string, found: (kind: string, value: unknown, path: string) => void): void {
  const kind = schema['x-weir']
  if (kind !== undefined) found(kind, value, path)
  const branch = branchFor(schema, value)
  if (branch !== schema) visit(branch, value, path, found)
  else if (Array.isArray(value)) value.forEach((item, i) => visit(schema.items ?? {}, item, join(path, i), found))
  else if (isData(value)) for (const [key, item] of Object.entries(value)) visit((schemaOf(schema, key) ?? {}), item, join(path, key), found)
}

function transform(schema: JsonSchema, value: unknown, leaf: (schema: JsonSchema, value: unknown) => unknown, defaults: boolean): unknown {
  if (schema['x-weir'] !== undefined && !isData(value) && !Array.isArray(value)) return leaf(schema, value)
  const branch = branchFor(schema, value)
  if (branch !== schema) return transform(branch, value, leaf, defaults)
  if (Array.isArray(value)) return value.map((item) => transform(schema.items ?? {}, item, leaf, defaults))
  if (!isData(value)) return leaf(schema, value)
  const result: Record<string, unknown> = {}
  const put = (key: string, item: unknown) => Object.defineProperty(result, key, { value: item, enumerable: true, writable: true, configurable: true })
  for (const [key, item] of Object.entries(value)) put(key, transform((schemaOf(schema, key) ?? {}), item, leaf, defaults))
  if (!defaults) return result
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    if (!Object.hasOwn(value, key) && property.default !== undefined) put(key, transform(property, property.default, leaf, defaults))
  }
  return result
}

/** The alternative that a valid value took; the schema itself when it has none. */
function branchFor(schema: JsonSchema, value: unknown): JsonSchema {
  return schema.anyOf?.find((branch) => Check(branch as never, value)) ?? schema
}
