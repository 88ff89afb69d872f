/** Numbers as a profile has them: short, so that two profiles differ where the data do. */

/** A score or a share: six digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(6))
}

/** JSON has no Infinity: what overflowed is the largest number there is. */
export function finite(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))
}

/** A mean: twelve digits, which no order of adding changes. */
export function short(value: number): number {
  return Number(value.toPrecision(12))
}

/** A lower bound stays one: cut after six places. */
export function floored(share: number): number {
  return Math.floor(share * 1e6) / 1e6
}

/** "20,000", whatever the locale of the machine. */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** "one row", "20,000 rows". */
export function counted(n: number, one: string): string {
  return n === 1 ? `one ${one}` : `${count(n)} ${one}s`
}

/** "0.5 %", with as many digits as it needs. */
export function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}

/** Linear interpolation between the values around (n − 1) p: R's type 7, numpy's default. @param at the i-th smallest value */
export function quantile7(n: number, p: number, at: (i: number) => number): number {
  const position = (n - 1) * p
  const i = Math.floor(position)
  const lower = at(i)
  const part = position - i
  // Also right for values whose difference overflows, and for equal ones.
  return part === 0 ? lower : lower * (1 - part) + at(i + 1) * part
}
