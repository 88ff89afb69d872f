/** Rows as requests of a route: in its format, with the columns its model takes. */
import type { RouteConfig } from '../../../config/config.ts'
import { Fields } from '../../headers.ts'
import { bindRows } from '../../models/signature.ts'
import { rows } from '../../payload/rows.ts'
import type { CompiledRoute } from '../../pipeline/route.ts'
import type { Logged, Request } from './event.ts'
import type { Taken } from './models.ts'

const NO_FIELDS = Fields.of([])
const JSON_TYPE = ['content-type', 'application/json'] as const

/** @throws WeirError when the row does not fit what the model takes */
export type MakeRequest = (request: Request) => Logged

/** @param taken null: what the backend takes is not known; columns go out by their names */
export function requestsOf(route: CompiledRoute, match: RouteConfig['match'], taken: Taken | null): MakeRequest {
  const { format } = route
  const method = match.methods.length === 0 || match.methods.includes('POST') ? 'POST' : match.methods[0]!
  const target = match.path.replace(/\{[^/}]*\}|\*+/g, 'backtest')
  const made = (body: Buffer, headers: readonly string[]): Logged => ({ method, target, headers: [...Object.entries(match.headers).flat(), ...headers], body })

  return (request) => {
    if (!('row' in request)) return request
    const body = Buffer.from(request.row)
    if (format === null || format === rows) return made(body, JSON_TYPE)
    const named = rows.readRequest(body, NO_FIELDS)
    // Where tensors say their types, they must be the model's.
    const columns = format.typed && taken !== null ? { columns: bindRows(named, taken.signature, taken.features) } : { columns: named.columns }
    const { type, body: written, jsonLength } = format.writeRequest(columns)
    return made(written, ['content-type', type, ...(jsonLength === undefined ? [] : ['inference-header-content-length', String(jsonLength)])])
  }
}
