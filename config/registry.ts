/** Plugins by name and by file: the one place that knows where their code is. */
import { stat } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import type { Plugin } from '../gateway/plugin.ts'
import { plugins } from '../plugins/index.ts'

/** The plugins of weir. */
export const builtIn: ReadonlyMap<string, Plugin> = plugins

/** Loads a plugin of the user's, again when its file changed. @throws with a sentence that can be shown */
export async function importUserPlugin(file: string): Promise<Plugin> {
  const { mtimeMs } = await stat(file).catch(() => {
    throw new Error('the file does not exist or cannot be read')
  })
  const module = (await import(`${pathToFileURL(file).href}?changed=${mtimeMs}`)) as { default?: unknown }
  if (!isPlugin(module.default)) throw new Error('the file has no default export that is a plugin: `export default plugin({ name, config, build, … })`')
  return module.default
}

function isPlugin(value: unknown): value is Plugin {
  const found = value as Partial<Plugin> | null | undefined
  return typeof found === 'object' && found !== null && typeof found.name === 'string' && typeof found.build === 'function' && typeof found.config === 'object'
}
