/** One inference thread as the control thread owns it, from its start to its end. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { FromInference, InferenceData, Link, Report, ToInference } from './messages.ts'

type Load = Omit<Extract<ToInference, { type: 'load' }>, 'type'>

export interface WorkerOptions {
  readonly entry: URL
  readonly intra_op_threads: number
  /** What it threw at its end. */
  failed(error: unknown): void
  /** It ended by itself. @param blamed the model it was loading or running, or null */
  died(blamed: number | null): void
}

export class InferenceWorker {
  readonly #worker: Worker
  readonly #busy = new SharedArrayBuffer(4)
  readonly #loads = new Map<number, Promise<FromInference | null>>()
  readonly #loading = new Map<number, (outcome: FromInference | null) => void>()
  readonly #unloading = new Map<number, () => void>()
  #ended = false

  constructor({ entry, intra_op_threads, failed, died }: WorkerOptions) {
    this.#worker = new Worker(entry, { name: 'weir inference', workerData: { intra_op_threads, busy: this.#busy } satisfies InferenceData })
    this.#worker.on('message', (report: Report) => this.#reported(report))
    this.#worker.on('error', failed)
    this.#worker.on('exit', () => {
      const ended = this.#ended
      const blamed = this.#blamed()
      this.#end(blamed)
      if (!ended) died(blamed)
    })
  }

  /** Once for each model, however often it is asked for. That it ends the thread is an outcome too; null when something else did. */
  load(load: Load): Promise<FromInference | null> {
    const { id } = load
    const known = this.#loads.get(id)
    if (known !== undefined) return known
    if (this.#ended) return Promise.resolve(null)
    const outcome = new Promise<FromInference | null>((resolve) => this.#loading.set(id, resolve))
    this.#loads.set(id, outcome)
    this.#post({ ...load, type: 'load' })
    return outcome
  }

  /** Settles when the model has answered its requests and is gone, or the thread is. */
  unload(id: number): Promise<void> {
    if (this.#ended) return Promise.resolve()
    this.#loads.delete(id)
    return new Promise((resolve) => {
      this.#unloading.set(id, resolve)
      this.#post({ type: 'unload', id })
    })
  }

  /** Opens the way between a data thread and this one. */
  introduce(link: MessagePort, thread: number): void {
    const { port1, port2 } = new MessageChannel()
    this.#post({ type: 'connect', port: port2 }, [port2])
    link.postMessage({ type: 'thread', thread, port: port1 } satisfies Link, [port1])
  }

  async terminate(): Promise<void> {
    this.#end(null)
    await this.#worker.terminate()
  }

  #post(message: ToInference, transfer: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #reported(report: Report): void {
    if (report.type === 'loaded') this.#loaded(report.outcome)
    else {
      this.#unloading.get(report.id)?.()
      this.#unloading.delete(report.id)
    }
  }

  #loaded(outcome: FromInference): void {
    const { id } = outcome
    if ('error' in outcome || outcome.placement === 'inline') this.#loads.delete(id)
    this.#loading.get(id)?.(outcome)
    this.#loading.delete(id)
  }

  #end(blamed: number | null): void {
    this.#ended = true
    for (const [id, resolve] of this.#loading) resolve(id === blamed ? { id, error: 'loading it ended the inference thread', load_ms: 0 } : null)
    for (const resolve of this.#unloading.values()) resolve()
    this.#loading.clear()
    this.#unloading.clear()
  }

  #blamed(): number | null {
    const id = Atomics.load(new Int32Array(this.#busy), 0) - 1
    return id < 0 ? null : id
  }
}
