/** The formats by name. Which one a route speaks is decided by the config. */
import type { FormatName } from '../../config/config.ts'
import type { Format } from '../exchange.ts'
import { oip } from './oip.ts'
import { rows } from './rows.ts'

const formats: Partial<Record<FormatName, Format>> = { oip, rows }

/** null: bodies pass through (`openai`). */
export function format(name: FormatName): Format | null {
  return formats[name] ?? null
}
