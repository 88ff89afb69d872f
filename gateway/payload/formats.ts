/** The formats by name, and which one a route speaks when its file does not say. */
import type { Backend, Format } from '../exchange.ts'
import { oip } from './oip.ts'
import { rows } from './rows.ts'

const formats = { oip, rows } as const

export type FormatName = keyof typeof formats

export function format(name: FormatName): Format {
  return formats[name]
}

/**
 * @param path the route's match path. What ends in the protocol's own paths speaks it, whoever answers.
 * @returns null when nothing tells: bodies of such a route cannot be looked into
 */
export function defaultFormat(path: string, kind: Backend['kind']): Format | null {
  if (/(^|\/)v2\/models\/.+\/infer$/.test(path)) return oip
  if (kind === 'onnx' || kind === 'model' || kind === 'builtin') return oip
  return kind === 'answer' ? rows : null
}
