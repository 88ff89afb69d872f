/** Whether a whole 2xx answer holds what its type and the route's format promise; what `fallback: { on: [invalid] }` asks. */
import type { Answer, Exchange } from '../exchange.ts'
import type { Fields } from '../headers.ts'
import type { Column, Columns } from './columns.ts'

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i

/**
 * Looks at 2xx answers with a whole body that is not compressed; anything else passes.
 * @returns what is wrong, fit to be shown to a caller, or null
 */
export function unsound(x: Exchange, answer: Answer): string | null {
  const { body, fields, status } = answer
  if (status < 200 || status > 299 || status === 204 || !Buffer.isBuffer(body) || fields.get('content-encoding') !== undefined) return null
  return wrongJson(x, fields, body) ?? wrongColumns(x, fields, body)
}

function wrongJson(x: Exchange, fields: Fields, body: Buffer): string | null {
  if (!JSON_TYPE.test(fields.get('content-type') ?? '') || fields.get('inference-header-content-length') !== undefined) return null
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    return 'the answer is not well-formed JSON'
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  if (Object.hasOwn(value, 'error') && (value as { error: unknown }).error !== null) return 'the answer has status 2xx and a top-level `error`'
  const choices = (value as { choices?: unknown }).choices
  if (x.route.openai === true && Array.isArray(choices) && choices.length === 0) return 'the answer has no `choices`'
  return null
}

/** Formats with columns decode them: lengths and shapes must agree, and numbers be numbers. */
function wrongColumns(x: Exchange, fields: Fields, body: Buffer): string | null {
  const { format } = x.route
  if (format === null || x.method !== 'POST') return null
  let answered: Columns
  try {
    answered = format.readAnswer(body, fields)
  } catch {
    return 'the answer cannot be read in the format of the route'
  }
  const broken = answered.columns.find(notFinite)
  if (broken !== undefined) return `output "${broken.name.slice(0, 64)}" holds NaN or Infinity`
  const missing = wanted(x).find((name) => !answered.columns.some((column) => column.name === name))
  return missing === undefined ? null : `output "${missing.slice(0, 64)}" was asked for and is not in the answer`
}

/** The outputs that were asked for by name. */
function wanted(x: Exchange): readonly string[] {
  if (!Buffer.isBuffer(x.body)) return []
  try {
    return x.input.outputs ?? []
  } catch {
    return []
  }
}

function notFinite({ dtype, data }: Column): boolean {
  if (data instanceof Float32Array || data instanceof Float64Array) return data.some((value: number) => !Number.isFinite(value))
  // All exponent bits set: NaN or Infinity (IEEE 754 binary16; bfloat16 has the exponent of binary32).
  const exponent = dtype === 'FP16' ? 0x7c00 : dtype === 'BF16' ? 0x7f80 : 0
  return exponent !== 0 && (data as Uint16Array).some((bits) => (bits & exponent) === exponent)
}
