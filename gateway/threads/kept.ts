/** What data threads that died had counted. One sum for all of them, so that a thread that keeps dying does not keep memory. */
import type { RegistryView, Series } from '../metrics.ts'

interface Sum {
  readonly series: Series
  readonly memory: SharedArrayBuffer
}

export class Kept {
  readonly #sums = new Map<string, Sum>()

  /** Adds counters and histograms. What a gauge measured (connections, requests under way) died with the thread. */
  add(view: RegistryView): void {
    for (const series of view.series) {
      if (series.declaration.type === 'gauge') continue
      const size = series.declaration.type === 'histogram' ? series.declaration.buckets.length + 2 : 1
      const cells = new Float64Array(view.slabs[series.slab]!, series.at * 8, size)
      const total = new Float64Array(this.#sum(series, size).memory)
      for (let i = 0; i < size; i++) total[i]! += cells[i]!
    }
  }

  view(): RegistryView {
    const sums = [...this.#sums.values()]
    return { series: sums.map(({ series }, slab) => ({ ...series, slab, at: 0 })), slabs: sums.map(({ memory }) => memory) }
  }

  #sum(series: Series, size: number): Sum {
    const key = JSON.stringify([series.metric, Object.entries(series.labels).sort()])
    const known = this.#sums.get(key)
    if (known !== undefined) return known
    const made = { series, memory: new SharedArrayBuffer(size * 8) }
    this.#sums.set(key, made)
    return made
  }
}
