/** What outputs of a model have to be, and answers made so where that is possible. Columns in, findings and columns out. */
import type { Column, Columns, Data } from '../../payload/columns.ts'
import { widened } from '../../payload/halves.ts'
import { listed, shown } from '../words.ts'

export type Action = 'clamp' | 'replace' | 'reject' | 'fallback'
export const RULES = ['missing', 'type', 'length', 'finite', 'min', 'max', 'values', 'sum_to'] as const
export type Rule = (typeof RULES)[number]

export interface OutputRule {
  readonly name: string
  readonly min: number
  readonly max: number
  /** NaN, infinities and null are no values. */
  readonly finite: boolean
  readonly values: ReadonlySet<number | string | boolean> | null
  /** Of the values of a row, within `tolerance`. */
  readonly sumTo: number | null
  readonly tolerance: number
  /** Values a row. */
  readonly length: readonly [number, number] | null
  readonly action: Action
  readonly replaceWith: number | string | boolean | null
}

export interface Finding {
  readonly output: OutputRule
  readonly rule: Rule
  /** The first one. */
  readonly row: number
  readonly expected: string
  readonly found: string
  /** Values, or rows of what is about whole rows. */
  count: number
  /** What is to be done: what cannot be clamped is replaced where there is something to replace it with, else refused. */
  readonly action: Action
}

type Value = number | bigint | string | boolean

/** @param asked outputs that the caller wants alone, or null @returns null when all is well */
export function inspect(rules: readonly OutputRule[], { columns }: Columns, asked: readonly string[] | null): Finding[] | null {
  let findings: Finding[] | null = null
  for (const rule of rules) {
    const column = columns.find(({ name }) => name === rule.name)
    if (column !== undefined) findings = new Inspection(rule, column, findings).run()
    else if (asked === null || asked.includes(rule.name)) (findings ??= []).push({ output: rule, rule: 'missing', row: 0, expected: 'it', found: 'no such output', count: 1, action: actionFor(rule, 'missing') })
  }
  return findings
}

class Inspection {
  readonly #rule: OutputRule
  readonly #column: Column
  readonly #rows: number
  readonly #width: number
  #findings: Finding[] | null

  constructor(rule: OutputRule, column: Column, findings: Finding[] | null) {
    this.#rule = rule
    this.#column = widened(column)
    this.#findings = findings
    this.#rows = column.shape.length === 0 ? 1 : column.shape[0]!
    this.#width = this.#rows === 0 ? 0 : column.data.length / this.#rows
  }

  run(): Finding[] | null {
    const { length, sumTo } = this.#rule
    const rows = this.#rows
    if (length !== null && rows > 0 && (this.#width < length[0] || this.#width > length[1])) this.#note('length', 0, `${length[0]} to ${length[1]} values`, String(this.#width), rows)
    const { dtype, data, nulls } = this.#column
    for (let i = 0; i < data.length; i++) {
      const raw = data[i]!
      const value = nulls?.[i] === 1 ? Number.NaN : dtype === 'BOOL' ? raw === 1 : raw
      const broken = brokenRule(this.#rule, value)
      if (broken !== null) this.#note(broken, Math.floor(i / this.#width), expected(this.#rule, broken), shown(value), 1)
    }
    if (sumTo !== null && !Array.isArray(data)) this.#sums(data, sumTo)
    return this.#findings
  }

  #sums(data: Exclude<Data, string[]>, sumTo: number): void {
    for (let row = 0; row < this.#rows; row++) {
      let sum = 0
      for (let i = row * this.#width; i < (row + 1) * this.#width; i++) sum += Number(data[i])
      // NaN is within no distance.
      if (!(Math.abs(sum - sumTo) <= this.#rule.tolerance)) this.#note('sum_to', row, `a sum of ${sumTo}`, String(sum), 1)
    }
  }

  #note(rule: Rule, row: number, expected: string, found: string, count: number): void {
    const known = this.#findings?.find((one) => one.output === this.#rule && one.rule === rule)
    if (known !== undefined) known.count += count
    else (this.#findings ??= []).push({ output: this.#rule, rule, row, expected, found, count, action: actionFor(this.#rule, rule) })
  }
}

function brokenRule(rule: OutputRule, value: Value): Rule | null {
  if (typeof value === 'number' || typeof value === 'bigint') {
    // An infinity less itself is NaN.
    if (typeof value === 'number' && value - value !== 0) return rule.finite ? 'finite' : null
    if (value < rule.min) return 'min'
    if (value > rule.max) return 'max'
  } else if (rule.min > -Infinity || rule.max < Infinity || rule.sumTo !== null) return 'type'
  return rule.values === null || rule.values.has(typeof value === 'bigint' ? Number(value) : value) ? null : 'values'
}

function expected({ min, max, values }: OutputRule, rule: Rule): string {
  if (rule === 'min') return `at least ${min}`
  if (rule === 'max') return `at most ${max}`
  if (rule === 'type') return 'a number'
  if (rule === 'finite') return 'a finite number'
  return `one of ${listed([...values!])}`
}

function actionFor({ action, replaceWith }: OutputRule, rule: Rule): Action {
  if (action === 'reject' || action === 'fallback') return action
  if (action === 'clamp' && (rule === 'min' || rule === 'max')) return 'clamp'
  return replaceWith !== null && (rule === 'min' || rule === 'max' || rule === 'finite' || rule === 'values') ? 'replace' : 'reject'
}

/** The answer with the values of these findings clamped or replaced. */
export function mended(columns: Columns, findings: readonly Finding[]): Columns {
  const rules = new Set(findings.filter(({ action }) => action === 'clamp' || action === 'replace').map(({ output }) => output))
  return { ...columns, columns: columns.columns.map((column) => [...rules].reduce((mending, rule) => (rule.name === column.name ? mendedColumn(mending, rule) : mending), column)) }
}

function mendedColumn(column: Column, rule: OutputRule): Column {
  const readable = widened(column)
  const { dtype, nulls } = readable
  const data = readable.data.slice() as Data
  for (let i = 0; i < data.length; i++) {
    const raw = data[i]!
    const value = nulls?.[i] === 1 ? Number.NaN : dtype === 'BOOL' ? raw === 1 : raw
    const broken = brokenRule(rule, value)
    if (broken === null) continue
    const action = actionFor(rule, broken)
    if (action === 'clamp') put(data, i, broken === 'min' ? rule.min : rule.max)
    else if (action === 'replace') put(data, i, rule.replaceWith!)
  }
  const { nulls: _, ...rest } = readable
  return { ...rest, dtype: column.dtype, data: narrowed(data, column.dtype) }
}

function put(data: Data, index: number, value: number | string | boolean): void {
  if (Array.isArray(data)) data[index] = String(value)
  else if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[index] = BigInt(Math.round(Number(value)))
  else data[index] = Number(value)
}

/** 16-bit floats as their bits again; their values were exact, and what was put in is the nearest. */
function narrowed(data: Data, dtype: Column['dtype']): Data {
  if (dtype === 'FP16') return new Uint16Array(Float16Array.from(data as Float32Array).buffer)
  if (dtype === 'BF16') return Uint16Array.from(new Uint32Array((data as Float32Array).buffer, (data as Float32Array).byteOffset, data.length), (word) => word >>> 16)
  return data
}
