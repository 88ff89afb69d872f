/**
 * Values whose type and shape nobody declares: both are learnt from what comes. `values.ts` says which type it is; `null` is
 * a missing value, which an answer can have of numbers alone (NaN); lists are dimensions, with the same lengths everywhere.
 */
import { isUtf8 } from 'node:buffer'
import { type Code, WeirError } from '../errors.ts'
import type { Column } from './columns.ts'
import { clip, type JsonReader } from './json.ts'
import { type Kind, Values } from './values.ts'

/** Lists within lists. */
const MAX_LIST_DEPTH = 8
/** RFC 4648, 4; the padding may be left out. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** A request is read against other errors than an answer: the one is the caller's fault, the other the backend's. */
export interface Side {
  readonly json: Code
  readonly value: Code
}
export const REQUEST: Side = { json: 'BAD_BODY', value: 'MODEL_INPUT' }
export const ANSWER: Side = { json: 'INVALID_ANSWER', value: 'INVALID_ANSWER' }

/** How a format spells values. */
export interface Dialect {
  readonly side: Side
  /** `{"b64": "…"}` stands for a string (TF Serving, "Encoding binary values"). */
  readonly b64: boolean
}

/** The values of one name: one cell a row, or one tensor as a whole. */
export class Collector {
  /** Rows that have the name so far. */
  rows = 0
  readonly #name: string
  readonly #list: string
  readonly #dialect: Dialect
  readonly #values = new Values()
  /** Where the first null is, in words. */
  #nullAt: string | null = null
  /** Lengths of the lists of a cell, learnt from the first one: open until its first value or its first closing bracket. */
  readonly #shape: number[] = []
  #open = true
  /** Indices of the element that is read, within its cell; the first `#depth` count. */
  readonly #path: number[] = []
  #depth = 0

  /** @param list how the key is called whose values have no name of their own (`instances`): errors point into it */
  constructor(name: string, dialect: Dialect, list = '') {
    this.#name = name
    this.#list = list
    this.#dialect = dialect
  }

  /** @param row -1: the cell is the whole tensor */
  cell(json: JsonReader, row: number): void {
    if (json.kind() === 'array') return this.#elements(json, row, 0)
    if (this.#shape.length > 0) throw this.#wrong(row, `expected a list of ${this.#shape.join(' × ')}, found ${json.describe()}`)
    this.#scalar(json, row)
  }

  /** @param rows null: the only cell was the whole tensor */
  column(name: string, rows: number | null): Column {
    const { kind } = this.#values
    if (this.#nullAt !== null && this.#dialect.side === ANSWER && (kind === 'string' || kind === 'boolean')) {
      throw new WeirError(this.#dialect.side.value, `${this.#nullAt}: expected a ${kind} as in other rows, found null, which is a missing number`)
    }
    return this.#values.column(name, rows === null ? this.#shape : [rows, ...this.#shape])
  }

  #elements(json: JsonReader, row: number, depth: number): void {
    const shape = this.#shape
    if (depth === shape.length) {
      if (!this.#open) throw this.#wrong(row, depth === 0 ? 'expected a value, found a list' : `expected lists ${depth} deep, found deeper ones`)
      if (depth === MAX_LIST_DEPTH) throw this.#wrong(row, `expected lists at most ${MAX_LIST_DEPTH} deep, found deeper ones`)
      shape.push(0)
    }
    const learning = this.#open
    const numbers = !learning && depth + 1 === shape.length && this.#values.kind === 'number'
    let length = 0
    if (json.enterArray()) {
      do {
        if (numbers) {
          const { count, left } = this.#values.scan(json, Math.max(0, shape[depth]! - length))
          length += count
          if (left) break
        }
        this.#path[depth] = length
        this.#depth = depth + 1
        if (json.kind() === 'array') this.#elements(json, row, depth + 1)
        else if (depth + 1 < shape.length) throw this.#wrong(row, `expected a list, found ${json.describe()}`)
        else this.#scalar(json, row)
        length++
      } while (json.nextElement())
    }
    this.#depth = depth
    this.#open = false
    if (learning) shape[depth] = length
    else if (shape[depth] !== length) throw this.#wrong(row, `expected a list of ${shape[depth]}, found ${length}`)
  }

  #scalar(json: JsonReader, row: number): void {
    const kind = json.kind()
    const values = this.#values
    this.#open = false
    if (kind === 'number') return this.#number(json, row)
    if (kind === 'null') {
      json.null()
      this.#nullAt ??= this.#place(row)
      values.null()
    } else if (kind === 'string') {
      const text = json.string()
      this.#is('string', row, JSON.stringify(clip(text)))
      values.string(text)
    } else if (kind === 'boolean') {
      const yes = json.boolean()
      this.#is('boolean', row, String(yes))
      values.number(yes ? 1 : 0)
    } else this.#bytes(json, row)
  }

  #number(json: JsonReader, row: number): void {
    const value = json.number()
    if (this.#values.kind !== 'number') this.#is('number', row, json.token)
    if (json.integral && !Number.isSafeInteger(value)) {
      if (!Number.isFinite(value)) throw this.#outOfRange(json, row)
      this.#values.wideNumber(value, json.bigint())
      return
    }
    // A token may say Infinity; digits may not.
    if ((value === Infinity || value === -Infinity) && !json.token.endsWith('y')) throw this.#outOfRange(json, row)
    this.#values.number(value)
  }

  #bytes(json: JsonReader, row: number): void {
    const { b64 } = this.#dialect
    const expected = `expected a number, string, boolean, null${b64 ? ', {"b64": …}' : ''} or a list of these`
    const base64 = b64 ? readB64(json) : null
    if (base64 === null) throw this.#wrong(row, `${expected}, found an object`)
    if (!BASE64.test(base64) || base64.replace(/=+$/, '').length % 4 === 1) throw this.#wrong(row, `expected base64 in "b64", found ${JSON.stringify(clip(base64))}`)
    const bytes = Buffer.from(base64, 'base64')
    if (!isUtf8(bytes)) throw this.#wrong(row, 'expected the bytes in "b64" to be UTF-8, which models here take alone')
    this.#is('string', row, 'a string in base64')
    this.#values.string(bytes.toString())
  }

  #is(kind: Kind, row: number, found: string): void {
    const values = this.#values
    if (values.kind === null) values.is(kind)
    if (values.kind !== kind) throw this.#wrong(row, `expected a ${values.kind} as before, found ${found}`)
  }

  #outOfRange(json: JsonReader, row: number): WeirError {
    return this.#wrong(row, `expected a number in the range of FP64, found ${json.token}`)
  }

  #place(row: number): string {
    const path = this.#path.slice(0, this.#depth).map((index) => `[${index}]`).join('')
    if (this.#name === '' && this.#list !== '') return `${this.#list}${row < 0 ? '' : `[${row}]`}${path}`
    return `"${clip(this.#name)}"${row < 0 ? '' : ` in row ${row}`}${path === '' ? '' : ` at ${path}`}`
  }

  #wrong(row: number, text: string): WeirError {
    return new WeirError(this.#dialect.side.value, `${this.#place(row)}: ${text}`)
  }
}

/** The text of an object whose only key is `b64`, or null for another object. Reads over it. */
function readB64(json: JsonReader): string | null {
  let text: string | null = null
  let keys = 0
  json.members((key) => {
    if (key === 'b64' && json.kind() === 'string') text = json.string()
    else json.skip()
    keys++
  })
  return keys === 1 ? text : null
}

/** Whether the next value is an object of names, which `{"b64": …}` is not. */
export function isNamed(json: JsonReader, { b64 }: Dialect): boolean {
  if (json.kind() !== 'object') return false
  if (!b64) return true
  const at = json.pos
  const named = readB64(json) === null
  json.pos = at
  return named
}
