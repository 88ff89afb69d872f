/** CPU of one `session.run` of `cancer` 1 with four rows, in µs: what is left of an inside request when HTTP and JSON cost nothing. */
import ort from 'onnxruntime-node'
import { requestBody } from './load.ts'
import { MODEL } from './peers.ts'

const WARM_UP = 2000
const RUNS = 20_000

const { data, shape } = (JSON.parse(requestBody()) as { inputs: [{ data: number[]; shape: number[] }] }).inputs[0]
const session = await ort.InferenceSession.create(MODEL, { intraOpNumThreads: 1, interOpNumThreads: 1 })
const feeds = { features: new ort.Tensor('float32', Float32Array.from(data), shape) }
for (let i = 0; i < WARM_UP; i++) await session.run(feeds)
const before = process.cpuUsage()
for (let i = 0; i < RUNS; i++) await session.run(feeds)
const { user, system } = process.cpuUsage(before)
console.log((user + system) / RUNS)
