/** Inference threads and one data thread's way to them, over graphs that a test makes itself. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BatchingConfig, InferenceConfig } from '../../config/config.ts'
import { systemClock } from '../../gateway/clock.ts'
import { type Backend, Leg } from '../../gateway/exchange.ts'
import { InferenceClient } from '../../gateway/models/inference/client.ts'
import type { ModelHost, Run } from '../../gateway/models/inference/host.ts'
import type { FromInference } from '../../gateway/models/inference/messages.ts'
import { InferencePool } from '../../gateway/models/inference/pool.ts'
import type { Column } from '../../gateway/payload/columns.ts'
import { memoryLog, temporary } from './setup.ts'

const nobody: Backend = { name: 'nobody', kind: 'onnx', send: () => Promise.reject(new Error('unused')) }

export interface Floor {
  readonly pool: InferencePool
  readonly client: InferenceClient
  readonly log: ReturnType<typeof memoryLog>
  /** Models that were given up: id and reason. */
  readonly unavailable: [number, string][]
  /** Loads on the threads. @param graph bytes of a model, or its file */
  load(graph: Buffer | string, batching?: BatchingConfig | null, placement?: 'auto' | 'thread'): Promise<{ id: number; outcome: FromInference; host: ModelHost }>
  close(): Promise<void>
}

/** @param inference one thread unless it says more */
export function floor(inference: Partial<InferenceConfig> = {}, entry?: URL): Floor {
  const folder = temporary()
  const log = memoryLog()
  const unavailable: [number, string][] = []
  const config: InferenceConfig = { threads: 1, intra_op_threads: 1, queue: 4096, ...inference }
  const pool = new InferencePool({ log, clock: systemClock, inference: config, unavailable: (id, reason) => void unavailable.push([id, reason]), ...(entry !== undefined && { entry }) })
  const client = new InferenceClient(pool.connect(), { clock: systemClock, queue: config.queue })
  let ids = 0
  return {
    pool, client, log, unavailable,
    async load(graph, batching = null, placement = 'thread') {
      const id = ids++
      const file = typeof graph === 'string' ? graph : join(folder.path, `${id}.onnx`)
      if (typeof graph !== 'string') writeFileSync(file, graph)
      const outcome = await pool.load({ id, file, placement, batching })
      if (pool.needed) await client.connected()
      return { id, outcome, host: client.host({ id }) }
    },
    async close() {
      client.close()
      await pool.close()
      folder.remove()
    },
  }
}

/** Float rows as the input `x`. */
export function rowsOf(width: number, values: readonly number[], name = 'x'): Column {
  return { name, dtype: 'FP32', shape: [values.length / width, width], data: Float32Array.from(values) }
}

/** @param outputs `y` */
export function run(host: ModelHost, inputs: readonly Column[], leg = new Leg(nobody), outputs: readonly string[] = ['y']): Promise<Run> {
  return host.run(inputs, outputs, leg)
}

export function newLeg(): Leg {
  return new Leg(nobody)
}
