/** How options of the file are declared: the shapes that several parts of its schema share. */
import { type TSchema, Type } from '../gateway/plugin.ts'

export type Properties = Record<string, TSchema>

/** Keys of strict objects; what is not named here is refused. */
export const Strict = (properties: Properties, description: string, more: Readonly<Record<string, unknown>> = {}) => Type.Object(properties, { additionalProperties: false, description, ...more })
export const Text = (description: string, more: Readonly<Record<string, unknown>> = {}) => Type.String({ minLength: 1, description, ...more })
export const OneOf = (values: readonly string[], description: string, more: Readonly<Record<string, unknown>> = {}) =>
  Type.Unsafe<string>({ enum: values, description, ...more })
export const Path = (description: string) => Text(`${description} Relative to this file.`, { 'x-weir': 'file' })
export const optional = <T extends TSchema>(schema: T) => Type.Optional(schema)

/** What may name a route or backend: it becomes a metric label and part of admin paths. */
export const NAME = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'
/** A token (RFC 9110, 5.6.2). */
const FIELD_NAME = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
/** Header values: visible characters, spaces and tabs. */
const FIELD_VALUE = '^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$'

export const Fields = (description: string) =>
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    patternProperties: { [FIELD_NAME]: { type: 'string', pattern: FIELD_VALUE, maxLength: 8192, expected: 'a header value in one line' } },
    additionalProperties: false,
    maxProperties: 100,
    expected: 'header names and values',
    description,
  })

const URL_HELP = '`http://host[:port][/prefix]`, `https://…` or `unix:/path/of/socket`'
export const Url = (description: string) => Text(`${description} ${URL_HELP}.`, { maxLength: 2048, expected: `a URL: ${URL_HELP}` })
