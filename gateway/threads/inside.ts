/** The models inside as a data thread has them: backends by name, and the built-in endpoints as routes. Loaded only when a config has models. */
import type { Config, RouteConfig } from '../../config/config.ts'
import type { Backend } from '../exchange.ts'
import type { ModelPart } from '../gateway.ts'
import type { RouteEntry } from '../server/router.ts'
import { type BuiltinRoute, builtinRoutes } from '../models/endpoints.ts'
import { createModels, type ModelsDeps } from '../models/models.ts'
import { oip } from '../payload/oip.ts'
import type { CompiledRoute } from '../pipeline/route.ts'
import type { ModelGrant } from './messages.ts'

/** As `max_body_bytes` of a route that says nothing. */
const MAX_BODY_BYTES = 64 << 20

/** @param released runs once the models are closed */
export async function openModels(config: Config, grant: ModelGrant, version: string, deps: ModelsDeps, released: () => void): Promise<ModelPart> {
  const models = await createModels(grant.description, grant.port, deps)
  const backends = new Map<string, Backend>()
  for (const backend of Object.values(config.backends)) if (backend.kind === 'onnx' || backend.kind === 'model') backends.set(backend.name, models.backend(backend))
  return {
    backends,
    routes: config.models === null ? [] : builtinRoutes(models, version).map(asEntry),
    async close() {
      await models.close()
      released()
    },
  }
}

/** An endpoint as a route without plugins. Its name, in metrics and answers, is its path. */
function asEntry(endpoint: BuiltinRoute): RouteEntry<CompiledRoute> {
  const send: Backend['send'] = (x) => endpoint.handle(x, x.params ?? {})
  const backend: Backend = { name: '', kind: 'builtin', send }
  const match: RouteConfig['match'] = { host: null, methods: endpoint.methods, path: endpoint.path, headers: {}, when: null }
  const none = { request: null, requestBody: null, response: null, responseBody: null, responseChunk: null, done: null }
  const route: CompiledRoute = { name: endpoint.path, format: oip, maxBodyBytes: MAX_BODY_BYTES, backend, plugins: [], slots: 0, ...none, send, replayBytes: 0, plain: true, admin: new Map(), close: async () => undefined }
  return { match, when: null, route }
}
