/**
 * Declared metrics on shared typed arrays; Prometheus text only at scrape.
 *
 * Each thread owns one `Registry`. A series is a run of float64 cells in a SharedArrayBuffer with one writer (the
 * thread) and one reader (the control thread, at scrape). Adding is one array store: no lock, no hashing, no label
 * lookup. Totals over threads are sums of integers below 2^53, hence exact. The cells of a thread that died are kept.
 *
 * Label values are closed: they are given at load, from the declaration or the config, never by a caller.
 */
import type { Registry as PromRegistry } from 'prom-client'

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
/** No configuration reaches this; versions of models that come and go for months might. What is beyond is not shown, and counted. */
export const MAX_CELLS = 1 << 20
const dropped = { weir_series_dropped_total: { type: 'counter', help: 'Series that are not shown because there are too many.' } } as const satisfies Declarations

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
  /** What is no finite number is counted in +Inf and left out of the sum, which it would spoil for good. */
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
    if (Number.isFinite(value)) this.#cells[bounds.length + 1]! += value
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
  readonly labels: Labels
  readonly slab: number
  readonly at: number
}

/** A registry as another thread sees it. */
export interface RegistryView {
  readonly series: readonly Series[]
  readonly slabs: readonly SharedArrayBuffer[]
}

export class Registry {
  /** Called when there is a new series, at load as later: whoever passes views on must pass on a new one. */
  onSeries: (() => void) | null = null
  readonly #series = new Map<string, Series>()
  readonly #slabs: SharedArrayBuffer[] = []
  readonly #bound = new Map<string, Counter | Gauge | Histogram>()
  /** Metric → what it was first declared as. */
  readonly #families = new Map<string, Declared>()
  readonly #maxCells: number
  #used = SLAB_CELLS
  /** There was a series too many; the one that counts them has a slab beyond the limit. */
  #overflown = false

  /** @param maxCells in whole slabs */
  constructor(maxCells = MAX_CELLS) {
    this.#maxCells = maxCells
  }

  /**
   * Handles for a group of metrics; `prefix` and `fixed` labels are put before each. Binding the same series again gives the same cells.
   * @throws at binding, for a name, bucket or label that cannot be, and for a metric that is declared in two ways
   */
  handles<M extends Declarations>(declarations: M, prefix = '', fixed: Labels = {}): Handles<M> {
    const made: Record<string, (labels?: Record<string, string>) => Counter | Histogram> = {}
    for (const [key, declaration] of Object.entries(declarations)) {
      made[key] = (labels = {}) => this.#bind(prefix + key, declaration, fixed, labels)
    }
    return made as unknown as Handles<M>
  }

  view(): RegistryView {
    return { series: [...this.#series.values()], slabs: [...this.#slabs] }
  }

  #bind(metric: string, declaration: Declaration, fixed: Labels, given: Labels): Counter | Gauge | Histogram {
    const family = this.#family(metric, declaration, Object.keys(fixed))
    const labels = closed(metric, declaration, family.names, { ...fixed, ...given })
    const key = JSON.stringify([metric, ...Object.values(labels)])
    const known = this.#bound.get(key)
    if (known !== undefined) return known
    const size = sizeOf(declaration)
    if (this.#full(size) && metric !== 'weir_series_dropped_total') return this.#unseen(declaration)
    const at = this.#reserve(size)
    const slab = this.#slabs.length - 1
    this.#series.set(key, { metric, declaration, labels, slab, at })
    const handle = handleOf(declaration, new Float64Array(this.#slabs[slab]!), at)
    this.#bound.set(key, handle)
    this.onSeries?.()
    return handle
  }

  /** Checks a declaration when it is first seen, and that it is the same ever after. */
  #family(metric: string, declaration: Declaration, fixed: readonly string[]): Declared {
    const names = [...new Set([...fixed, ...Object.keys(declaration.labels ?? {})])]
    const known = this.#families.get(metric)
    if (known === undefined) {
      checkDeclaration(metric, declaration, names)
      const declared = { declaration, names }
      this.#families.set(metric, declared)
      return declared
    }
    if (alike(known.declaration, declaration) && known.names.toString() === names.toString()) return known
    throw new Error(`metric ${metric} is declared in two ways (type, buckets or labels differ): rename one of them, or restart if its plugin was changed`)
  }

  #full(size: number): boolean {
    return this.#overflown || (this.#used + size > SLAB_CELLS && (this.#slabs.length + 1) * SLAB_CELLS > this.#maxCells)
  }

  /** Works as any other for its owner. */
  #unseen(declaration: Declaration): Counter | Gauge | Histogram {
    this.#overflown = true
    this.handles(dropped).weir_series_dropped_total().add()
    return handleOf(declaration, new Float64Array(sizeOf(declaration)), 0)
  }

  #reserve(size: number): number {
    if (this.#used + size > SLAB_CELLS) {
      this.#slabs.push(new SharedArrayBuffer(SLAB_CELLS * 8))
      this.#used = 0
    }
    const at = this.#used
    this.#used += size
    return at
  }
}

type Labels = Readonly<Record<string, string>>

interface Declared {
  readonly declaration: Declaration
  readonly names: readonly string[]
}

function handleOf(declaration: Declaration, cells: Float64Array, at: number): Counter | Gauge | Histogram {
  if (declaration.type === 'histogram') return new Histogram(cells, at, declaration.buckets)
  return declaration.type === 'gauge' ? new Gauge(cells, at) : new Counter(cells, at)
}

function sizeOf(declaration: Declaration): number {
  return declaration.type === 'histogram' ? declaration.buckets.length + 2 : 1
}

/** Whether two series may stand in one family. */
function alike(a: Declaration, b: Declaration): boolean {
  if (a === b) return true
  if (a.type !== 'histogram' || b.type !== 'histogram') return a.type === b.type
  return a.buckets.length === b.buckets.length && a.buckets.every((bound, i) => bound === b.buckets[i])
}

const METRIC_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/

function checkDeclaration(metric: string, declaration: Declaration, names: readonly string[]): void {
  const wrong = (what: string): Error => new Error(`metric ${metric}: ${what}`)
  if (!METRIC_NAME.test(metric)) throw wrong('a name has letters, digits and underscores')
  if (declaration.help.trim() === '') throw wrong('help is missing')
  if ((declaration.type === 'counter') !== metric.endsWith('_total')) throw wrong('names of counters, and only these, end in _total')
  for (const name of names) if (!LABEL_NAME.test(name) || name === 'le') throw wrong(`"${name}" cannot be a label`)
  if (declaration.type !== 'histogram') return
  const { buckets } = declaration
  if (buckets.length === 0 || !buckets.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > buckets[i - 1]!))) throw wrong('buckets must be finite and ascend')
  if (sizeOf(declaration) > SLAB_CELLS) throw wrong('there are too many buckets')
}

/** The labels in the family's order, each with an allowed value. */
function closed(metric: string, declaration: Declaration, names: readonly string[], labels: Labels): Labels {
  for (const name of Object.keys(labels)) if (!names.includes(name)) throw new Error(`metric ${metric} has no label "${name}"`)
  return Object.fromEntries(
    names.map((name) => {
      const value = Object.hasOwn(labels, name) ? labels[name] : undefined
      if (value === undefined) throw new Error(`metric ${metric} needs label "${name}"`)
      const values = declaration.labels?.[name] ?? 'config'
      if (values !== 'config' && !values.includes(value)) throw new Error(`metric ${metric}: label ${name}="${value}" is not one of ${values.join(', ')}`)
      return [name, value]
    }),
  )
}

// ---------------------------------------------------------------- scrape

interface Total {
  readonly labels: Labels
  readonly cells: Float64Array
}

interface PromMetric {
  readonly name: string
  readonly help: string
  readonly type: Declaration['type']
  readonly values: readonly object[]
}

interface Family {
  readonly declaration: Declaration
  readonly totals: ReadonlyMap<string, Total>
}

/** @param value how many series the page left out; 0 unless threads disagree on what a metric is */
const leftOutMetric = (value: number): PromMetric => ({
  name: 'weir_metric_series_left_out',
  help: 'Series left out of this page, because a thread that was started later declares the metric in another way.',
  type: 'gauge',
  values: [{ labels: {}, value }],
})

/**
 * Prometheus text (version 0.0.4) of all registries together, and of `extra` (`processMetrics()`). Families in the order they are
 * first seen. Where views disagree on a declaration (a plugin changed on disk and one thread was replaced since) the last one counts.
 */
export async function exposition(views: readonly RegistryView[], extra?: Promise<PromRegistry>): Promise<string> {
  const { families, leftOut } = sum(views)
  const registry = new (await prom()).Registry()
  const register = (metric: PromMetric): void => registry.registerMetric({ name: metric.name, get: async () => metric, reset: () => undefined } as never)
  for (const [name, family] of families) register(promMetric(name, family))
  register(leftOutMetric(leftOut))
  const text = await registry.metrics()
  return extra === undefined ? text : text + (await (await extra).metrics())
}

/** The content type of `exposition`. OpenMetrics is not offered: prom-client writes gauges that end in `_total`, which it forbids. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Only a scrape needs the library: data threads never load it. */
const prom = (): Promise<typeof import('prom-client')> => import('prom-client')

let ofProcess: Promise<PromRegistry> | null = null

/** CPU, memory, file descriptors, event loop and garbage collection, of the process and the calling thread. One for all callers: it holds observers that cannot be taken back. */
export function processMetrics(): Promise<PromRegistry> {
  return (ofProcess ??= observeProcess())
}

async function observeProcess(): Promise<PromRegistry> {
  const { collectDefaultMetrics, Registry: Made } = await prom()
  const register = new Made()
  collectDefaultMetrics({ register })
  return register
}

/** One metric summed over all registries, a histogram as its count; for tests and the admin pages. */
export function totals(views: readonly RegistryView[], metric: string): { labels: Labels; value: number }[] {
  const family = sum(views).families.get(metric)
  if (family === undefined) return []
  return [...family.totals.values()].map(({ labels, cells }) => ({ labels, value: family.declaration.type === 'histogram' ? countOf(cells) : cells[0]! }))
}

/** One metric summed over all registries: counts and gauges, or what a histogram has observed in all (not how often). */
export function sums(views: readonly RegistryView[], metric: string): { labels: Labels; sum: number }[] {
  const family = sum(views).families.get(metric)
  if (family === undefined) return []
  return [...family.totals.values()].map(({ labels, cells }) => ({ labels, sum: cells.at(-1)! }))
}

function sum(views: readonly RegistryView[]): { families: Map<string, Family>; leftOut: number } {
  const declarations = new Map<string, Declaration>()
  for (const { series } of views) for (const { metric, declaration } of series) declarations.set(metric, declaration)
  const families = new Map([...declarations].map(([metric, declaration]) => [metric, { declaration, totals: new Map<string, Total>() }]))
  let leftOut = 0
  for (const view of views) {
    for (const { metric, declaration, labels, slab, at } of view.series) {
      const family = families.get(metric)!
      if (alike(declaration, family.declaration)) addTo(family.totals, labels, new Float64Array(view.slabs[slab]!, at * 8, sizeOf(declaration)))
      else leftOut++
    }
  }
  return { families, leftOut }
}

function addTo(totals: Map<string, Total>, labels: Labels, cells: Float64Array): void {
  const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
  const total = totals.get(key)
  if (total === undefined) totals.set(key, { labels, cells: cells.slice() })
  else for (let i = 0; i < cells.length; i++) total.cells[i]! += cells[i]!
}

function countOf(cells: Float64Array): number {
  let count = 0
  for (let i = 0; i < cells.length - 1; i++) count += cells[i]!
  return count
}

/** The shape prom-client's registry serialises. */
function promMetric(name: string, { declaration, totals }: Family): PromMetric {
  const { help, type } = declaration
  const values = [...totals.values()].flatMap((total) => (declaration.type === 'histogram' ? histogramValues(name, total, declaration.buckets) : [{ labels: total.labels, value: total.cells[0]! }]))
  return { name, help, type, values }
}

function histogramValues(name: string, { labels, cells }: Total, buckets: readonly number[]): object[] {
  let cumulative = 0
  const values = [...buckets, '+Inf' as const].map((le, i) => {
    cumulative += cells[i]!
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulative }
  })
  return [...values, { metricName: `${name}_sum`, labels, value: cells[buckets.length + 1]! }, { metricName: `${name}_count`, labels, value: cumulative }]
}
