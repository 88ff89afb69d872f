/** Named values out of a request or an answer, whatever its layout: a column a feature, or the columns of one matrix. */
import type { Columns } from './columns.ts'

/** `undefined`: the row has no such value (the column is not there). `null`: it says null. */
export type FeatureValue = number | bigint | string | boolean | null | undefined

/** Compiled for a list of names; read with `view`, once an exchange. */
export interface FeatureReader {
  readonly names: readonly string[]
  view(columns: Columns): FeatureView
}

export interface FeatureView {
  readonly rows: number
  /** @param feature index into the names of the reader */
  value(feature: number, row: number): FeatureValue
  /** The numbers of a feature in the order of rows where it is numeric without nulls (a fast path); else null. @param into at least `rows` long */
  numbers(feature: number, into: Float64Array): boolean
  /** Names of columns of the body that are no feature of the reader; at most 32. */
  readonly unknown: readonly string[]
}
