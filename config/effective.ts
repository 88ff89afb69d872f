/**
 * The effective configuration for people: what the file says, with every default, and nothing secret.
 *
 * Two rules decide what is secret. Whatever the environment had a part in is shown as it is written in the file
 * (`Bearer ${KEY}`), never expanded. Literal values are hidden by name: fields and options called authorization, cookie,
 * or ending in token, secret, password, credential, signature or api key, and what a schema marks `secret`.
 */
import { fill } from './decode.ts'
import type { Tree } from './document.ts'
import { join } from './issues.ts'
import type { JsonSchema } from './shape.ts'

export const HIDDEN = '(redacted)'

const SECRET = /^(proxy-)?authorization$|^(set-)?cookie2?$|(^|[-_])(api[-_]?key|access[-_]?key|secret[-_]?key|apikey|token|secret|passwd|password|credential|signature)s?$/i
/** An option of the timeout plugin, a duration. */
const NOT_SECRET: ReadonlySet<string> = new Set(['first_token'])

export function isSecretName(name: string): boolean {
  return SECRET.test(name) && !NOT_SECRET.has(name)
}

/** Plain data in the grammar of the file; safe to show. */
export function effective(schema: JsonSchema, tree: Tree): unknown {
  return shown(fill(schema, tree.value), '', '', tree)
}

function shown(value: unknown, path: string, key: string, tree: Tree): unknown {
  const written = tree.written.get(path)
  if (written !== undefined) return written
  if (Array.isArray(value)) return value.map((item, i) => shown(item, join(path, i), key, tree))
  if (typeof value === 'object' && value !== null) {
    const result: Record<string, unknown> = {}
    for (const [name, item] of Object.entries(value)) {
      Object.defineProperty(result, name, { value: shown(item, join(path, name), name, tree), enumerable: true, writable: true, configurable: true })
    }
    return result
  }
  return isSecretName(key) && (typeof value === 'string' || typeof value === 'number') ? HIDDEN : value
}
