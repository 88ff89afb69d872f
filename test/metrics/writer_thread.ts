/** A thread that posts its view at once and then counts. */
import { parentPort, workerData } from 'node:worker_threads'
import { Registry } from '../../gateway/metrics.ts'

const { thread, rounds } = workerData as { thread: number; rounds: number }
const registry = new Registry()
const { hits_total, open, seconds } = registry.handles({
  hits_total: { type: 'counter', help: 'Hits.', labels: { kind: ['a', 'b'], route: 'config' } },
  open: { type: 'gauge', help: 'Open.' },
  seconds: { type: 'histogram', help: 'Time, seconds.', labels: { route: 'config' }, buckets: [0.1, 1, 10] },
})
const [a, b, time, gauge] = [hits_total({ kind: 'a', route: 'r' }), hits_total({ kind: 'b', route: 'r' }), seconds({ route: 'r' }), open()]
parentPort!.postMessage(registry.view())
for (let i = 0; i < rounds; i++) {
  a.add()
  b.add(thread)
  time.observe(i % 20)
  gauge.set(i)
}
gauge.set(thread)
