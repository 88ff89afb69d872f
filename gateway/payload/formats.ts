/** The formats by name. Which one a route speaks is decided by the config. */
import type { FormatName } from '../../config/config.ts'
import type { Format } from '../exchange.ts'
import { kserveV1 } from './kserve_v1.ts'
import { mlflow } from './mlflow.ts'
import { oip } from './oip.ts'
import { rows } from './rows.ts'
import { tfs } from './tfs.ts'

const formats: Partial<Record<FormatName, Format>> = { oip, kserve_v1: kserveV1, tfs, mlflow, rows }

/** null: bodies pass through (`openai`). */
export function format(name: FormatName): Format | null {
  return formats[name] ?? null
}
