/** Inference threads that are not there: a file loads unless it says `bad`. Counts what is loaded and what was given back. */
import { existsSync, readFileSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import type { Pool } from '../../gateway/models/repository/library.ts'
import { Library } from '../../gateway/models/repository/library.ts'
import type { FromInference, ModelLoad } from '../../gateway/models/inference/messages.ts'
import type { FakeClock } from '../fake_clock.ts'

const spec = (name: string) => ({ name, dtype: 'FP32' as const, shape: [-1, 3], rows: '' })

export class FakePool implements Pool {
  readonly restarts = 0
  /** Files in the order of their loads. */
  readonly loads: string[] = []
  /** Ids that are loaded. */
  readonly open = new Set<number>()
  /** Of a load; a test may change the file meanwhile. */
  during: () => Promise<void> = async () => undefined
  unavailable: (id: number, reason: string) => void = () => undefined

  async load({ id, file, placement }: ModelLoad): Promise<FromInference> {
    this.loads.push(file)
    const text = existsSync(file) ? readFileSync(file, 'utf8') : 'bad'
    await this.during()
    if (text.startsWith('bad')) return { id, error: `Load model from ${file} failed:no good`, load_ms: 1 }
    this.open.add(id)
    return { id, signature: { inputs: [spec('x')], outputs: [spec('y')] }, placement: placement === 'auto' ? 'inline' : placement, why: 'made up', measured: { run_us: 10, independent_rows: true }, load_ms: 2 }
  }

  async unload(id: number): Promise<void> {
    if (!this.open.delete(id)) throw new Error(`${id} is not loaded`)
  }

  connect(): MessagePort {
    throw new Error('nobody runs anything here')
  }

  /** How often it was told to. */
  rests = 0
  async rest(): Promise<void> {
    this.rests++
  }
  async close(): Promise<void> {}
}

export function fakeLibrary(clock: FakeClock): { library: Library; pool: FakePool } {
  const pool = new FakePool()
  const library = new Library((unavailable) => {
    pool.unavailable = unavailable
    return pool
  }, clock)
  return { library, pool }
}
