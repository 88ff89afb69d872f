/**
 * `node stdout_lines.ts THREADS LINES`: every thread writes that many lines to stdout through a line writer, between two lines
 * of the main thread by other means; then the process ends by itself.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { systemClock } from '../../gateway/clock.ts'
import { stdoutDestination } from '../../gateway/telemetry/destination.ts'
import { lineWriter } from '../../gateway/telemetry/writer.ts'

const [threads, lines] = process.argv.slice(2).map(Number) as [number, number]

if (isMainThread) {
  console.log('begin')
  const run = (thread: number) => new Promise((resolve) => new Worker(new URL(import.meta.url), { workerData: thread, argv: process.argv.slice(2) }).once('exit', resolve))
  await Promise.all(Array.from({ length: threads }, (_, thread) => run(thread)))
  if (threads > 1) console.log('end')
} else {
  const writer = lineWriter({ destination: stdoutDestination(), clock: systemClock, dropped: { add: () => undefined } })
  for (let i = 0; i < lines; i++) {
    writer.write(`${workerData as number} ${i} ${'x'.repeat(300)}`)
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await writer.close()
}
