/** What the control thread counts of models: loads, and which versions answer. */
import type { Handles, Registry } from '../../metrics.ts'
import { repositoryMetrics } from '../../vital.ts'
import type { ModelDescription } from '../description.ts'
import type { Loaded } from './library.ts'

export class RepositoryMetrics {
  readonly #metrics: Handles<typeof repositoryMetrics>
  /** A load that configurations share is one load of each name. */
  readonly #counted = new WeakMap<Loaded, Set<string>>()
  readonly #versions = new Map<string, { readonly model: string; readonly version: string }>()

  constructor(registry: Registry) {
    this.#metrics = registry.handles(repositoryMetrics)
  }

  /** @param loaded null: it failed */
  readonly load = (model: string, version: string, loaded: Loaded | null): void => {
    if (loaded !== null && this.#isCounted(loaded, `${model}/${version}`)) return
    this.#metrics.weir_model_loads_total({ model, version, result: loaded === null ? 'error' : 'ok' }).add()
  }

  #isCounted(loaded: Loaded, name: string): boolean {
    const names = this.#counted.get(loaded) ?? new Set<string>()
    this.#counted.set(loaded, names)
    const counted = names.has(name)
    names.add(name)
    return counted
  }

  /** What there is now; a version that is gone is not ready. */
  show(models: readonly ModelDescription[]): void {
    for (const { name: model, version } of models) this.#versions.set(JSON.stringify([model, version]), { model, version })
    for (const labels of this.#versions.values()) {
      const ready = models.some(({ name, version, state }) => name === labels.model && version === labels.version && state === 'ready')
      this.#metrics.weir_model_ready(labels).set(ready ? 1 : 0)
    }
  }
}
