/** Numbers, values and times in the sentences of monitors. */

/** Of a caller's text, characters. */
const MAX_TEXT = 64
const MAX_VALUES = 5

/** `18.6 %` */
export function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}

/** What was judged, for the end of a sentence. */
export function spanOf(from: number, to: number): string {
  return `${new Date(from).toISOString()} to ${new Date(to).toISOString()}`
}

/** A value as it would stand in JSON, but for NaN and infinities; long ones are cut. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(cut(value))
  return cut(typeof value === 'object' ? JSON.stringify(value) : String(value))
}

/** The first few, and how many there are beside them. */
export function listed(values: readonly unknown[]): string {
  const first = values.slice(0, MAX_VALUES).map(shown).join(', ')
  return values.length > MAX_VALUES ? `${first} and ${values.length - MAX_VALUES} more` : first
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}
