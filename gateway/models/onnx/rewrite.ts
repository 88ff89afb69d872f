/**
 * Graphs as converters make them, made into graphs that onnxruntime-node runs:
 * - a ZipMap (skl2onnx's and onnxmltools' default for classifiers) turns probabilities into a sequence of maps, which this
 *   binding cannot read. It becomes an Identity: the output keeps its name and is the matrix that went into the ZipMap.
 * - BFLOAT16 is a type this binding has no tensors of. Such inputs and outputs become FLOAT with a Cast behind or before
 *   them. Both directions are exact, since each bfloat16 is a float32; only the payload of a NaN is not kept.
 * All other bytes stay as they are.
 */
import { all, edit, type Field, field, fields, integer, integers, prefix, text } from './protobuf.ts'
import { ATTRIBUTE, ATTRIBUTE_TYPE, DIMENSION, ELEMENT, GRAPH, MODEL, NODE, SHAPE, TENSOR, TENSOR_TYPE, TYPE, VALUE } from './schema.ts'

export interface Prepared {
  readonly bytes: Buffer
  /** Names of the classes by output, where a ZipMap was taken out. */
  readonly classes: ReadonlyMap<string, readonly string[]>
  /** BF16 tensors: the name that callers know → the name of the FP32 tensor that stands for it. */
  readonly inputs: ReadonlyMap<string, string>
  readonly outputs: ReadonlyMap<string, string>
}

/** @param model a ModelProto @returns null when there is nothing to do @throws ProtobufError */
export function prepareGraph(model: Buffer): Prepared | null {
  const [graph, ...more] = all(model, MODEL.graph)
  if (graph === undefined || more.length > 0) return null
  const classes = zipMaps(graph)
  const [inputs, outputs] = [standIns(graph, GRAPH.input), standIns(graph, GRAPH.output)]
  if (classes.size + inputs.size + outputs.size === 0) return null
  const parts = [
    ...[...inputs].map(([name, standIn]) => cast(standIn, name, ELEMENT.BF16)),
    ...edit(graph, (one) => replaced(one, graph, classes, inputs, outputs)),
    ...[...outputs].map(([name, standIn]) => cast(name, standIn, ELEMENT.FP32)),
  ]
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const bytes = Buffer.concat(edit(model, ({ number }) => (number === MODEL.graph ? [prefix(MODEL.graph, length), ...parts] : undefined)))
  return { bytes, classes, inputs, outputs }
}

type Names = ReadonlyMap<string, string>

function replaced({ number, bytes }: Field, graph: Buffer, classes: Prepared['classes'], inputs: Names, outputs: Names): Buffer[] | undefined {
  switch (number) {
    case GRAPH.node:
      return isZipMap(bytes) && classes.has(text(bytes, NODE.output)) ? [field(number, identity(bytes))] : undefined
    case GRAPH.input: {
      const standIn = inputs.get(text(bytes, VALUE.name))
      return standIn === undefined ? undefined : [field(number, asFloat(bytes, standIn))]
    }
    case GRAPH.output: {
      const name = text(bytes, VALUE.name)
      const labels = classes.get(name)
      if (labels !== undefined) return [field(number, matrix(name, graph, labels.length))]
      const standIn = outputs.get(name)
      return standIn === undefined ? undefined : [field(number, asFloat(bytes, standIn))]
    }
    default:
      return undefined
  }
}

// ---------------------------------------------------------------- ZipMap

/** Class names by the output that a ZipMap makes and nobody in the graph reads. */
function zipMaps(graph: Buffer): Map<string, string[]> {
  const wanted = new Set(all(graph, GRAPH.output).filter((value) => elementOf(value) === null).map((value) => text(value, VALUE.name)))
  const found = new Map<string, string[]>()
  if (wanted.size === 0) return found
  for (const node of all(graph, GRAPH.node)) if (isZipMap(node) && wanted.has(text(node, NODE.output))) found.set(text(node, NODE.output), labelsOf(node))
  if (found.size > 0) for (const name of read(graph)) found.delete(name)
  return found
}

function isZipMap(node: Buffer): boolean {
  return text(node, NODE.op) === 'ZipMap' && text(node, NODE.domain) === 'ai.onnx.ml'
}

function labelsOf(node: Buffer): string[] {
  for (const attribute of all(node, NODE.attribute)) {
    const name = text(attribute, ATTRIBUTE.name)
    if (name === 'classlabels_int64s') return integers(attribute, ATTRIBUTE.ints).map(String)
    if (name === 'classlabels_strings') return all(attribute, ATTRIBUTE.strings).map(String)
  }
  return []
}

/** Names that nodes read, those in the bodies of If, Loop and Scan too (they see the outer graph). */
function* read(graph: Buffer): Generator<string, void, undefined> {
  for (const node of all(graph, GRAPH.node)) {
    for (const name of all(node, NODE.input)) yield name.toString()
    if (!BODIES.has(text(node, NODE.op))) continue
    for (const attribute of all(node, NODE.attribute)) for (const body of all(attribute, ATTRIBUTE.graph)) yield* read(body)
  }
}

const BODIES: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan', 'SequenceMap'])

/** From the ZipMap's input to its output; keeps the node's name. */
function identity(zipMap: Buffer): Buffer[] {
  return edit(zipMap, ({ number }) => {
    if (number === NODE.op) return [field(NODE.op, 'Identity')]
    return number === NODE.attribute || number === NODE.domain ? [] : undefined
  })
}

/** A FLOAT output of rows × classes. The rows are those of the first input, if their number is free. */
function matrix(name: string, graph: Buffer, classes: number): Buffer[] {
  const columns = classes === 0 ? '' : integer(DIMENSION.value, classes)
  const shape = [field(SHAPE.dimension, rowsOf(graph)), field(SHAPE.dimension, columns)]
  return [field(VALUE.name, name), field(VALUE.type, field(TYPE.tensor, [integer(TENSOR_TYPE.element, ELEMENT.FP32), field(TENSOR_TYPE.shape, shape)]))]
}

/** A variable dimension: of the first input, else without a name. */
function rowsOf(graph: Buffer): Buffer {
  const [input] = all(graph, GRAPH.input)
  const [dimension] = input === undefined ? [] : all(Buffer.concat(all(tensorOf(input) ?? Buffer.alloc(0), TENSOR_TYPE.shape)), SHAPE.dimension)
  return dimension === undefined || integers(dimension, DIMENSION.value).length > 0 ? Buffer.alloc(0) : dimension
}

// ---------------------------------------------------------------- BFLOAT16

/** Fresh names for the inputs or outputs that are BFLOAT16. */
function standIns(graph: Buffer, which: number): Map<string, string> {
  const names = all(graph, which).filter((value) => elementOf(value) === ELEMENT.BF16).map((value) => text(value, VALUE.name))
  const found = new Map<string, string>()
  if (names.length === 0) return found
  const taken = new Set(defined(graph))
  // One with a default is no input for the library either: callers never see it.
  const defaults = new Set(all(graph, GRAPH.initializer).map((tensor) => text(tensor, TENSOR.name)))
  for (const name of names) {
    if (which === GRAPH.input && defaults.has(name)) continue
    let standIn = `${name}:${which === GRAPH.input ? 'in' : 'out'}:float`
    while (taken.has(standIn)) standIn += '_'
    taken.add(standIn)
    found.set(name, standIn)
  }
  return found
}

/** Every name that the graph gives to a tensor. */
function* defined(graph: Buffer): Generator<string, void, undefined> {
  for (const { number, bytes } of fields(graph)) {
    if (number === GRAPH.node) for (const name of all(bytes, NODE.output)) yield name.toString()
    else if (number === GRAPH.initializer) yield text(bytes, TENSOR.name)
    else if (number === GRAPH.input || number === GRAPH.output) yield text(bytes, VALUE.name)
  }
}

function cast(from: string, to: string, element: number): Buffer {
  const attribute = [field(ATTRIBUTE.name, 'to'), integer(ATTRIBUTE.int, element), integer(ATTRIBUTE.type, ATTRIBUTE_TYPE.int)]
  return field(GRAPH.node, [field(NODE.input, from), field(NODE.output, to), field(NODE.op, 'Cast'), field(NODE.attribute, attribute)])
}

/** The same value as FLOAT under another name. */
function asFloat(value: Buffer, name: string): Buffer[] {
  const tensorType = (bytes: Buffer): Buffer[] => edit(bytes, ({ number }) => (number === TENSOR_TYPE.element ? [integer(number, ELEMENT.FP32)] : undefined))
  const type = (bytes: Buffer): Buffer[] => edit(bytes, (one) => (one.number === TYPE.tensor ? [field(one.number, tensorType(one.bytes))] : undefined))
  return edit(value, ({ number, bytes }) => {
    if (number === VALUE.name) return [field(number, name)]
    return number === VALUE.type ? [field(number, type(bytes))] : undefined
  })
}

// ---------------------------------------------------------------- types

/** TypeProto.Tensor of a ValueInfoProto; null when it is no tensor. */
function tensorOf(value: Buffer): Buffer | null {
  return all(Buffer.concat(all(value, VALUE.type)), TYPE.tensor).at(-1) ?? null
}

/** TensorProto.DataType; null when it is no tensor. */
function elementOf(value: Buffer): number | null {
  const tensor = tensorOf(value)
  return tensor === null ? null : Number(integers(tensor, TENSOR_TYPE.element).at(-1) ?? 0n)
}
