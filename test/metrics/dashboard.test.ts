/**
 * The dashboards, alone and against a real Prometheus. It scrapes a page made here from registries that count like a busy gateway's;
 * with WEIR_METRICS_URL (and WEIR_ADMIN_TOKEN) it scrapes that gateway instead, which must have served by then: a route with
 * `fallback`, `rate_limit` and `split`, a fallback, a model run, a refused request, a reload.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Declaration, exposition, Histogram, processMetrics, Registry } from '../../gateway/metrics.ts'
import { describeWith } from '../servers.ts'
import { complaints, type Dashboard, dashboards, filledIn, metricsIn, queriesOf } from './dashboard.ts'
import { core, declared, exposed } from './declared.ts'
import { type Prometheus, startPrometheus, type Target } from './prometheus.ts'

const queries = Object.values(dashboards).flatMap(queriesOf)

describe('config/dashboards', () => {
  it('show no metric of weir that nobody declares', () => {
    const known = new Set(Object.keys(declared).flatMap(exposed))
    const used = queries.flatMap(({ expr }) => metricsIn(expr)).filter((name) => name.startsWith('weir_'))
    expect(used.length).toBeGreaterThan(50)
    expect(used.filter((name) => !known.has(name))).toEqual([])
  })

  it('show every metric that every gateway has', () => {
    const used = new Set(queries.flatMap(({ expr }) => metricsIn(expr)))
    expect(Object.keys(core).filter((name) => !exposed(name).some((part) => used.has(part)))).toEqual([])
  })

  it('rate counters and nothing else, and take quantiles of buckets alone', () => {
    for (const { expr } of queries) {
      for (const [, name] of expr.matchAll(/\b(?:rate|increase)\((\w+)\{/g)) expect(name).toMatch(/_(total|bucket|sum|count)$/)
      for (const [, inner] of expr.matchAll(/histogram_quantile\([\d.]+, (.*)\)$/g)) expect(inner).toMatch(/^sum by \((?:[\w, ]+, )?le\) \(rate\(\w+_bucket\{/)
    }
  })

  it('show every metric of the monitors', () => {
    const used = new Set(queries.flatMap(({ expr }) => metricsIn(expr)))
    const monitors = Object.keys(declared).filter((name) => /^weir_(log|schema|guard|drift|labels)_/.test(name))
    expect(monitors.length).toBeGreaterThan(20)
    expect(monitors.filter((name) => !exposed(name).some((part) => used.has(part)))).toEqual([])
  })

  it.each(Object.entries(dashboards))('%s is in order: ids, places, words, data source', (_, { panels, templating, schemaVersion }) => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    expect(templating.list.map(({ name }) => name).slice(0, 3)).toEqual(['datasource', 'instance', 'route'])
    expect(schemaVersion).toBeGreaterThanOrEqual(39)
    const taken = new Map<string, string>()
    for (const { title, type, description, datasource, gridPos, targets } of panels) {
      expect(title).not.toBe('')
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.get(`${x},${y}`), `"${title}" lies on another panel`).toBeUndefined()
          taken.set(`${x},${y}`, title)
        }
      }
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      if (type === 'row') continue
      expect(description, title).toMatch(/\.$/)
      expect(datasource?.uid).toBe('${datasource}')
      expect(targets!.map(({ datasource: { uid } }) => uid)).toEqual(targets!.map(() => '${datasource}'))
    }
  })

  it('have the rows people look for', () => {
    const rows = ({ panels }: Dashboard): string[] => panels.filter(({ type }) => type === 'row').map(({ title }) => title)
    expect(rows(dashboards.weir)).toEqual([
      'At a glance', 'Traffic', 'Latency', 'Backends', 'Endpoints', 'Retries and hedges', 'Fallbacks', 'Overload and deadlines', 'Plugins', 'Models inside', 'Configuration and threads', 'Process',
    ])
    expect(rows(dashboards.data)).toEqual(['At a glance', 'Records', 'Alarms', 'Schema', 'Drift', 'Labels and quality'])
  })
})

// ---------------------------------------------------------------- against Prometheus

/** Two threads that count a little more at every scrape, in every series the declarations allow. */
class Busy {
  readonly registries = [new Registry(), new Registry()]
  turn(): void {
    this.registries.forEach((registry, thread) => {
      for (const [name, declaration] of Object.entries(declared)) this.#count(registry, thread, name, declaration)
    })
    // Enough for the collector to run now and then, so that there is something to show of it.
    structuredClone(Array.from({ length: 20_000 }, (_, i) => ({ i })))
  }

  #count(registry: Registry, thread: number, name: string, declaration: Declaration): void {
    const handle = registry.handles({ [name]: declaration })[name]!
    for (const labels of combinations(Object.entries(declaration.labels ?? {}))) {
      const cell = handle(labels as never)
      if (cell instanceof Histogram) for (const seconds of [0.0004, 0.003, 0.003, 0.02, 0.4]) cell.observe(seconds * (thread + 1))
      else if (declaration.type === 'gauge') (cell as { set?: (value: number) => void }).set?.(name.endsWith('timestamp_seconds') ? (Date.now() / 1000 - 60) / 2 : 1)
      else cell.add(labels['code'] === '5xx' ? 1 : 10)
    }
  }
}

const NAMES: Readonly<Record<string, readonly string[]>> = { route: ['fraud', 'rank'], backend: ['fraud_v1', 'fraud_lite'], from: ['fraud_v1'], to: ['fraud_lite'], reason: ['timeout', '5xx'], arm: ['fraud_v1', 'fraud_v2'] }

function combinations(labels: readonly [string, readonly string[] | 'config'][]): Record<string, string>[] {
  const [first, ...rest] = labels
  if (first === undefined) return [{}]
  const [label, values] = first
  return (values === 'config' ? (NAMES[label] ?? ['x']) : values).flatMap((value) => combinations(rest).map((others) => ({ [label]: value, ...others })))
}

async function busyPage(): Promise<{ target: Target; close: () => Promise<void> }> {
  const busy = new Busy()
  const server = createServer((_, response) => {
    busy.turn()
    void exposition(busy.registries.map((registry) => registry.view()), processMetrics()).then((text) => response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8').end(text))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { target: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics` }, close }
}

describeWith('prometheus', 'every query of the dashboards against a real Prometheus', (program) => {
  const running = process.env['WEIR_METRICS_URL']
  let prometheus: Prometheus
  let page: Awaited<ReturnType<typeof busyPage>>

  beforeAll(async () => {
    page = running === undefined ? await busyPage() : { target: { url: running, token: process.env['WEIR_ADMIN_TOKEN'] }, close: async () => undefined }
    prometheus = await startPrometheus(program, [page.target])
    await prometheus.scraped(5)
  }, 60_000)

  afterAll(async () => {
    await prometheus?.close()
    await page?.close()
  })

  it('is accepted, finds something, and has the labels of its legend', async () => {
    expect(await complaints(prometheus, queries, '10s')).toEqual([])
  })

  it('would be noticed if it did not', async () => {
    const wrong = [
      { panel: 'refused', expr: 'sum(rate(weir_requests_total)', shown: [] },
      { panel: 'empty', expr: 'sum(weir_no_such_metric)', shown: [] },
      { panel: 'nan', expr: '0 * sum(weir_threads) / 0', shown: [] },
      { panel: 'legend', expr: 'sum by (route) (weir_requests_total)', shown: ['backend'] },
    ]
    expect((await complaints(prometheus, wrong, '10s')).map((text) => text.split(':')[0])).toEqual(['refused', 'empty', 'nan', 'legend'])
  })

  if (running !== undefined) return

  it('tells the numbers that were counted', async () => {
    const ratio = queries.find(({ panel }) => panel === 'Errors')!
    // In each turn, thread, route and backend: 1 of class 5xx and 10 of each of the five others.
    const [sample] = await prometheus.query(filledIn(ratio.expr, '10s'))
    expect(sample!.value).toBeCloseTo(1 / 51, 6)
    const median = await prometheus.query('histogram_quantile(0.5, sum by (le) (weir_request_duration_seconds_bucket))')
    // Of every ten, 0.0004 and 0.0008 lie below; 0.003 twice lies in (0.0025, 0.005], 0.006 twice in (0.005, 0.01]: the fifth is a
    // half of the way through the latter.
    expect(median[0]!.value).toBeCloseTo(0.0075, 6)
  })
})
