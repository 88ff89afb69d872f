/** `node stdout_lines.ts THREADS LINES`: every thread writes that many lines to stdout through a line writer, then the process ends by itself. */
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { systemClock } from '../../gateway/clock.ts'
import { stdoutDestination } from '../../gateway/telemetry/destination.ts'
import { lineWriter } from '../../gateway/telemetry/writer.ts'

const [threads, lines] = process.argv.slice(2).map(Number) as [number, number]

if (isMainThread) for (let thread = 0; thread < threads; thread++) new Worker(new URL(import.meta.url), { workerData: thread, argv: process.argv.slice(2) })
else {
  const writer = lineWriter({ destination: stdoutDestination(), clock: systemClock, dropped: { add: () => undefined } })
  for (let i = 0; i < lines; i++) {
    writer.write(`${workerData as number} ${i} ${'x'.repeat(300)}`)
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await writer.close()
}
