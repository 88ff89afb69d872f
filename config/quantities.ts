/** Bounds that every decoded quantity keeps, whatever its schema says. */
import { visit } from './decode.ts'
import { join } from './issues.ts'
import { complain, type Scene } from './scene.ts'
import { decodeDuration, decodePercent, decodeSize } from './units.ts'
import type { JsonSchema } from './shape.ts'

/** What a timer can hold (a signed 32-bit number of milliseconds); more would fire at once. */
const MAX_DURATION_MS = 2 ** 31 - 1
const MAX_SIZE_BYTES = 2 ** 40
/** One buffer of Node comfortably. */
const MAX_BODY_BYTES = 2 ** 31

/** @param value as written, valid @param positive keys right below `path` that must not be 0 */
export function checkQuantities(scene: Scene, schema: JsonSchema, value: unknown, path: string, positive: readonly string[] = []): void {
  visit(schema, value, path, (kind, found, at) => {
    const expected = wanted(kind, found, at, positive.some((key) => at === join(path, key)))
    if (expected !== null) complain(scene, at, { rule: 'out-of-range', message: `expected ${expected}`, help: '' })
  })
}

function wanted(kind: string, written: unknown, path: string, positive: boolean): string | null {
  if (kind === 'duration') {
    const ms = decodeDuration(written)
    return ms > MAX_DURATION_MS ? 'at most 24d' : positive && ms === 0 ? 'more than 0' : null
  }
  if (kind === 'percent') return decodePercent(written) > 100 ? 'at most 100%' : null
  if (kind !== 'size') return null
  const bytes = decodeSize(written)
  if (path.endsWith('.max_body_bytes') && bytes > MAX_BODY_BYTES) return 'at most 2GiB'
  return bytes > MAX_SIZE_BYTES ? 'at most 1024GiB' : null
}
