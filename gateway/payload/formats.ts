/** The formats by name. Which one a route speaks is decided by the config. */
import type { Format } from '../exchange.ts'
import { oip } from './oip.ts'
import { rows } from './rows.ts'

const formats = { oip, rows } as const

export type FormatName = keyof typeof formats

export function format(name: FormatName): Format {
  return formats[name]
}
