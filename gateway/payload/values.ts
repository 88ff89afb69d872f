/**
 * Values of one kind, collected one by one: numbers are FP64 (INT64 or UINT64 when all are integers and one is beyond 2^53), strings BYTES,
 * booleans BOOL. Nulls are of any kind; where nothing else is, they are missing numbers.
 */
import type { Column } from './columns.ts'
import { FloatScan } from './floats.ts'
import type { JsonReader } from './json.ts'
import { INT64_RANGE, UINT64_RANGE } from './tensor.ts'

export type Kind = 'number' | 'string' | 'boolean'

export class Values {
  /** Booleans are collected as numbers, 0 and 1. */
  kind: Kind | null = null
  /** Numbers one by one. */
  readonly #numbers: number[] = []
  /** All numbers from the first list that was scanned on, which needs room to write into; `#count` are filled. */
  #block: Float64Array | null = null
  #count = 0
  readonly #strings: string[] = []
  /** Positions of nulls. */
  #nulls: number[] | null = null
  /** Exact values of integers beyond 2^53, by position. */
  #wide: Map<number, bigint> | null = null
  #scan: FloatScan | null = null

  number(value: number): void {
    const at = this.#count++
    if (this.#block === null) this.#numbers.push(value)
    else this.#room(this.#block, 1)[at] = value
  }

  /** An integer that no double holds for sure. @param exact null: beyond 20 characters */
  wideNumber(value: number, exact: bigint | null): void {
    if (exact !== null && exact >= INT64_RANGE.min && exact <= UINT64_RANGE.max) (this.#wide ??= new Map()).set(this.#count, exact)
    this.number(value)
  }

  string(text: string): void {
    this.#strings.push(text)
    this.#count++
  }

  null(): void {
    ;(this.#nulls ??= []).push(this.#count)
    if (this.kind === 'string') this.string('')
    else this.number(Number.NaN)
  }

  /** From here on the values are of this kind; so far there were nulls alone. */
  is(kind: Kind): void {
    this.kind = kind
    if (kind === 'string') for (let i = 0; i < this.#count; i++) this.#strings.push('')
  }

  /**
   * Reads usual numbers of a list up to what is none, or to its end.
   * @param most that are expected; of more, only their count is kept
   * @returns how many, and whether the list was left
   */
  scan(json: JsonReader, most: number): { count: number; left: boolean } {
    const scan = (this.#scan ??= new FloatScan(json.bytes))
    const left = scan.run(json.pos, this.#room(this.#block ?? Float64Array.from(this.#numbers), most), this.#count)
    const count = scan.count - this.#count
    json.pos = scan.pos
    this.#count += Math.min(count, most)
    return { count, left }
  }

  column(name: string, shape: readonly number[]): Column {
    const column = this.#column(name, shape)
    if (this.#nulls === null) return column
    const nulls = new Uint8Array(this.#count)
    for (const at of this.#nulls) nulls[at] = 1
    return { ...column, nulls }
  }

  #column(name: string, shape: readonly number[]): Column {
    if (this.kind === 'string') return { name, dtype: 'BYTES', shape, data: this.#strings }
    const numbers = this.#block === null ? Float64Array.from(this.#numbers) : this.#block.slice(0, this.#count)
    if (this.kind === 'boolean') return { name, dtype: 'BOOL', shape, data: Uint8Array.from(numbers) }
    const wide = this.#wide
    if (wide !== null && numbers.every(Number.isInteger)) {
      const exact = Array.from(numbers, (value, i) => wide.get(i) ?? BigInt(value))
      if (exact.every((value) => value >= INT64_RANGE.min && value <= INT64_RANGE.max)) return { name, dtype: 'INT64', shape, data: BigInt64Array.from(exact) }
      if (exact.every((value) => value >= 0n && value <= UINT64_RANGE.max)) return { name, dtype: 'UINT64', shape, data: BigUint64Array.from(exact) }
    }
    return { name, dtype: 'FP64', shape, data: numbers }
  }

  /** The block with room for `more` numbers behind those that count. */
  #room(block: Float64Array, more: number): Float64Array {
    this.#block = block
    if (this.#count + more <= block.length) return block
    this.#block = new Float64Array(Math.max(this.#count + more, 2 * block.length))
    this.#block.set(block)
    return this.#block
  }
}
