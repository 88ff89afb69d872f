/**
 * TensorFlow Serving's REST API (g3doc/api_rest.md; paths as in model_servers/http_rest_api_util.cc) and KServe's V1 protocol, which
 * share their paths: one answer holds what the clients of both look for. Paths below `/v1/models` match without case.
 */
import { WeirError } from '../../errors.ts'
import { type Answer, type Exchange, reply } from '../../exchange.ts'
import { clip } from '../../payload/json.ts'
import { tfs } from '../../payload/tfs.ts'
import { infer } from '../backends.ts'
import type { Model } from '../model.ts'
import type { Models } from '../models.ts'
import { type BuiltinRoute, decode, POST, READ, route } from './route.ts'
import type { Served } from './served.ts'
import { signatureDef } from './signature_def.ts'

const CALL = /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+)|\/labels\/([^/:]+))?:(\w+)$/i
const LOOK = /^\/v1\/models(?:\/([^/:]+))?(?:\/versions\/(\d+)|\/labels\/([^/:]+))?(?:\/(metadata))?$/i
/** TF Serving's versions are int64. */
const MAX_VERSION = 2n ** 63n - 1n

/** Which model a path means; at most one of version and label. */
interface Spec {
  readonly name: string
  readonly version: string | undefined
  readonly label: string | undefined
}

export function v1Routes({ models }: Served): readonly BuiltinRoute[] {
  function handle(x: Exchange): Answer | Promise<Answer> {
    const call = CALL.exec(x.path)
    if (call !== null) return callOf(call, x)
    const look = LOOK.exec(x.path)
    if (look === null || (look[1] === undefined && x.path.length > '/v1/models'.length)) throw new WeirError('BAD_TARGET', `Malformed request: ${x.method} ${clip(x.path)}`)
    if (x.method === 'POST') throw new WeirError('METHOD_NOT_ALLOWED', 'this path takes GET; "…:predict" takes POST')
    return look[1] === undefined ? reply(200, { models: [...models.repository.keys()] }) : lookAt(specOf(look), look[4] !== undefined, models)
  }
  function callOf(match: RegExpExecArray, x: Exchange): Promise<Answer> {
    const verb = match[4]!.toLowerCase()
    if (x.method !== 'POST') throw new WeirError('METHOD_NOT_ALLOWED', `":${clip(verb)}" takes POST`)
    if (verb !== 'predict') throw new WeirError('NOT_IMPLEMENTED', `":${clip(verb)}" is not served: an ONNX model has no signature for it; use ":predict"`)
    const spec = specOf(match)
    return infer(x, x.leg, () => find(models, spec), tfs, '', models.gather)
  }
  return [
    route([...READ, ...POST], '/v1/models/**', handle, tfs),
    // KServe's server at its root; its client asks here whether the server lives.
    route(READ, '/', () => reply(200, { status: 'alive' })),
  ]
}

function specOf([, name, version, label]: RegExpExecArray): Spec {
  if (version !== undefined && BigInt(version) > MAX_VERSION) throw new WeirError('BAD_TARGET', `Failed to convert version: ${clip(version)} to numeric.`)
  return { name: decode(name!), version: version === undefined ? undefined : String(BigInt(version)), label: label === undefined ? undefined : decode(label) }
}

/** @throws WeirError in TensorFlow Serving's words */
function find(models: Models, { name, version, label }: Spec): Model {
  try {
    if (label !== undefined) return models.labelled(name, label)
    // OpenVINO's client says 0 for the default version.
    if (version === '0' && models.repository.get(name)?.some(({ identity }) => identity.version === '0') !== true) return models.find(name)
    return models.find(name, version)
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== 'MODEL_NOT_FOUND') throw error
    if (label !== undefined && models.repository.has(name)) throw new WeirError('BAD_TARGET', `Unrecognized servable version label: ${clip(label)}`)
    const asked = version === undefined ? `Latest(${clip(name)})` : `Specific(${clip(name)}, ${clip(version)})`
    throw new WeirError('MODEL_NOT_FOUND', `Servable not found for request: ${asked}`)
  }
}

function lookAt(spec: Spec, metadata: boolean, models: Models): Answer {
  const model = find(models, spec)
  if (metadata) return reply(200, signatureDef(model))
  const whole = spec.label === undefined && (spec.version === undefined || spec.version === '0')
  const versions = whole ? models.repository.get(spec.name)! : [model]
  const { ready } = model
  // Clients of KServe go by the status, those of TensorFlow Serving by the body.
  return reply(ready ? 200 : 503, { name: model.identity.name, ready, model_version_status: versions.toReversed().map(status) })
}

/** TensorFlow Serving's states (get_model_status.proto): what failed or was unloaded has come to its END. */
function status(model: Model): object {
  const { version } = model.identity
  const { state, reason } = model.description
  if (model.ready) return { version, state: 'AVAILABLE', status: { error_code: 'OK', error_message: '' } }
  if (state === 'failed') return { version, state: 'END', status: { error_code: 'UNKNOWN', error_message: reason } }
  const word = state === 'unloading' ? 'UNLOADING' : state === 'unloaded' ? 'END' : 'LOADING'
  return { version, state: word, status: { error_code: 'OK', error_message: '' } }
}
