/** Objects within rows become columns with dots in their names; lists of plain values stay lists. */
import { type Cell, DataError, type Scalar } from './table.ts'

/** Columns that are read, by names with dots. A name is that of all that lies within it, too. */
export class Wanted {
  readonly #names: ReadonlySet<string> | null
  /** What stands before a dot in one of the names. */
  readonly #outer: ReadonlySet<string>

  /** @param names null: all */
  constructor(names: readonly string[] | null) {
    this.#names = names === null ? null : new Set(names)
    this.#outer = new Set((names ?? []).flatMap((name) => Array.from(name.matchAll(/\./g), ({ index }) => name.slice(0, index))))
  }

  has(name: string): boolean {
    if (this.#names === null || this.#names.has(name)) return true
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) if (this.#names.has(name.slice(0, dot))) return true
    return false
  }

  /** Whether the value under a key is, or may hold, something wanted. What is not need not be readable. */
  touches(key: string): boolean {
    return this.has(key) || this.#outer.has(key)
  }
}

const MAX_DEPTH = 16
/** Of one list. */
const MAX_LIST = 65_536

/** @param put takes each value with the name of its column @param where for messages: file and line or row @throws DataError */
export function flatten(value: unknown, name: string, put: (name: string, cell: Cell) => void, where: () => string, depth = 0): void {
  if (value === null || typeof value !== 'object') return put(name, value as Scalar)
  if (value instanceof Date) return put(name, timeText(value, name, where))
  if (value instanceof Uint8Array) return put(name, bytesText(value))
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return put(name, list(value as unknown as readonly unknown[], name, where))
  if (depth === MAX_DEPTH) throw new DataError(`${where()}, column "${name}": expected at most ${MAX_DEPTH} objects within each other`)
  for (const [key, inner] of Object.entries(value)) flatten(inner, name === '' ? key : `${name}.${key}`, put, where, depth + 1)
}

function list(values: readonly unknown[], name: string, where: () => string): Scalar[] {
  if (values.length > MAX_LIST) throw new DataError(`${where()}, column "${name}": expected at most ${MAX_LIST} values in a list, found ${values.length}`)
  return Array.from(values, (value): Scalar => {
    if (value instanceof Date) return timeText(value, name, where)
    if (value instanceof Uint8Array) return bytesText(value)
    if (value !== null && typeof value === 'object') throw new DataError(`${where()}, column "${name}": expected a list of numbers, texts or booleans, found ${Array.isArray(value) ? 'lists' : 'objects'} in it; leave the column out with --columns`)
    return (value ?? null) as Scalar
  })
}

export function timeText(time: Date, name: string, where: () => string): string {
  if (Number.isNaN(time.getTime())) throw new DataError(`${where()}, column "${name}": a time beyond the year 275760`)
  return time.toISOString()
}

export function bytesText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString()
  return text.includes('\uFFFD') ? buffer.toString('base64') : text
}
