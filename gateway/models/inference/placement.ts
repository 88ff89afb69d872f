/** Where a model runs: in the data thread that has the request, or on an inference thread because it would hold up everybody else there. */
import type { Clock } from '../../clock.ts'
import type { Column } from '../../payload/columns.ts'
import { madeUp, zeros } from './made_up.ts'
import type { Session } from '../onnx/session.ts'
import { join, rowsOf } from './slices.ts'
import type { Signature } from '../signature.ts'

export type Placement = 'inline' | 'thread'

/** What the runs at load told of a model. */
export interface Measured {
  /** A run of one row, microseconds; null: it does not run on made-up rows. */
  readonly run_us: number | null
  /**
   * A run of two rows gave what two runs of one row gave: requests may be joined to one run, and large ones cut. Outputs
   * that do not grow with the rows, or that depend on neighbours, say no; so does whatever could not be tried.
   */
  readonly independent_rows: boolean
}

export const UNMEASURED: Measured = { run_us: null, independent_rows: false }

/** A run this long, microseconds, is as much as an event loop with thousands of requests a second can bear. */
const SLOW_US = 200
/** The fastest of these many runs, after one that warms up: on a busy machine the others tell of the machine. */
const RUNS = 7
/** A model that has shown itself slow is not measured on and on, milliseconds. */
const ENOUGH_MS = 50
/** Outputs of the same row may differ in rounding: a run of two rows may use another kernel than a run of one. */
const RELATIVE = 1e-4
const ABSOLUTE = 1e-5

/** @param run_us null: could not be measured, and what is unknown stays away from the event loop */
export function place(wanted: 'auto' | Placement, run_us: number | null): Placement {
  if (wanted !== 'auto') return wanted
  return run_us !== null && run_us <= SLOW_US ? 'inline' : 'thread'
}

/** For people: `a run of one row takes 14 µs (up to 200 µs is inline)`. */
export function whyThere(wanted: 'auto' | Placement, run_us: number | null): string {
  if (wanted !== 'auto') return `placement: ${wanted} in the config`
  if (run_us === null) return 'does not run on made-up rows'
  return `a run of one row takes ${run_us < 10 ? run_us.toFixed(1) : Math.round(run_us)} µs (up to ${SLOW_US} µs is inline)`
}

/** Runs made-up rows; a model that does not like them is tried with zeros (texts are "0"). Never throws. */
export function measure(session: Session, clock: Clock): Measured {
  const { inputs, outputs } = tensors(session.signature)
  const rows = outputs.length === 0 ? null : madeUp(inputs)
  if (rows === null) return UNMEASURED
  const [a, b] = rows
  try {
    const run_us = timed(session, a, outputs, clock)
    const independent_rows = hasRows(session.signature) && (tried(() => independent(session, a, b, outputs)) ?? false)
    return { run_us, independent_rows }
  } catch {
    return { run_us: tried(() => timed(session, zeros(inputs), outputs, clock)), independent_rows: false }
  }
}

function tensors({ inputs, outputs }: Signature): { inputs: Signature['inputs']; outputs: string[] } {
  return { inputs, outputs: outputs.filter(({ dtype }) => dtype !== null).map(({ name }) => name) }
}

function tried<T>(run: () => T): T | null {
  try {
    return run()
  } catch {
    return null
  }
}

/** Microseconds. */
function timed(session: Session, row: readonly Column[], outputs: readonly string[], clock: Clock): number {
  const began = clock.now()
  let fastest = Infinity
  let runs = 0
  session.run(row, outputs)
  do fastest = Math.min(fastest, session.run(row, outputs).took_ms * 1000)
  while (++runs < RUNS && clock.now() - began < ENOUGH_MS)
  return fastest
}

/** Whether all inputs have the same variable first dimension. */
function hasRows({ inputs }: Signature): boolean {
  const rows = inputs[0]?.rows
  return typeof rows === 'string' && inputs.every((input) => input.rows === rows)
}

/** Both orders, so that a model that sorts its rows, say, is found out. */
function independent(session: Session, a: readonly Column[], b: readonly Column[], outputs: readonly string[]): boolean {
  const run = (...rows: (readonly Column[])[]): readonly Column[] => session.run(join(rows), outputs).columns
  const alone = [run(a), run(b)] as const
  if (alone.some((columns) => rowsOf(columns) !== 1)) return false
  return same(run(a, b), join(alone)) && same(run(b, a), join(alone.toReversed()))
}

function same(found: readonly Column[], expected: readonly Column[]): boolean {
  return found.every((column, i) => sameShape(column, expected[i]!) && sameData(column, expected[i]!))
}

function sameShape({ shape }: Column, other: Column): boolean {
  return shape.length === other.shape.length && shape.every((size, i) => size === other.shape[i])
}

function sameData({ dtype, data }: Column, { data: other }: Column): boolean {
  if (dtype === 'FP16' || dtype === 'BF16') return close(wide(data as Uint16Array, dtype), wide(other as Uint16Array, dtype), dtype === 'FP16' ? 2e-3 : 2e-2)
  if (dtype === 'FP32' || dtype === 'FP64') return close(data as Float32Array, other as Float32Array, RELATIVE)
  return data.every((value: unknown, i: number) => value === other[i])
}

function close(data: ArrayLike<number>, other: ArrayLike<number>, relative: number): boolean {
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [data[i]!, other[i]!]
    if (!Object.is(x, y) && !(Math.abs(x - y) <= ABSOLUTE + relative * Math.abs(y)) && x !== y) return false
  }
  return true
}

/** Half-precision bits as numbers. */
function wide(bits: Uint16Array, dtype: 'FP16' | 'BF16'): ArrayLike<number> {
  if (dtype === 'FP16') return new Float16Array(bits.buffer, bits.byteOffset, bits.length)
  return new Float32Array(Uint32Array.from(bits, (half) => half * 0x1_0000).buffer)
}
