/** Where a model runs: in the data thread that has the request, or on the inference thread because it would hold up everybody else there. */
import type { Clock } from '../clock.ts'
import type { Column, Data } from '../payload/columns.ts'
import { elements, integers } from '../payload/tensor.ts'
import type { Session } from './session.ts'
import type { TensorSpec } from './signature.ts'

export type Placement = 'inline' | 'thread'

/** What the runs at load told of a model. */
export interface Measured {
  /** A run of one row, microseconds; null: it does not run on made-up rows, or was not asked. */
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
/** Median of these many runs, after one that warms up. Enough for a scheduler that takes the core away once or twice. */
const RUNS = 7
/** A model that has shown itself slow is not measured on and on, milliseconds. */
const ENOUGH_MS = 50
/** Free dimensions beyond the batch are 1, so this only stops fixed shapes that no request will ever fill. */
const MAX_ELEMENTS = 1 << 26

/** @param run_us null: could not be measured, and what is unknown stays away from the event loop */
export function place(wanted: 'auto' | Placement, run_us: number | null): Placement {
  if (wanted !== 'auto') return wanted
  return run_us !== null && run_us <= SLOW_US ? 'inline' : 'thread'
}

/** Time of a run of one row of zeros (texts are "0"), microseconds; null when the model does not run on that. */
export async function measure(session: Session, clock: Clock): Promise<number | null> {
  const outputs = session.signature.outputs.filter((output) => output.dtype !== null).map((output) => output.name)
  const inputs = session.signature.inputs.map(blank)
  if (outputs.length === 0 || !inputs.every((column) => column !== null)) return null
  const began = clock.now()
  const times: number[] = []
  try {
    await session.run(inputs, outputs)
    do times.push((await session.run(inputs, outputs)).took_ms * 1000)
    while (times.length < RUNS && clock.now() - began < ENOUGH_MS)
  } catch {
    return null
  }
  times.sort((a, b) => a - b)
  return times[times.length >> 1]!
}

function blank({ name, dtype, shape: declared }: TensorSpec): Column | null {
  const shape = declared.map((size) => (size === -1 ? 1 : size))
  const length = elements(shape)
  if (dtype === null || length > MAX_ELEMENTS) return null
  return { name, dtype, shape, data: zeros(dtype, length) }
}

function zeros(dtype: Column['dtype'], length: number): Data {
  switch (dtype) {
    case 'BYTES':
      return new Array<string>(length).fill('0')
    case 'INT64':
      return new BigInt64Array(length)
    case 'UINT64':
      return new BigUint64Array(length)
    case 'FP32':
      return new Float32Array(length)
    case 'FP64':
      return new Float64Array(length)
    case 'FP16':
    case 'BF16':
      return new Uint16Array(length)
    case 'BOOL':
      return new Uint8Array(length)
    default:
      return integers[dtype]!.make(length)
  }
}
