/** CPU of one run of `cancer` 1 with four rows as weir's inline models run, in µs: what is left of an inside request when HTTP and JSON cost nothing. */
import { systemClock } from '../gateway/clock.ts'
import { openSession } from '../gateway/models/onnx/session.ts'
import { requestBody } from './load.ts'
import { MODEL } from './peers.ts'

const WARM_UP = 2000
const RUNS = 20_000

const { data, shape } = (JSON.parse(requestBody()) as { inputs: [{ data: number[]; shape: number[] }] }).inputs[0]
const session = await openSession(MODEL, systemClock)
const outputs = session.signature.outputs.map(({ name }) => name)
const inputs = [{ name: 'features', dtype: 'FP32', shape, data: Float32Array.from(data) }] as const
for (let i = 0; i < WARM_UP; i++) session.run(inputs, outputs)
const before = process.cpuUsage()
for (let i = 0; i < RUNS; i++) session.run(inputs, outputs)
const { user, system } = process.cpuUsage(before)
console.log((user + system) / RUNS)
