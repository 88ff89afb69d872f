/** What expressions can name in an exchange. */
import type { Exchange } from '../exchange.ts'
import { all, get } from '../headers.ts'
import type { Columns } from '../payload/columns.ts'

/** Roots with something behind the dot, and those that stand alone. */
export const ROOTS = ['header', 'query', 'cookie', 'input', 'output', 'client'] as const
export const WORDS = ['path', 'method'] as const
/** In conditions, once there is an answer. */
export const NUMBERS = ['status'] as const
export type Root = (typeof ROOTS)[number]

/** Value of the first query parameter of that name, decoded as an HTML form is. */
export function queryOf(x: Exchange, name: string): string | undefined {
  return new URLSearchParams(x.query).get(name) ?? undefined
}

/** Value of the first cookie of that name (RFC 6265 section 4.2), without the double quotes around it. */
export function cookieOf(x: Exchange, name: string): string | undefined {
  for (const header of all(x.headers, 'cookie')) {
    for (const pair of header.split(';')) {
      const mark = pair.indexOf('=')
      if (mark > 0 && pair.slice(0, mark).trim() === name) return unquoted(pair.slice(mark + 1).trim())
    }
  }
  return undefined
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** @param name lower case */
export function headerOf(x: Exchange, name: string): string | undefined {
  return get(x.headers, name)
}

/** The columns of the request or the answer, or null when it has none that can be read. */
export function columnsOf(x: Exchange, root: 'input' | 'output'): Columns | null {
  try {
    return root === 'input' ? x.input : x.output
  } catch {
    return null
  }
}
