/** Every metric that weir declares, by the names they have in a scrape. */
import type { Declaration, Declarations } from '../../gateway/metrics.ts'
import * as vital from '../../gateway/vital.ts'
import { plugins } from '../../plugins/index.ts'

/** What every gateway has. */
export const core = Object.fromEntries(
  Object.values(vital).flatMap((group) => (Array.isArray(group) ? [] : Object.entries(group as Declarations))),
)
/** Metrics of plugins, by the names they get in a route. */
const ofPlugins = Object.fromEntries(
  [...plugins.values()].flatMap(({ name, metrics }) =>
    Object.entries((metrics ?? {}) as Declarations).map(([key, declaration]): [string, Declaration] => [`weir_${name}_${key}`, { ...declaration, labels: { route: 'config', ...declaration.labels } } as Declaration]),
  ),
)
export const declared: Declarations = { ...core, ...ofPlugins }

/** What a metric is called in a query. */
export function exposed(name: string): string[] {
  return declared[name]!.type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
}

/** Labels that a query may ask a metric for, with their values where the declaration lists them. */
export function labelsOf(exposedName: string): Readonly<Record<string, readonly string[] | 'config'>> {
  const name = Object.keys(declared).find((one) => exposed(one).includes(exposedName))
  return name === undefined ? {} : (declared[name]!.labels ?? {})
}
