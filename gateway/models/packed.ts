/** Columns on their way to another thread. */
import type { Column, Data } from '../payload/columns.ts'

export interface Packed {
  readonly columns: Column[]
  /** Buffers that change hands. */
  readonly transfer: ArrayBuffer[]
}

/**
 * Copied once and handed over: cloning would copy twice, and the whole buffer behind a view at that. Texts are cloned.
 * @param ours true: nobody else uses these values, so that what fills its buffer is handed over as it is
 */
export function packed(columns: readonly Column[], ours: boolean): Packed {
  const transfer: ArrayBuffer[] = []
  const own = columns.map(({ name, dtype, shape, data }): Column => {
    if (Array.isArray(data)) return { name, dtype, shape, data }
    const whole = ours && data.byteLength === data.buffer.byteLength && !transfer.includes(data.buffer as ArrayBuffer)
    const values = whole ? data : copy(data)
    transfer.push(values.buffer as ArrayBuffer)
    return { name, dtype, shape, data: values }
  })
  return { columns: own, transfer }
}

/** Not the `slice` of a `Buffer`, which is a view. */
function copy<T extends Exclude<Data, string[]>>(data: T): T {
  return Uint8Array.prototype.slice.call(data) as unknown as T
}
