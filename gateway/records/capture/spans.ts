/** Where in a JSON text the values stand that are to be taken out. */
import { JsonReader, MAX_DEPTH } from '../../payload/json.ts'
import type { Path } from './paths.ts'

/** Byte offsets of one value, the end exclusive. */
export type Span = readonly [from: number, to: number]

/** Members at the top of a body whose rows need no names (TensorFlow Serving, KServe v1, MLflow), or are tensors (OIP). */
const TABLES: ReadonlySet<string> = new Set(['instances', 'inputs', 'predictions', 'outputs'])

/** How far a path has been followed. */
interface Place {
  readonly path: Path
  readonly next: number
}

/** @throws WeirError when the bytes are no JSON */
export function pathSpans(bytes: Buffer, paths: readonly Path[]): Span[] {
  const spans: Span[] = []
  const json = new JsonReader(bytes, 'BAD_BODY')
  value(json, paths.map((path) => ({ path, next: 0 })), 0, spans)
  json.end()
  return spans
}

/** Reads over one value. */
function value(json: JsonReader, places: readonly Place[], depth: number, spans: Span[]): void {
  const kind = json.kind()
  if (places.length === 0 || (kind !== 'object' && kind !== 'array')) return json.skip(depth)
  if (depth > MAX_DEPTH) json.fail(`at most ${MAX_DEPTH} levels`)
  if (kind === 'object') return json.members((key) => child(json, key, places, depth, spans))
  const everywhere = ofEveryElement(places)
  if (everywhere?.length === 0) return json.skip(depth)
  if (!json.enterArray()) return
  let index = 0
  do {
    if (everywhere === null) child(json, index++, places, depth, spans)
    else value(json, everywhere, depth + 1, spans)
  } while (json.nextElement())
}

/** Arrays are long, and most paths go on by names: what then holds for all elements alike. @returns null where an index decides */
function ofEveryElement(places: readonly Place[]): readonly Place[] | null {
  if (places.some(({ path, next }) => typeof path[next]!.key !== 'string')) return null
  return places.filter(({ path, next }) => path[next]!.deep)
}

function child(json: JsonReader, key: string | number, places: readonly Place[], depth: number, spans: Span[]): void {
  const inside: Place[] = []
  for (const place of places) {
    const step = place.path[place.next]!
    if (step.deep) inside.push(place)
    if (step.key !== null && step.key !== key) continue
    if (place.next + 1 === place.path.length) return void spans.push(spanOf(json))
    inside.push({ path: place.path, next: place.next + 1 })
  }
  value(json, inside, depth + 1, spans)
}

/** Reads over the next value. */
function spanOf(json: JsonReader): Span {
  json.peek()
  const from = json.pos
  json.skip()
  return [from, json.pos]
}

// ---------------------------------------------------------------- columns

/**
 * Values of columns that do not have their names beside them: tensors by name, and whole rows that have no names at all, since nobody
 * can tell which of their values it is.
 * @throws WeirError when the bytes are no JSON
 */
export function tableSpans(bytes: Buffer, columns: ReadonlySet<string>): Span[] {
  const spans: Span[] = []
  const json = new JsonReader(bytes, 'BAD_BODY')
  if (json.kind() !== 'object') return spans
  json.members((key) => {
    if (key === 'dataframe_split' && json.kind() === 'object') split(json, spans)
    else if (TABLES.has(key)) table(json, columns, spans)
    else json.skip()
  })
  return spans
}

/** pandas' `split`: names in one member, rows in another, in any order. */
function split(json: JsonReader, spans: Span[]): void {
  json.members((key) => (key === 'data' ? void spans.push(spanOf(json)) : json.skip()))
}

function table(json: JsonReader, columns: ReadonlySet<string>, spans: Span[]): void {
  const kind = json.kind()
  if (kind === 'object') return columnar(json, columns, spans)
  if (kind !== 'array') return void spans.push(spanOf(json))
  if (!json.enterArray()) return
  const tensors: Tensor[] = []
  do {
    if (json.kind() === 'object') tensors.push(...tensor(json))
    else spans.push(spanOf(json))
  } while (json.nextElement())
  spans.push(...chosen(tensors, columns))
}

/** Columns by name (TensorFlow Serving's `inputs`). */
function columnar(json: JsonReader, columns: ReadonlySet<string>, spans: Span[]): void {
  const all: Tensor[] = []
  json.members((name) => void all.push({ names: [name], data: [spanOf(json)] }))
  spans.push(...chosen(all, columns))
}

/** A careless client may say a thing twice; none of it may stay. */
interface Tensor {
  readonly names: readonly string[]
  readonly data: readonly Span[]
}

/** When none has one of the names, the column may be one of a matrix: then all. */
function chosen(tensors: readonly Tensor[], columns: ReadonlySet<string>): Span[] {
  const named = tensors.filter(({ names }) => names.some((name) => columns.has(name)))
  return (named.length > 0 ? named : tensors).flatMap(({ data }) => data)
}

/** A tensor has `name` and `data`, in any order; a row has neither. */
function tensor(json: JsonReader): Tensor[] {
  const names: string[] = []
  const data: Span[] = []
  json.members((key) => {
    if (key === 'name' && json.kind() === 'string') names.push(json.string())
    else if (key === 'data') data.push(spanOf(json))
    else json.skip()
  })
  return names.length === 0 || data.length === 0 ? [] : [{ names, data }]
}
