/** The body of a request or an answer in a row of weir's own records, whichever sink wrote it. */

const ABOUT = ['bytes', 'type', 'encoding', 'truncated', 'base64'] as const

/** The columns that tell of a body. */
export function bodyColumns(body: string): string[] {
  return [body, ...ABOUT.map((suffix) => `${body}_${suffix}`)]
}

/**
 * @param value by name of the column
 * @param written the bytes as they stand in the file, where they are known
 * @returns null: there was none; undefined: not all of it was logged
 */
export function bodyOf(value: (column: string) => unknown, body: string, written: Buffer | null = null): Buffer | null | undefined {
  if (value(`${body}_truncated`) === true) return undefined
  // Parquet has what is no text in a column of its own, lines of JSON have an object with it.
  const bytes = value(`${body}_bytes`)
  if (typeof bytes === 'string') return Buffer.from(bytes, 'base64')
  const logged = value(body)
  if (logged === null || logged === undefined) return null
  if (value(`${body}_base64`) === true) return Buffer.from(base64Of(logged), 'base64')
  return written ?? Buffer.from(typeof logged === 'string' ? logged : JSON.stringify(logged))
}

/** An object, or its text. */
function base64Of(logged: unknown): string {
  const { base64 } = (typeof logged === 'string' ? JSON.parse(logged) : logged) as { readonly base64?: unknown }
  return typeof base64 === 'string' ? base64 : ''
}
