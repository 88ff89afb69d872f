/** Plugins of a route: found, validated with their own schema and check, options decoded. */
import { resolve } from 'node:path'
import type { Plugin } from '../gateway/plugin.ts'
import type { PluginConfig } from './config.ts'
import { fill } from './decode.ts'
import { join } from './issues.ts'
import { checkQuantities } from './quantities.ts'
import { complain, type Scene, settle } from './scene.ts'
import { type Data, type JsonSchema } from './shape.ts'
import { Validator } from './validate.ts'

/** A plugin of a route with what its references are found by. */
export interface Placed {
  readonly plugin: Plugin
  readonly config: PluginConfig
  /** Where its options stand. */
  readonly path: string
  /** Its options as written, with defaults. */
  readonly written: unknown
}

/** Where plugins come from; see registry.ts. */
export interface PluginSource {
  /** The plugins of weir, by name. */
  readonly plugins: ReadonlyMap<string, Plugin>
  /** Loads a plugin of the user's; rejects with a sentence that can be shown. */
  importUserPlugin(file: string): Promise<Plugin>
}

/** One item of `plugins:`, validated with its own schema and check. */
export async function place(scene: Scene, source: PluginSource, item: Data, path: string): Promise<Placed | null> {
  const [key] = Object.keys(item).filter((name) => name !== 'on_error' && name !== 'options')
  if (key === undefined) return null
  const plugin = key === 'use' ? await load(scene, source, String(item['use']), join(path, 'use')) : (source.plugins.get(key) ?? null)
  if (plugin === null) return null
  const at = join(path, key === 'use' ? 'options' : key)
  const schema = plugin.config as unknown as JsonSchema
  const written = (key === 'use' ? item['options'] : item[key]) ?? {}
  if (key === 'use') new Validator(scene.tree, scene.issues).check(schema, written, at)
  if (!scene.issues.clean(at)) return null
  const options = settle<unknown>(scene, schema, written)
  checkQuantities(scene, schema, written, at)
  if (!scene.issues.clean(at) || !passes(scene, plugin, options, at)) return null
  const config: PluginConfig = {
    name: plugin.name,
    use: key === 'use' ? resolve(scene.base, String(item['use'])) : null,
    options,
    on_error: (item['on_error'] as 'open' | 'closed' | undefined) ?? plugin.onError,
    at: path,
  }
  return { plugin, config, path: at, written: fill(schema, written) }
}

async function load(scene: Scene, source: PluginSource, file: string, path: string): Promise<Plugin | null> {
  try {
    return await source.importUserPlugin(resolve(scene.base, file))
  } catch (error) {
    return complain(scene, path, { rule: 'bad-plugin', message: firstLine(error), help: 'A plugin file exports `plugin({ … })` as default; see plugins/README.md.' })
  }
}

/** The plugin's own check, on decoded options. Its complaint stands at the first option it names. */
function passes(scene: Scene, plugin: Plugin, options: unknown, path: string): boolean {
  let complaint: string | undefined
  try {
    complaint = plugin.check?.(options as never)
  } catch (error) {
    complaint = `its check failed: ${firstLine(error)}`
  }
  if (complaint === undefined) return true
  const named = complaint.match(/[\w-]+/g)?.find((word) => Object.hasOwn(options as Data, word))
  complain(scene, named === undefined ? path : join(path, named), { rule: 'plugin-check', message: complaint, help: `See plugins/README.md#${plugin.name}.` })
  return false
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.split('\n', 1)[0]!.slice(0, 200)
}
