/** What is counted of one version of a model in this thread, bound once. */
import { WeirError } from '../errors.ts'
import type { Counter, Histogram, Registry } from '../metrics.ts'
import { MODEL_OUTCOMES, modelMetrics } from '../vital.ts'
import type { Run } from './inference/host.ts'

export type Outcome = (typeof MODEL_OUTCOMES)[number]

export class ModelMetrics {
  readonly #outcomes: Readonly<Record<Outcome, Counter>>
  readonly #rows: Counter
  readonly #runs: Counter
  readonly #batch: Histogram
  readonly #queue: Histogram
  readonly #run: Histogram
  readonly #read: Counter
  readonly #write: Counter

  constructor(registry: Registry, labels: { readonly model: string; readonly version: string }) {
    const handles = registry.handles(modelMetrics)
    const outcomes = MODEL_OUTCOMES.map((outcome) => [outcome, handles.weir_model_requests_total({ ...labels, outcome })] as const)
    this.#outcomes = Object.fromEntries(outcomes) as Record<Outcome, Counter>
    this.#rows = handles.weir_model_rows_total(labels)
    this.#runs = handles.weir_model_runs_total(labels)
    this.#batch = handles.weir_model_batch_rows(labels)
    this.#queue = handles.weir_model_queue_seconds(labels)
    this.#run = handles.weir_model_run_seconds(labels)
    this.#read = handles.weir_model_body_seconds_total({ ...labels, part: 'read' })
    this.#write = handles.weir_model_body_seconds_total({ ...labels, part: 'write' })
  }

  /** Exactly one for each request. */
  count(outcome: Outcome): void {
    this.#outcomes[outcome].add()
  }

  ran({ took_ms, queued_ms, runs, batch_rows }: Run, rows: number): void {
    this.#rows.add(rows)
    // Callers who shared a run share in its count, so that the sum over them is one.
    this.#runs.add(rows > 0 && batch_rows > rows ? rows / batch_rows : runs)
    this.#batch.observe(batch_rows)
    this.#queue.observe(queued_ms / 1000)
    this.#run.observe(took_ms / 1000)
  }

  /** @param read, write milliseconds */
  bodies(read: number, write: number): void {
    this.#read.add(read / 1000)
    this.#write.add(write / 1000)
  }
}

/** What became of a request whose run threw. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof WeirError)) return 'run'
  if (error.code === 'MODEL_NOT_READY') return 'unavailable'
  if (error.code === 'MODEL_FAILED' || error.code === 'INTERNAL') return 'run'
  if (error.reason === 'overload') return 'overload'
  return error.reason === 'local' ? 'input' : 'cancelled'
}
