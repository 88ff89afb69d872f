/** What the stores of a column have in common. */
import type { Scalar } from '../read/table.ts'

export interface Store {
  readonly violations: Violations
  /** @param slot hour of the row (`Hours.slotOf`) */
  add(value: Scalar, slot: number): void
}

const EXAMPLES = 3
const LENGTH = 40

/** Values of another type than the column has. */
export class Violations {
  count = 0
  readonly examples: string[] = []

  add(value: Scalar): void {
    this.count++
    if (this.examples.length === EXAMPLES) return
    const shown = String(value).slice(0, LENGTH)
    if (!this.examples.includes(shown)) this.examples.push(shown)
  }
}
