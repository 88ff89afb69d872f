/**
 * Memory of `drift` on one thread: what the plugin asks for, and what the process has more after a season of traffic has gone through all of it.
 *
 *   node --expose-gc --max-semi-space-size=2 bench/monitor_memory.ts PROFILE WIDTH
 */
import { type Declarations, type Plugin, plugin, type TSchema, Type } from '../gateway/plugin.ts'
import { rows } from '../gateway/payload/rows.ts'
import { readProfile } from '../gateway/profile/check.ts'
import drift from '../plugins/drift.ts'
import { FakeClock } from '../test/fake_clock.ts'
import { type Bench, pluginTest } from '../test/plugin_test.ts'
import { rowsBody } from './columns.ts'

const WINDOW = '5m'
/** Of 12 stretches each. */
const STRETCH_MS = 25_000
/** More than a season, so that every cell has been written to. */
const STRETCHES = 3600
const DAY = Date.UTC(2026, 0, 1)

const [file, width] = process.argv.slice(2)
const profile = readProfile(file!)
const collect = globalThis.gc!
const decoding = plugin({ name: 'decoding', summary: '', stability: 'stable', onError: 'open', config: Type.Object({}), example: {}, build: () => ({ requestBody: (x) => void x.input }) })
/** What is alive, and what the kernel counts: an allocator gives little back. */
const used = () => {
  collect()
  collect()
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
  return { resident: rss, held: heapUsed + arrayBuffers }
}
const bodies = Array.from({ length: 16 }, (_, i) => rowsBody(i + 1, 4, Number(width)))
let shared = 0
const share = (_key: string, bytes: number) => {
  shared += bytes
  return new SharedArrayBuffer(bytes)
}


/** The traffic, seen by this plugin. */
async function season<C extends TSchema, M extends Declarations>(which: Plugin<C, M>, options: object): Promise<Bench> {
  const clock = new FakeClock(DAY)
  const bench = await pluginTest(which, options, { format: rows, profile, share, clock, maxBodyBytes: 1 << 24 })
  for (let i = 0; i < STRETCHES; i++) {
    await bench.run({ headers: ['content-type', 'application/json'], body: bodies[i % bodies.length]! })
    clock.advance(STRETCH_MS)
  }
  return bench
}

// What decoding and the pipeline take is there before.
await (await season(decoding, {})).close()
const before = used()
const bench = await season(drift, { profile: file, window: WINDOW })
const after = used()
if (bench.metric('weir_drift_rows_total') !== 4 * STRETCHES) throw new Error('not all rows were counted')
console.log(JSON.stringify({ features: Object.keys(profile.features).length, shared_bytes: shared, held_bytes: after.held - before.held, resident_bytes: after.resident - before.resident }))
await bench.close()
