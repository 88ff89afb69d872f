/**
 * Declared metrics on shared typed arrays; Prometheus text only at scrape.
 *
 * Each thread owns one `Registry`. A series is a run of float64 cells in a SharedArrayBuffer with one writer (the
 * thread) and one reader (the control thread, at scrape). Adding is one array store: no lock, no hashing, no label
 * lookup. Totals over threads are sums of integers below 2^53, hence exact. The cells of a thread that died are kept.
 *
 * Label values are closed: they are given at load, from the declaration or the config, never by a caller.
 */
import { Registry as PromRegistry } from 'prom-client'

interface Common {
  /** One sentence for # HELP, with the unit. */
  readonly help: string
  /** Label → its closed values, or `config` when values are names from the file (routes, backends, arms, models). */
  readonly labels?: Readonly<Record<string, readonly string[] | 'config'>>
}
export interface CounterDeclaration extends Common {
  readonly type: 'counter'
}
export interface GaugeDeclaration extends Common {
  readonly type: 'gauge'
}
export interface HistogramDeclaration extends Common {
  readonly type: 'histogram'
  /** Upper bounds, ascending, without +Inf. */
  readonly buckets: readonly number[]
}
export type Declaration = CounterDeclaration | GaugeDeclaration | HistogramDeclaration
export type Declarations = Readonly<Record<string, Declaration>>

type LabelsOf<D extends Declaration> = { readonly [K in keyof NonNullable<D['labels']>]: string }
type HandleOf<D extends Declaration> = D['type'] extends 'histogram' ? Histogram : D['type'] extends 'gauge' ? Gauge : Counter
/** `handles.name({ label: 'value' })` binds one series. Bind at load, never per exchange. */
export type Handles<M extends Declarations> = { readonly [K in keyof M]: (labels?: LabelsOf<M[K]>) => HandleOf<M[K]> }

const SLAB_CELLS = 4096
/** A registry refuses more; a bounded config cannot reach it. */
const MAX_CELLS = 1 << 20

export class Counter {
  readonly #cells: Float64Array
  readonly #at: number
  constructor(cells: Float64Array, at: number) {
    this.#cells = cells
    this.#at = at
  }
  add(count = 1): void {
    this.#cells[this.#at]! += count
  }
  /** Of this thread alone. */
  get value(): number {
    return this.#cells[this.#at]!
  }
}

export class Gauge extends Counter {
  readonly #cell: Float64Array
  constructor(cells: Float64Array, at: number) {
    super(cells, at)
    this.#cell = cells.subarray(at, at + 1)
  }
  set(value: number): void {
    this.#cell[0] = value
  }
}

export class Histogram {
  readonly #cells: Float64Array
  readonly #bounds: readonly number[]
  /** Cells: one a bucket, +Inf, sum. */
  constructor(cells: Float64Array, at: number, bounds: readonly number[]) {
    this.#cells = cells.subarray(at, at + bounds.length + 2)
    this.#bounds = bounds
  }
  observe(value: number): void {
    const bounds = this.#bounds
    let low = 0
    let high = bounds.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (value <= bounds[middle]!) high = middle
      else low = middle + 1
    }
    this.#cells[low]! += 1
    this.#cells[bounds.length + 1]! += value
  }
  /** Of this thread alone. */
  get count(): number {
    let total = 0
    for (let i = 0; i <= this.#bounds.length; i++) total += this.#cells[i]!
    return total
  }
}

/** Where the cells of one series are; what the control thread needs to read it. */
export interface Series {
  readonly metric: string
  readonly declaration: Declaration
  readonly labels: Readonly<Record<string, string>>
  readonly slab: number
  readonly at: number
}

/** A registry as another thread sees it. */
export interface RegistryView {
  readonly series: readonly Series[]
  readonly slabs: readonly SharedArrayBuffer[]
}

export class Registry {
  readonly #series = new Map<string, Series>()
  readonly #slabs: SharedArrayBuffer[] = []
  readonly #bound = new Map<string, Counter | Gauge | Histogram>()
  #used = SLAB_CELLS

  /** Handles for a group of metrics; `prefix` and `fixed` labels are put before each. Binding the same series again gives the same cells. */
  handles<M extends Declarations>(declarations: M, prefix = '', fixed: Readonly<Record<string, string>> = {}): Handles<M> {
    const made: Record<string, (labels?: Record<string, string>) => Counter | Histogram> = {}
    for (const [key, declaration] of Object.entries(declarations)) {
      made[key] = (labels) => this.#bind(prefix + key, declaration, { ...fixed, ...labels })
    }
    return made as unknown as Handles<M>
  }

  view(): RegistryView {
    return { series: [...this.#series.values()], slabs: [...this.#slabs] }
  }

  #bind(metric: string, declaration: Declaration, labels: Readonly<Record<string, string>>): Counter | Gauge | Histogram {
    checkLabels(metric, declaration, labels)
    const key = `${metric}\0${Object.entries(labels).sort().flat().join('\0')}`
    const known = this.#bound.get(key)
    if (known !== undefined) return known
    const size = declaration.type === 'histogram' ? declaration.buckets.length + 2 : 1
    const at = this.#reserve(size)
    const slab = this.#slabs.length - 1
    const cells = new Float64Array(this.#slabs[slab]!)
    this.#series.set(key, { metric, declaration, labels, slab, at })
    const handle = declaration.type === 'histogram' ? new Histogram(cells, at, declaration.buckets) : declaration.type === 'gauge' ? new Gauge(cells, at) : new Counter(cells, at)
    this.#bound.set(key, handle)
    return handle
  }

  #reserve(size: number): number {
    if (this.#used + size > SLAB_CELLS) {
      if ((this.#slabs.length + 1) * SLAB_CELLS > MAX_CELLS) throw new Error(`more than ${MAX_CELLS} metric cells`)
      this.#slabs.push(new SharedArrayBuffer(SLAB_CELLS * 8))
      this.#used = 0
    }
    const at = this.#used
    this.#used += size
    return at
  }
}

function checkLabels(metric: string, declaration: Declaration, labels: Readonly<Record<string, string>>): void {
  for (const [name, values] of Object.entries(declaration.labels ?? {})) {
    const value = labels[name]
    if (value === undefined) throw new Error(`metric ${metric} needs label "${name}"`)
    if (values !== 'config' && !values.includes(value)) throw new Error(`metric ${metric}: label ${name}="${value}" is not one of ${values.join(', ')}`)
  }
}

// ---------------------------------------------------------------- scrape

interface Total {
  readonly declaration: Declaration
  readonly labels: Readonly<Record<string, string>>
  readonly cells: Float64Array
}

/** Prometheus text of all registries together, and of `extra` (prom-client's own process metrics). */
export async function exposition(views: readonly RegistryView[], extra?: PromRegistry): Promise<string> {
  const registry = new PromRegistry()
  for (const [metric, totals] of sum(views)) registry.registerMetric(promMetric(metric, totals) as never)
  const text = await registry.metrics()
  return extra === undefined ? text : text + (await extra.metrics())
}

/** One series summed over all registries; for tests and the admin pages. */
export function totals(views: readonly RegistryView[], metric: string): { labels: Readonly<Record<string, string>>; value: number }[] {
  return (sum(views).get(metric) ?? []).map(({ labels, cells, declaration }) => ({ labels, value: declaration.type === 'histogram' ? countOf(cells) : cells[0]! }))
}

function sum(views: readonly RegistryView[]): Map<string, Total[]> {
  const metrics = new Map<string, Map<string, Total>>()
  for (const view of views) {
    for (const series of view.series) {
      const size = series.declaration.type === 'histogram' ? series.declaration.buckets.length + 2 : 1
      const cells = new Float64Array(view.slabs[series.slab]!, series.at * 8, size)
      const key = JSON.stringify(Object.entries(series.labels).sort())
      const family = metrics.get(series.metric) ?? new Map<string, Total>()
      metrics.set(series.metric, family)
      const total = family.get(key)
      if (total === undefined) family.set(key, { declaration: series.declaration, labels: series.labels, cells: cells.slice() })
      else for (let i = 0; i < size; i++) total.cells[i]! += cells[i]!
    }
  }
  return new Map([...metrics].map(([metric, family]) => [metric, [...family.values()]]))
}

function countOf(cells: Float64Array): number {
  let count = 0
  for (let i = 0; i < cells.length - 1; i++) count += cells[i]!
  return count
}

/** The shape prom-client's registry serialises. */
function promMetric(name: string, family: readonly Total[]): object {
  const { help, type } = family[0]!.declaration
  const values = family.flatMap((total) => (total.declaration.type === 'histogram' ? histogramValues(name, total, total.declaration.buckets) : [{ labels: total.labels, value: total.cells[0]! }]))
  const metric = { name, help, type, values, aggregator: 'sum' }
  return { name, get: async () => metric, reset: () => undefined }
}

function histogramValues(name: string, total: Total, buckets: readonly number[]): object[] {
  let cumulative = 0
  const values = [...buckets, '+Inf' as const].map((le, i) => {
    cumulative += total.cells[i]!
    return { metricName: `${name}_bucket`, labels: { ...total.labels, le }, value: cumulative }
  })
  return [
    ...values,
    { metricName: `${name}_sum`, labels: total.labels, value: total.cells[buckets.length + 1]! },
    { metricName: `${name}_count`, labels: total.labels, value: cumulative },
  ]
}
