/** Floats of 16 bits, which travel as their raw bits. */
import type { Column } from './columns.ts'

/** Floats of 16 bits as FP32, which holds each of them; any other column as it is. */
export function widened(column: Column): Column {
  const { dtype } = column
  if (dtype !== 'FP16' && dtype !== 'BF16') return column
  const bits = column.data as Uint16Array
  if (dtype === 'FP16') return { ...column, dtype: 'FP32', data: Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length)) }
  // bfloat16 is the upper half of a float32.
  return { ...column, dtype: 'FP32', data: new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer) }
}
