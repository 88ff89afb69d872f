/** Which header fields and query parameters of an exchange are kept, and which of those without their values. */
import { REDACTED } from './redact.ts'

export interface Keep {
  /** Lower case. */
  readonly names: ReadonlySet<string>
  readonly redacted: ReadonlySet<string>
}

export function keep(names: readonly string[], redacted: readonly string[]): Keep {
  const lower = (list: readonly string[]): Set<string> => new Set(list.map((name) => name.toLowerCase()))
  return { names: lower(names), redacted: lower(redacted) }
}

/** @param headers flat @returns those that are kept, flat, names in lower case */
export function keptFields(headers: readonly string[], { names, redacted }: Keep): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    if (names.has(name)) kept.push(name, redacted.has(name) ? REDACTED : headers[i + 1]!)
  }
  return kept
}

/** The value of these parameters; it stays a target, so the brackets are escaped. */
const IN_QUERY = encodeURIComponent(REDACTED)

/** @param parameters names, decoded */
export function redactedTarget(target: string, parameters: ReadonlySet<string>): string {
  const mark = target.indexOf('?')
  if (mark < 0) return target
  const pairs = target.slice(mark + 1).split('&').map((pair) => {
    const equals = pair.indexOf('=')
    return equals >= 0 && parameters.has(decodedName(pair.slice(0, equals))) ? `${pair.slice(0, equals)}=${IN_QUERY}` : pair
  })
  return `${target.slice(0, mark)}?${pairs.join('&')}`
}

/** As a form decodes it. */
function decodedName(name: string): string {
  return new URLSearchParams(`${name}=`).keys().next().value ?? ''
}
