/** An inference thread: runs the models that are too slow for an event loop, and measures every model at load. */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import type { InferenceData, Report, ToInference } from '../models/inference/messages.ts'
import { Runner } from '../models/inference/runner.ts'
import { openSession } from '../models/onnx/session.ts'

const { intra_op_threads: intraOpThreads, busy } = workerData as InferenceData
const runner = new Runner({ clock: systemClock, open: (file) => openSession(file, systemClock, { intraOpThreads }), busy: new Int32Array(busy) })
const control = parentPort!
const report = (message: Report): void => control.postMessage(message)

control.on('message', (message: ToInference) => {
  if (message.type === 'connect') runner.connect(message.port)
  else if (message.type === 'unload') void runner.unload(message.id).then(() => report({ type: 'unloaded', id: message.id }))
  else void runner.load(message).then((outcome) => report({ type: 'loaded', outcome }))
})
