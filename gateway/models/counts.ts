/** The counts of models, from the cells of all threads. */
import { type RegistryView, sums } from '../metrics.ts'
import type { ModelCounts } from './operator.ts'

type Field = Exclude<keyof ModelCounts, 'model' | 'version'>
type Labels = Readonly<Record<string, string>>

/** One of each version that was ever loaded, in the order of their loading. */
export function countsOf(views: readonly RegistryView[]): ModelCounts[] {
  const found = new Map<string, { -readonly [K in keyof ModelCounts]: ModelCounts[K] }>()
  function add(metric: string, field: (labels: Labels) => Field): void {
    for (const { labels, sum } of sums(views, metric)) {
      const [model, version] = [labels['model']!, labels['version']!]
      const key = JSON.stringify([model, version])
      const counts = found.get(key) ?? { model, version, succeeded: 0, failed: 0, rows: 0, runs: 0, queue_seconds: 0, run_seconds: 0, read_seconds: 0, write_seconds: 0 }
      found.set(key, counts)
      counts[field(labels)] += sum
    }
  }
  add('weir_model_requests_total', ({ outcome }) => (outcome === 'ok' ? 'succeeded' : 'failed'))
  add('weir_model_rows_total', () => 'rows')
  add('weir_model_runs_total', () => 'runs')
  add('weir_model_queue_seconds', () => 'queue_seconds')
  add('weir_model_run_seconds', () => 'run_seconds')
  add('weir_model_body_seconds_total', ({ part }) => (part === 'read' ? 'read_seconds' : 'write_seconds'))
  return [...found.values()]
}
