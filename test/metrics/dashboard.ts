/** The Grafana dashboards as the tests see them: their queries, and what is wrong with them at a Prometheus. */
import { readFileSync } from 'node:fs'
import type { Prometheus } from './prometheus.ts'

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly legendFormat: string; readonly datasource: { readonly uid: string } }[]
}

export interface Dashboard {
  readonly title: string
  readonly schemaVersion: number
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[] }
  readonly panels: readonly Panel[]
}

export interface Query {
  readonly panel: string
  readonly expr: string
  /** Labels that the legend shows. */
  readonly shown: readonly string[]
}

/** By file: the gateway, and the data that pass it. */
export const dashboards: Readonly<Record<'weir' | 'data', Dashboard>> = { weir: read('weir'), data: read('data') }

function read(name: string): Dashboard {
  return JSON.parse(readFileSync(new URL(`../../config/dashboards/${name}.json`, import.meta.url), 'utf8')) as Dashboard
}

export function queriesOf(dashboard: Dashboard): Query[] {
  return dashboard.panels.flatMap(({ title, targets }) =>
    (targets ?? []).map(({ expr, legendFormat }) => ({ panel: title, expr, shown: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!) })),
  )
}

/** As Grafana fills it in with "All" chosen. @param interval for `$__rate_interval` and `$__range` */
export function filledIn(expr: string, interval: string): string {
  const filled = expr.replaceAll(/\$__(rate_interval|range)\b/g, interval).replaceAll(/\$(instance|route|statistic)\b/g, '.*')
  if (filled.includes('$')) throw new Error(`a variable nobody fills in: ${filled}`)
  return filled
}

/** Names of the metrics in an expression, without the suffixes of a histogram's parts. */
export function metricsIn(expr: string): string[] {
  return [...expr.matchAll(/\b((?:weir|process|nodejs)_\w+)\b/g)].map(([, name]) => name!)
}

/** Runs every query. @returns a complaint for each that is refused, finds nothing, finds no number, or lacks a label of its legend */
export async function complaints(prometheus: Prometheus, queries: readonly Query[], interval: string): Promise<string[]> {
  const found = await Promise.all(queries.map(async (query) => complaint(prometheus, query, interval)))
  return found.filter((text) => text !== null)
}

async function complaint(prometheus: Prometheus, { panel, expr, shown }: Query, interval: string): Promise<string | null> {
  try {
    const samples = await prometheus.query(filledIn(expr, interval))
    if (samples.length === 0) return `${panel}: nothing found by ${expr}`
    if (samples.every(({ value }) => Number.isNaN(value))) return `${panel}: only NaN found by ${expr}`
    const missing = shown.filter((label) => !samples.some(({ metric }) => label in metric))
    return missing.length === 0 ? null : `${panel}: the legend shows ${missing.join(', ')}, which ${expr} has not`
  } catch (error) {
    return `${panel}: ${(error as Error).message}`
  }
}
