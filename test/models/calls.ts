/** Built-in endpoints as callers reach them: by method and path, through the router. */
import type { Answer } from '../../gateway/exchange.ts'
import type { BuiltinRoute } from '../../gateway/models/protocol/route.ts'
import { compileRouter } from '../../gateway/server/router.ts'
import { exchange } from './setup.ts'

export type Call = (method: string, path: string, body?: string | Buffer | null, headers?: string[]) => Promise<Answer>

/** @returns a call that throws when no endpoint has the path. The endpoints check the method themselves. */
export function caller(routes: readonly BuiltinRoute[]): Call {
  const router = compileRouter(routes.map((route) => ({ match: { host: null, methods: [], path: route.path, headers: {}, when: null }, when: null, route })))
  return async function call(method, path, body = null, headers = []) {
    const { route, ...found } = router.find(method, path, [])
    if (route === null) throw new Error(`no endpoint for ${path}`)
    const x = exchange(body, route.format, { method, target: path, headers })
    return route.handle(x, 'params' in found ? (found.params ?? {}) : {})
  }
}
