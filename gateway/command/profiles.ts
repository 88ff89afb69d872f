/** The profiles that a configuration names. */
import type { Config } from '../../config/config.ts'

/** What plugins of any kind name with the option `profile`: path → the place of the first option that does. */
export function profilesOf({ routes }: Config): Map<string, string> {
  const found = new Map<string, string>()
  for (const { plugins } of routes) {
    for (const { name, use, options, at } of plugins) {
      const { profile } = (options ?? {}) as { readonly profile?: unknown }
      if (typeof profile === 'string' && !found.has(profile)) found.set(profile, `${at}.${use === null ? name : 'options'}.profile`)
    }
  }
  return found
}
