/** Models that are slow on purpose: `slow` is what micro-batching is for, `heavy` what must not be felt by its neighbours. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { field, integer } from '../gateway/models/onnx/protobuf.ts'
import { DIMENSION, ELEMENT, GRAPH, MODEL, NODE, OPSET, SHAPE, TENSOR, TENSOR_TYPE, TYPE, VALUE } from '../gateway/models/onnx/schema.ts'

/** Widths of the layers. `slow`: 27 MB of weights that a run of one row reads once, about a millisecond; `heavy`: the same 4 MB 600 times, about 30 ms. */
const LAYERS = { slow: [256, 2048, 2048, 1024, 1], heavy: [64, ...new Array<number>(600).fill(1024), 1] } as const

export type Slow = keyof typeof LAYERS

/** How many numbers a row has. */
export const WIDTH: Readonly<Record<Slow, number>> = { slow: LAYERS.slow[0], heavy: LAYERS.heavy[0]! }

export interface SlowModel {
  readonly file: string
  /** For the report. */
  readonly told: string
}

/** The model of WEIR_TEST_DATA if it is there (an MLP with ReLU, 13 convolutions), else one of like cost, written to this folder. */
export function slowModel(name: Slow, folder: string): SlowModel {
  const data = process.env['WEIR_TEST_DATA'] ?? ''
  const given = [data, join(data, 'models')].map((root) => join(root, name, '1/model.onnx')).find((file) => data !== '' && existsSync(file))
  if (given !== undefined) return { file: given, told: 'the model of the test data' }
  const file = join(folder, name, 'model.onnx')
  mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(file, products(LAYERS[name]))
  return { file, told: 'a chain of matrix products of like cost' }
}

/** `score` [N, last] = `features` [N, first] times one seeded matrix after another; those of equal shape are the same matrix. */
function products(widths: readonly number[]): Buffer {
  const steps = widths.slice(1).map((to, i) => ({ matrix: `w${widths[i]}x${to}`, shape: [widths[i]!, to] as const }))
  const between = (i: number) => (i === 0 ? 'features' : i === steps.length ? 'score' : `h${i}`)
  const matrices = new Map(steps.map(({ matrix, shape }) => [matrix, shape]))
  return Buffer.concat([
    integer(MODEL.irVersion, 8),
    field(MODEL.graph, [
      ...steps.map(({ matrix }, i) => field(GRAPH.node, [field(NODE.input, between(i)), field(NODE.input, matrix), field(NODE.output, between(i + 1)), field(NODE.op, 'MatMul')])),
      field(GRAPH.name, 'products'),
      ...[...matrices].map(([name, shape]) => field(GRAPH.initializer, tensor(name, shape))),
      field(GRAPH.input, matrix('features', widths[0]!)),
      field(GRAPH.output, matrix('score', widths.at(-1)!)),
    ]),
    field(MODEL.opset, [field(OPSET.domain, ''), integer(OPSET.version, 17)]),
  ])
}

function matrix(name: string, width: number): Buffer[] {
  const shape = [field(SHAPE.dimension, field(DIMENSION.symbol, 'N')), field(SHAPE.dimension, integer(DIMENSION.value, width))]
  return [field(VALUE.name, name), field(VALUE.type, field(TYPE.tensor, [integer(TENSOR_TYPE.element, ELEMENT.FP32), field(TENSOR_TYPE.shape, shape)]))]
}

/** Uniform numbers of variance 1 / rows, so that values neither vanish nor explode on the way. */
function tensor(name: string, [rows, columns]: readonly [number, number]): Buffer[] {
  const data = new Float32Array(rows * columns)
  const bound = Math.sqrt(3 / rows)
  let seed = 12345
  for (let i = 0; i < data.length; i++) {
    seed = (seed * 48271) % 2147483647
    data[i] = ((seed / 2147483647) * 2 - 1) * bound
  }
  return [integer(TENSOR.dims, rows), integer(TENSOR.dims, columns), integer(TENSOR.type, ELEMENT.FP32), field(TENSOR.name, name), field(TENSOR.raw, Buffer.from(data.buffer))]
}
