/** Where a file ends, windows are open that no row will come to: they are closed, and what is only the end of the file is not told of. */
import type { PluginConfig } from '../../../config/config.ts'
import type { JsonSchema } from '../../../config/shape.ts'
import type { Plugin } from '../../plugin.ts'
import type { Raised } from './stage.ts'

/** Beyond all that the options of a plugin say: windows are judged a little after their end. */
const GRACE_MS = 60_000
const MOST_MS = 31 * 86_400_000

export class Ending {
  /** Unix milliseconds of the last row. */
  readonly #end: number
  readonly #plugins: readonly PluginConfig[]
  readonly #code: ReadonlyMap<PluginConfig, Plugin>

  constructor(end: number, plugins: readonly PluginConfig[], code: ReadonlyMap<PluginConfig, Plugin>) {
    this.#end = end
    this.#plugins = plugins
    this.#code = code
  }

  /** When every window with rows is judged: nothing waits longer than all the durations of its options together. */
  get until(): number {
    const spans = this.#plugins.map((plugin) => durations(this.#code.get(plugin)?.config as JsonSchema | undefined, plugin.options))
    return this.#end + Math.min(MOST_MS, Math.max(0, ...spans)) + GRACE_MS
  }

  /** Windows that begin behind the last row are of no traffic, and so is the rest of one for whoever counts rows. */
  sift(raised: readonly Raised[]): { readonly alarms: readonly Raised[]; readonly ended: number } {
    const alarms = raised.filter((alarm) => alarm.time <= this.#lastEnd(alarm))
    return { alarms: alarms.toSorted((a, b) => a.time - b.time), ended: raised.length - alarms.length }
  }

  #lastEnd({ plugin, kind, statistic }: Raised): number {
    if (kind === 'rate' || (kind === 'schema' && statistic === 'rows')) return this.#end
    const window = this.#windowOf(plugin)
    return window === null ? Infinity : (Math.floor(this.#end / window) + 1) * window
  }

  /** @param instance of a plugin: `drift`, or `drift#2` for the second of the route */
  #windowOf(instance: string): number | null {
    const [name, nth = '1'] = instance.split('#')
    const options = this.#plugins.filter((plugin) => plugin.name === name)[Number(nth) - 1]?.options
    const window = (options as { readonly window?: unknown } | undefined)?.window
    return typeof window === 'number' && window > 0 ? window : null
  }
}

/** Sum of all durations among options, milliseconds. */
function durations(schema: JsonSchema | undefined, value: unknown): number {
  if (schema === undefined || value === undefined || value === null) return 0
  if (schema['x-weir'] === 'duration') return typeof value === 'number' ? value : 0
  return Object.entries(schema.properties ?? {}).reduce((sum, [key, inner]) => sum + durations(inner, (value as Readonly<Record<string, unknown>>)[key]), 0)
}
