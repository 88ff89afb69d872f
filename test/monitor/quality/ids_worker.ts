/** One of several threads that label the same ids in shared memory; tells how many labels it counted. */
import { parentPort, workerData } from 'node:worker_threads'
import { idBytes, WaitingIds } from '../../../gateway/monitor/quality/ids.ts'

interface Work {
  readonly memory: SharedArrayBuffer
  readonly ids: number
  readonly gate: SharedArrayBuffer
  readonly thread: number
  readonly threads: number
  /** Labels every id (`label`), or inserts its share first (`both`), or brings every id with its label (`enter`). */
  readonly role: 'label' | 'both' | 'enter'
  readonly count: number
}

const { memory, ids, gate, thread, threads, role, count } = workerData as Work
if (memory.byteLength !== idBytes(ids, 1)) throw new Error('another layout')
const table = new WaitingIds(memory, ids, 1, 1e9)
const started = new Int32Array(gate)
Atomics.add(started, 0, 1)
Atomics.notify(started, 0)
while (Atomics.load(started, 0) < threads) Atomics.wait(started, 0, Atomics.load(started, 0), 10)

let [fresh, wrong, kept] = [0, 0, 0]
if (role === 'both') {
  for (let i = thread; i < count; i += threads) if (table.insert(`id-${i}`, 1000, i % 5, [i], 0, 1000) === 'kept') kept++
}
if (role === 'enter') {
  for (let i = 0; i < count; i++) if (table.enter(`id-${i}`, 1000, 0, [i], 0, 1000, 1) === 'fresh') fresh++
}
// Until nothing is new for a whole round, since ids of other threads come while this one looks.
for (let round = 0, quiet = role === 'enter' ? 3 : 0; quiet < 3 && round < 1000; round++) {
  let news = 0
  for (let i = 0; i < count; i++) {
    const found = table.claim(`id-${i}`, 1000, false)
    if (found !== 'fresh') continue
    if (table.score(0) !== i || table.group !== i % 5) wrong++
    table.settle(1)
    news++
  }
  fresh += news
  quiet = news === 0 ? quiet + 1 : 0
}
parentPort!.postMessage({ fresh, wrong, kept })
