/** What the built-in endpoints of all protocols have in common: routes, refusals, names in paths. */
import { WeirError } from '../../errors.ts'
import { Answer, type Exchange, type Format, problem } from '../../exchange.ts'

/** Values of `{name}` segments as they stand in the path, percent-encoded. */
export type PathParams = Readonly<Record<string, string>>

export interface BuiltinRoute {
  readonly methods: readonly string[]
  /** In the syntax of `match.path`. */
  readonly path: string
  /** Of its bodies; null where it has none. */
  readonly format: Format | null
  /** Never rejects: errors are answers in the shape clients of the protocol read. Another method is answered 405. */
  handle(x: Exchange, params: PathParams): Answer | Promise<Answer>
}

/** How a protocol tells of an error. */
export type Shape = (error: WeirError, requestId: string) => Answer
export type Handler = (x: Exchange, params: PathParams) => Answer | Promise<Answer>

export const READ = ['GET', 'HEAD'] as const
export const POST = ['POST'] as const

export function route(methods: readonly string[], path: string, answer: Handler, format: Format | null = null, shape: Shape = problem): BuiltinRoute {
  function failed(x: Exchange, error: unknown): Answer {
    const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
    x.error ??= known
    return shape(known, x.requestId)
  }
  function handle(x: Exchange, params: PathParams): Answer | Promise<Answer> {
    if (!methods.includes(x.method)) {
      const refused = failed(x, new WeirError('METHOD_NOT_ALLOWED', `${path} takes ${methods.join(', ')}`))
      refused.headers.push('allow', methods.join(', '))
      return refused
    }
    try {
      const made = answer(x, params)
      return made instanceof Promise ? made.catch((error: unknown) => failed(x, error)) : made
    } catch (error) {
      return failed(x, error)
    }
  }
  return { methods, path, format, handle }
}

/** A segment that is no valid encoding names nothing. */
export function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
