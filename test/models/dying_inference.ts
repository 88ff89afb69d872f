/** An inference thread that ends at the first model it is to load. */
import { parentPort, workerData } from 'node:worker_threads'
import type { InferenceData, ToInference } from '../../gateway/models/inference/messages.ts'

const { busy } = workerData as InferenceData

parentPort!.on('message', (message: ToInference) => {
  if (message.type !== 'load') return
  Atomics.store(new Int32Array(busy), 0, message.id + 1)
  process.exit(1)
})
