/** Triton's model repository extension (extension_model_repository.md), with the bodies KServe sends where Triton's are empty. */
import { WeirError } from '../../errors.ts'
import { type Answer, type Exchange, reply } from '../../exchange.ts'
import { clip } from '../../payload/json.ts'
import type { IndexEntry, Refusal } from '../operator.ts'
import { type BuiltinRoute, decode, POST, route } from './route.ts'
import type { Served } from './served.ts'

/** Bodies here are a few words. */
const MAX_BYTES = 64 << 10

export function repositoryRoutes(served: Served): readonly BuiltinRoute[] {
  const { operator } = served.models
  return [
    route(POST, '/v2/repository/index', async (x) => {
      const { ready } = await body(x, served)
      if (ready !== undefined && typeof ready !== 'boolean') throw new WeirError('BAD_BODY', 'expected "ready" to be true or false')
      const entries = await operator.index()
      return reply(200, entries.filter(({ state }) => ready !== true || state === 'READY').map(entry))
    }),
    order('load', served, (name) => operator.load(name)),
    order('unload', served, (name) => operator.unload(name)),
  ]
}

function order(action: 'load' | 'unload', served: Served, carryOut: (name: string) => Promise<Refusal | null>): BuiltinRoute {
  async function handle(x: Exchange, params: Readonly<Record<string, string>>): Promise<Answer> {
    const name = decode(params['model']!)
    if (served.config.control !== 'explicit') throw new WeirError('FORBIDDEN', `callers may not ${action} models here; "models.control: explicit" in the configuration lets them`)
    checkParameters(action, (await body(x, served))['parameters'])
    const refusal = await carryOut(name)
    if (refusal !== null) throw new WeirError(refusal.code, refusal.message)
    return reply(200, { name, [action]: true })
  }
  return route(POST, `/v2/repository/models/{model}/${action}`, handle)
}

/** A model is what its folder holds: whoever sends another configuration, or files, would get something else than asked. */
function checkParameters(action: string, parameters: unknown): void {
  if (parameters === undefined) return
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) throw new WeirError('BAD_BODY', 'expected "parameters" to be an object')
  for (const name of Object.keys(parameters)) if (name !== 'unload_dependents') throw new WeirError('BAD_BODY', `parameter "${clip(name)}" of ${action} is not supported: models are loaded as their folder has them`)
}

/** Version and reason are left out where there is none. */
function entry({ name, version, state, reason }: IndexEntry): object {
  return { name, ...(version !== '' && { version }), state, ...(reason !== '' && { reason }) }
}

/** An object, or nothing at all. @throws WeirError `BAD_BODY`, `BODY_TOO_LARGE` */
async function body(x: Exchange, { models }: Served): Promise<Readonly<Record<string, unknown>>> {
  const bytes = x.body === null || Buffer.isBuffer(x.body) ? x.body : await models.gather(x.body, MAX_BYTES)
  const text = bytes?.toString().trim() ?? ''
  if (text === '') return {}
  if (text.length > MAX_BYTES) throw new WeirError('BODY_TOO_LARGE', `the body is larger than the ${MAX_BYTES} bytes of an order`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new WeirError('BAD_BODY', 'the body is not well-formed JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new WeirError('BAD_BODY', 'expected the body to be an object')
  return value as Record<string, unknown>
}
