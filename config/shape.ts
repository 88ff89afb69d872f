/** The part of JSON Schema that the loader walks itself, and questions about it that several steps ask. */
import { Check } from 'typebox/schema'

export type Data = Readonly<Record<string, unknown>>

/** Keywords the walk looks at, and weir's annotations. */
export interface JsonSchema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: boolean | JsonSchema
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  /** Unit or reference; decoded or checked after validation. */
  readonly 'x-weir'?: string
  /** What is expected here, in words. */
  readonly expected?: string
  /** What the alternatives of an `anyOf` are called. */
  readonly noun?: string
  /** The value is never shown. */
  readonly secret?: boolean
}

export function isData(value: unknown): value is Data {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

/** The schema of what stands under `key`; null when an object must not have that key. */
export function schemaOf(schema: JsonSchema, key: string): JsonSchema | null {
  const { properties, patternProperties, additionalProperties } = schema
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key]!
  for (const [pattern, below] of Object.entries(patternProperties ?? {})) if (new RegExp(pattern, 'u').test(key)) return below
  if (additionalProperties === false) return null
  return typeof additionalProperties === 'object' ? additionalProperties : {}
}

/** Whether a value is of the right kind, whatever else is wrong with it. */
export function fits(schema: JsonSchema, value: unknown): boolean {
  if (schema.anyOf !== undefined) return schema.anyOf.some((branch) => fits(branch, value))
  if (schema.type !== undefined) return typeOf(value, schema.type)
  const allowed = schema.enum ?? [schema.const]
  return allowed.some((one) => typeof one === typeof value)
}

function typeOf(value: unknown, type: string): boolean {
  return Check({ type } as never, value)
}
