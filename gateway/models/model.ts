/** One version of one model as a data thread uses it: request columns in, answer columns out. */
import type { Leg } from '../exchange.ts'
import type { Clock } from '../clock.ts'
import { WeirError } from '../errors.ts'
import type { Registry } from '../metrics.ts'
import type { Log } from '../plugin.ts'
import { rawColumns } from '../payload/binary.ts'
import { classifyOutputs } from '../payload/classification.ts'
import { type Column, type Columns, rowCount } from '../payload/columns.ts'
import { shapeText } from '../payload/tensor.ts'
import type { ModelDescription } from './description.ts'
import type { ModelHost } from './inference/host.ts'
import { ModelMetrics } from './model_metrics.ts'
import { allOutputs, bindRows, bindTensors, chooseOutputs } from './signature.ts'

export interface ModelDeps {
  readonly clock: Clock
  readonly registry: Registry
  readonly log: Log
}

export class Model {
  readonly description: ModelDescription
  /** What answers say of who made them. */
  readonly identity: { readonly name: string; readonly version: string }
  readonly #host: ModelHost | null
  readonly #clock: Clock
  readonly #log: Log
  readonly metrics: ModelMetrics
  /** What a request gets that names no outputs; null: some cannot be sent. */
  readonly #outputs: readonly string[] | null

  /** @param host null when the model failed to load */
  constructor(description: ModelDescription, host: ModelHost | null, { clock, registry, log }: ModelDeps) {
    this.description = description
    const { name, version } = description
    this.identity = { name, version }
    this.#host = host
    this.#outputs = description.signature === null ? null : allOutputs(description.signature)
    this.#clock = clock
    this.#log = log
    this.metrics = new ModelMetrics(registry, { model: name, version })
  }

  /** False for a model that did not load, and for a while when the inference thread is replaced. */
  get ready(): boolean {
    return this.#host !== null && this.#host.ready
  }

  /** Whether it loaded at all. */
  get loaded(): boolean {
    return this.#host !== null
  }

  /** @param named true: columns are features by name and are converted; false: tensors that must be what the model takes @throws WeirError */
  async run(request: Columns, named: boolean, leg: Leg): Promise<Columns> {
    const { signature, features } = this.description
    const host = this.#host
    if (host === null || signature === null) throw new WeirError('MODEL_NOT_READY', `${this.#title} is not ready`)
    // No rows: nothing to compute and, as rows, not even column names to check.
    if (named && rowCount(request) === 0) return { columns: [], model: this.identity }
    const outputs = request.outputs === undefined && this.#outputs !== null ? this.#outputs : chooseOutputs(request, signature)
    const inputs = named ? bindRows(request, signature, features) : bindTensors(request.raw === undefined ? request : rawColumns(request.raw, signature.inputs), signature)
    try {
      const run = await host.run(inputs, outputs, leg)
      this.metrics.ran(run, inputs[0]?.shape[0] ?? 1)
      return { columns: classifyOutputs(run.columns, request, (name) => signature.outputs.find((output) => output.name === name)?.classes), model: this.identity }
    } catch (error) {
      throw this.#failure(error, inputs)
    }
  }

  /** Monotonic milliseconds. */
  now(): number {
    return this.#clock.now()
  }

  async close(): Promise<void> {
    await this.#host?.close()
  }

  get #title(): string {
    const { name, version } = this.identity
    return version === '' ? `model "${name}"` : `model "${name}" version ${version}`
  }

  #failure(error: unknown, inputs: readonly Column[]): WeirError {
    if (error instanceof WeirError) return error
    // The library's words hold paths and source lines: they are for the log.
    this.#log.warn('a model failed', { ...this.identity, error: error instanceof Error ? error.message : String(error) })
    const given = inputs.map(({ name, dtype, shape }) => `"${name}" ${dtype} ${shapeText(shape)}`).join(', ')
    return new WeirError('MODEL_FAILED', `${this.#title} failed on this input (${given}): check its values`)
  }
}
