/**
 * The words of JSON Schema that options are declared with. The types are TypeBox's; the values are made here, in a few lines, because
 * TypeBox itself is 300 modules, and every thread would load them before it serves. A schema made with TypeBox fits in as well.
 */
import type { Type as TypeBox } from 'typebox'

type Words = Pick<typeof TypeBox, 'Array' | 'Boolean' | 'Enum' | 'Integer' | 'Literal' | 'Number' | 'Object' | 'Optional' | 'Record' | 'String' | 'Union' | 'Unknown' | 'Unsafe'>
type Json = Readonly<Record<string, unknown>>

/** Not enumerable: it is a note to `Object`, as in TypeBox, and no part of the schema. */
const OPTIONAL = '~optional'

function optional(schema: object): object {
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(schema))
  return Object.defineProperty(copy, OPTIONAL, { value: true })
}

function object(properties: Readonly<Record<string, object>>, options: Json = {}): object {
  const required = Object.keys(properties).filter((key) => !(OPTIONAL in properties[key]!))
  return { type: 'object', ...(required.length > 0 ? { required } : {}), properties, ...options }
}

/** Without a pattern of their own, keys may be any text. */
const ANY_KEY = '^.*$'

const words = {
  Array: (items: object, options: Json = {}) => ({ type: 'array', items, ...options }),
  Boolean: (options: Json = {}) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options: Json = {}) => ({ enum: values, ...options }),
  Integer: (options: Json = {}) => ({ type: 'integer', ...options }),
  Literal: (value: string | number | boolean, options: Json = {}) => ({ type: typeof value, const: value, ...options }),
  Number: (options: Json = {}) => ({ type: 'number', ...options }),
  Object: object,
  Optional: optional,
  Record: (key: { readonly pattern?: string }, value: object, options: Json = {}) => ({ type: 'object', patternProperties: { [key.pattern ?? ANY_KEY]: value }, ...options }),
  String: (options: Json = {}) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly object[], options: Json = {}) => ({ anyOf, ...options }),
  Unknown: (options: Json = {}) => ({ ...options }),
  Unsafe: (schema: object) => ({ ...schema }),
}

export const Type = words as unknown as Words
