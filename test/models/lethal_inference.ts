/** The inference thread as it is, but a row that begins with 666 ends it in the middle of its run. */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../gateway/clock.ts'
import type { InferenceData, Report, ToInference } from '../../gateway/models/inference/messages.ts'
import { Runner } from '../../gateway/models/inference/runner.ts'
import { openSession, type Session } from '../../gateway/models/onnx/session.ts'

async function open(file: string): Promise<Session> {
  const session = await openSession(file, systemClock)
  return {
    signature: session.signature,
    close: () => session.close(),
    run(inputs, outputs) {
      if (inputs.some(({ data }) => (data as Float32Array).includes(666))) process.exit(1)
      return session.run(inputs, outputs)
    },
  }
}

const { busy } = workerData as InferenceData
const runner = new Runner({ clock: systemClock, open, busy: new Int32Array(busy) })
const report = (message: Report): void => parentPort!.postMessage(message)

parentPort!.on('message', (message: ToInference) => {
  if (message.type === 'connect') runner.connect(message.port)
  else if (message.type === 'unload') void runner.unload(message.id).then(() => report({ type: 'unloaded', id: message.id }))
  else void runner.load(message).then((outcome) => report({ type: 'loaded', outcome }))
})
