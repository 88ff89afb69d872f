/** A model file without its weights: what there is to know of a graph before it is loaded, read in kilobytes of gigabytes. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { clip } from '../../payload/json.ts'
import { all, field, fields, integers, MAX_HEAD, ProtobufError, readHead, readOr, text } from './protobuf.ts'
import { ATTRIBUTE, ENTRY, GRAPH, MODEL, NODE, TENSOR } from './schema.ts'

/** A protocol buffer cannot be longer, and neither can what Node reads at once. */
export const MAX_FILE_BYTES = 2 ** 31
/** Fields above this are weights: they are left out. */
const KEPT = 1 << 18
/** More than this without weights is no graph that anybody trained: it is left to the library. */
const MAX_OUTLINE = 1 << 26
/** What is read at once, and more than any field that is kept. */
const PART = KEPT + MAX_HEAD
const WINDOW = 2 * PART
/** Of subgraphs in subgraphs. */
const MAX_DEPTH = 8

/** What lies within fields that are long: the numbers of those to look into. */
interface Level {
  readonly [field: number]: Level
}
const LEVELS: Level = { [MODEL.graph]: { [GRAPH.node]: {}, [GRAPH.initializer]: {} } }

/**
 * The model as a message without fields that are longer than 256 KiB, which only weights are.
 * @returns null when it is no file, no protocol buffer or endless: ONNX Runtime has the words for that
 * @throws an Error with a reason for the operator when it is too large
 */
export function outline(file: string): Buffer | null {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    return null
  }
  try {
    const { size } = fstatSync(descriptor)
    if (size >= MAX_FILE_BYTES) throw new Error(`the file has ${size} bytes, a model file must be smaller than 2 GiB; keep its weights as external data`)
    return shrink(new FileWindow(descriptor, size), 0, size, LEVELS)
  } catch (error) {
    if (error instanceof ProtobufError || (error instanceof Error && 'syscall' in error)) return null
    throw error
  } finally {
    closeSync(descriptor)
  }
}

function shrink(file: FileWindow, from: number, to: number, level: Level): Buffer {
  const parts: Buffer[] = []
  // Fields that stay, one behind the other, are one part.
  let start = from
  for (let at = from; at < to; ) {
    const cursor = { at: 0 }
    const head = readHead(file.bytes(at, Math.min(at + MAX_HEAD, to)), cursor)
    const begin = at + cursor.at
    const end = begin + head.length
    if (end > to) throw new ProtobufError(`field ${head.number} at byte ${at} is ${head.length} bytes long, ${to - begin} are left`)
    if (head.length > KEPT || end - start > PART) {
      parts.push(file.copy(start, at))
      start = at
    }
    if (head.length > KEPT) {
      const inner = level[head.number]
      if (inner !== undefined) parts.push(field(head.number, shrink(file, begin, end, inner)))
      start = end
    }
    at = end
  }
  return Buffer.concat([...parts, file.copy(start, to)])
}

/** Reads ahead, so that a thousand small fields are one read. */
class FileWindow {
  readonly #descriptor: number
  readonly #size: number
  readonly #buffer = Buffer.allocUnsafe(WINDOW)
  #copied = 0
  #from = 0
  #to = 0

  constructor(descriptor: number, size: number) {
    this.#descriptor = descriptor
    this.#size = size
  }

  /** Good until the next call. */
  bytes(from: number, to: number): Buffer {
    if (from < this.#from || to > this.#to) this.#read(from)
    if (to > this.#to) throw new ProtobufError('the file was cut while it was read')
    return this.#buffer.subarray(from - this.#from, to - this.#from)
  }

  /** @throws ProtobufError when that is too much altogether */
  copy(from: number, to: number): Buffer {
    this.#copied += to - from
    if (this.#copied > MAX_OUTLINE) throw new ProtobufError(`more than ${MAX_OUTLINE} bytes beside weights`)
    return Buffer.from(this.bytes(from, to))
  }

  #read(from: number): void {
    const wanted = Math.min(this.#buffer.length, this.#size - from)
    this.#from = this.#to = from
    for (let read = -1; read !== 0 && this.#to - from < wanted; this.#to += read) read = readSync(this.#descriptor, this.#buffer, this.#to - from, wanted - (this.#to - from), this.#to)
  }
}

/**
 * Files with weights that a model names, absolute, each once.
 * @param model as `outline` gives it @throws an Error with a reason for the operator when one lies outside the model's folder
 */
export function externalFiles(model: Buffer, file: string): string[] {
  const found = new Set<string>()
  readOr(undefined, () => {
    for (const graph of all(model, MODEL.graph)) for (const location of locations(graph, 0)) found.add(join(dirname(file), inside(location)))
  })
  return [...found]
}

/** Bytes of the model file and of the files with weights it names; what is not there counts nothing. @throws as `externalFiles` */
export function modelBytes(file: string): number {
  const model = outline(file)
  const files = [file, ...(model === null ? [] : externalFiles(model, file))]
  return files.reduce((sum, each) => sum + (statSync(each, { throwIfNoEntry: false })?.size ?? 0), 0)
}

function inside(location: string): string {
  const path = normalize(location)
  // A name that begins with a star is an address in memory to ONNX Runtime.
  if (path.startsWith('*') || isAbsolute(path) || path === '..' || path.startsWith(`..${sep}`) || path.includes('\0')) throw new Error(`external data "${clip(location)}" lies outside the folder of the model`)
  return path
}

/** Of weights in a graph, and in the graphs that its nodes (If, Loop, Scan) and constants hold. */
function* locations(graph: Buffer, depth: number): Generator<string, void, undefined> {
  for (const { number, bytes } of fields(graph)) {
    if (number === GRAPH.initializer) yield* locationsOf(bytes)
    else if (number === GRAPH.node && HOLDERS.has(text(bytes, NODE.op))) {
      for (const attribute of all(bytes, NODE.attribute)) {
        for (const tensor of all(attribute, ATTRIBUTE.tensor)) yield* locationsOf(tensor)
        if (depth < MAX_DEPTH) for (const inner of [...all(attribute, ATTRIBUTE.graph), ...all(attribute, ATTRIBUTE.graphs)]) yield* locations(inner, depth + 1)
      }
    }
  }
}

const HOLDERS: ReadonlySet<string> = new Set(['Constant', 'If', 'Loop', 'Scan', 'SequenceMap'])
const EXTERNAL = 1n

function* locationsOf(tensor: Buffer): Generator<string, void, undefined> {
  if (integers(tensor, TENSOR.location).at(-1) !== EXTERNAL) return
  for (const entry of all(tensor, TENSOR.external)) if (text(entry, ENTRY.key) === 'location') yield text(entry, ENTRY.value)
}
