/** Counts as Triton tells them (extension_statistics.md), without what weir does not measure: time of the last inference and single batch sizes. */
import type { ModelCounts } from '../operator.ts'

export function statistics(counts: readonly ModelCounts[]): object {
  return { model_stats: counts.map(ofModel) }
}

function ofModel(counts: ModelCounts): object {
  const { succeeded, failed } = counts
  const each = (seconds: number): object => ({ count: succeeded, ns: nanoseconds(seconds) })
  const spent = counts.queue_seconds + counts.read_seconds + counts.run_seconds + counts.write_seconds
  return {
    name: counts.model,
    version: counts.version,
    inference_count: counts.rows,
    execution_count: Math.round(counts.runs),
    inference_stats: {
      success: each(spent),
      // How long requests took that failed is not measured.
      fail: { count: failed, ns: 0 },
      queue: each(counts.queue_seconds),
      compute_input: each(counts.read_seconds),
      compute_infer: each(counts.run_seconds),
      compute_output: each(counts.write_seconds),
    },
    batch_stats: [],
  }
}

function nanoseconds(seconds: number): number {
  return Math.round(seconds * 1e9)
}
