/** Tiny ONNX graphs made by the tests that run them. ONNX Runtime is the judge of what is written here. */
import type { Data, Dtype } from '../../gateway/payload/columns.ts'
import { field, integer } from '../../gateway/models/onnx/protobuf.ts'
import { ATTRIBUTE, ATTRIBUTE_TYPE, DIMENSION, ELEMENT, ENTRY, GRAPH, MODEL, NODE, OPSET, SHAPE, TENSOR, TENSOR_TYPE, TYPE, VALUE } from '../../gateway/models/onnx/schema.ts'

/** A number, or the symbol of a variable dimension ('' has no name). */
export type Dim = number | string

export interface Value {
  readonly name: string
  readonly type: Dtype
  /** null: not declared. */
  readonly shape: readonly Dim[] | null
}

/** In the types of the attribute: bigint and bigint[] are INT and INTS, number and number[] FLOAT and FLOATS, a Buffer is a graph. */
export type Attribute = Buffer | bigint | number | string | readonly bigint[] | readonly number[] | readonly string[] | Initializer

export interface Node {
  readonly op: string
  readonly domain?: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export interface Initializer {
  readonly name: string
  readonly type: Dtype
  readonly shape: readonly number[]
  /** Absent: in a file, see `external`. */
  readonly data?: Data
  readonly external?: Readonly<Record<string, string>>
}

export interface Graph {
  /** A `Buffer` is a ValueInfoProto as it stands (`maps`, `sequence`). */
  readonly inputs: readonly (Value | Buffer)[]
  readonly outputs: readonly (Value | Buffer)[]
  readonly nodes: readonly Node[]
  /** Types of what lies between, as ValueInfoProto. */
  readonly between?: readonly Buffer[]
  readonly initializers?: readonly Initializer[]
  /** Domain and version, in order; the default is `['', 17]` alone. */
  readonly opsets?: readonly (readonly [domain: string, version: number])[]
}

/** A model file. */
export function graph({ opsets = [['', 17]], ...body }: Graph): Buffer {
  return Buffer.concat([
    integer(MODEL.irVersion, 8),
    field(MODEL.graph, graphBody(body)),
    ...opsets.map(([domain, version]) => field(MODEL.opset, [field(OPSET.domain, domain), integer(OPSET.version, version)])),
  ])
}

/** A GraphProto: an attribute of If, Loop and Scan. */
export function graphBody({ inputs, outputs, nodes, between = [], initializers = [] }: Omit<Graph, 'opsets'>): Buffer {
  return Buffer.concat([
    ...nodes.map((one) => field(GRAPH.node, node(one))),
    field(GRAPH.name, 'test'),
    ...initializers.map((one) => field(GRAPH.initializer, tensor(one))),
    ...inputs.map((one) => field(GRAPH.input, Buffer.isBuffer(one) ? one : value(one))),
    ...between.map((one) => field(GRAPH.valueInfo, one)),
    ...outputs.map((one) => field(GRAPH.output, Buffer.isBuffer(one) ? one : value(one))),
  ])
}

/** `y` = `x`, both of this type and shape. */
export function identity(type: Dtype, shape: readonly Dim[]): Buffer {
  return graph({ inputs: [{ name: 'x', type, shape }], outputs: [{ name: 'y', type, shape }], nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }] })
}

/** `y` = `a` + `b`. */
export function add(type: Dtype, shape: readonly Dim[]): Buffer {
  const inputs = ['a', 'b'].map((name) => ({ name, type, shape }))
  return graph({ inputs, outputs: [{ name: 'y', type, shape }], nodes: [{ op: 'Add', inputs: ['a', 'b'], outputs: ['y'] }] })
}

/** `y` = `x` multiplied `times` times by a matrix of ones / `width`: as slow as wanted. Rows are independent; every element of a row becomes its mean. */
export function slow(width: number, times: number): Buffer {
  const names = Array.from({ length: times + 1 }, (_, i) => (i === 0 ? 'x' : i === times ? 'y' : `h${i}`))
  const [input, output] = ['x', 'y'].map((name) => ({ name, type: 'FP32' as const, shape: ['N', width] }))
  return graph({
    inputs: [input!], outputs: [output!],
    nodes: names.slice(1).map((name, i) => ({ op: 'MatMul', inputs: [names[i]!, 'w'], outputs: [name] })),
    initializers: [{ name: 'w', type: 'FP32', shape: [width, width], data: new Float32Array(width * width).fill(1 / width) }],
  })
}

export function value({ name, type, shape }: Value): Buffer {
  const dims = shape?.map((dim) => field(SHAPE.dimension, typeof dim === 'number' ? integer(DIMENSION.value, dim) : dim === '' ? '' : field(DIMENSION.symbol, dim)))
  const tensorType = [integer(TENSOR_TYPE.element, ELEMENT[type]), ...(dims === undefined ? [] : [field(TENSOR_TYPE.shape, dims)])]
  return Buffer.concat([field(VALUE.name, name), field(VALUE.type, field(TYPE.tensor, tensorType))])
}

/** Field numbers of the TypeProto of what is no tensor. */
const [SEQUENCE, MAP, ELEM_TYPE, KEY_TYPE, VALUE_TYPE] = [4, 5, 1, 1, 2]

/** An output as ZipMap declares it: a sequence of maps from a class to its probability. */
export function maps(name: string, key: 'INT64' | 'BYTES'): Buffer {
  return sequenceOf(name, field(MAP, [integer(KEY_TYPE, ELEMENT[key]), field(VALUE_TYPE, shapeless('FP32'))]))
}

/** A sequence of tensors. */
export function sequence(name: string, type: Dtype): Buffer {
  return sequenceOf(name, shapeless(type))
}

function sequenceOf(name: string, type: Buffer): Buffer {
  return Buffer.concat([field(VALUE.name, name), field(VALUE.type, field(SEQUENCE, field(ELEM_TYPE, type)))])
}

function shapeless(type: Dtype): Buffer {
  return field(TYPE.tensor, [integer(TENSOR_TYPE.element, ELEMENT[type])])
}

function node({ op, domain = '', inputs, outputs, attributes = {} }: Node): Buffer[] {
  return [
    ...inputs.map((name) => field(NODE.input, name)),
    ...outputs.map((name) => field(NODE.output, name)),
    field(NODE.op, op),
    ...Object.entries(attributes).map(([name, one]) => field(NODE.attribute, [field(ATTRIBUTE.name, name), ...attribute(one)])),
    ...(domain === '' ? [] : [field(NODE.domain, domain)]),
  ]
}

function attribute(one: Attribute): Buffer[] {
  const type = (name: keyof typeof ATTRIBUTE_TYPE): Buffer => integer(ATTRIBUTE.type, ATTRIBUTE_TYPE[name])
  if (typeof one === 'bigint') return [integer(ATTRIBUTE.int, one), type('int')]
  if (typeof one === 'number') return [float(ATTRIBUTE.float, one), type('float')]
  if (typeof one === 'string') return [field(ATTRIBUTE.string, one), type('string')]
  if (Buffer.isBuffer(one)) return [field(ATTRIBUTE.graph, one), type('graph')]
  if (!isList(one)) return [field(ATTRIBUTE.tensor, tensor(one)), type('tensor')]
  if (one.every((each) => typeof each === 'bigint')) return [...one.map((each) => integer(ATTRIBUTE.ints, each)), type('ints')]
  if (one.every((each) => typeof each === 'number')) return [...one.map((each) => float(ATTRIBUTE.floats, each)), type('floats')]
  return [...one.map((each) => field(ATTRIBUTE.strings, String(each))), type('strings')]
}

function isList(one: Attribute): one is readonly bigint[] | readonly number[] | readonly string[] {
  return Array.isArray(one)
}

/** Fixed 32 bits. */
function float(number: number, one: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUInt8(number * 8 + 5)
  bytes.writeFloatLE(one, 1)
  return bytes
}

function tensor({ name, type, shape, data, external }: Initializer): Buffer[] {
  const parts = [...shape.map((size) => integer(TENSOR.dims, size)), integer(TENSOR.type, ELEMENT[type]), field(TENSOR.name, name)]
  if (Array.isArray(data)) parts.push(...data.map((each) => field(TENSOR.strings, each)))
  else if (data !== undefined) parts.push(field(TENSOR.raw, Buffer.from(data.buffer, data.byteOffset, data.byteLength)))
  for (const [key, text] of Object.entries(external ?? {})) parts.push(field(TENSOR.external, [field(ENTRY.key, key), field(ENTRY.value, text)]))
  if (external !== undefined) parts.push(integer(TENSOR.location, 1))
  return parts
}
