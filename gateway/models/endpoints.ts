/**
 * The built-in endpoints of the models: Open Inference Protocol v2 over REST, with the bodies KServe's server sends.
 * What is not ready answers 503. They come after all routes of the file.
 */
import { type Answer, type Exchange, problem, reply } from '../exchange.ts'
import { WeirError } from '../errors.ts'
import { oip } from '../payload/oip.ts'
import { infer } from './backends.ts'
import type { Model } from './model.ts'
import type { Models } from './models.ts'
import type { TensorSpec } from './signature.ts'

/** Values of `{name}` segments as they stand in the path, percent-encoded. */
export type PathParams = Readonly<Record<string, string>>

export interface BuiltinRoute {
  readonly methods: readonly string[]
  /** In the syntax of `match.path`. */
  readonly path: string
  /** Never rejects: errors are answers in the shape clients of the protocol read. Another method is answered 405. */
  handle(x: Exchange, params: PathParams): Answer | Promise<Answer>
}

const READ = ['GET', 'HEAD'] as const
const POST = ['POST'] as const
const PLATFORM = 'onnxruntime_onnx'

/** @param version of weir */
export function builtinRoutes(models: Models, version: string): readonly BuiltinRoute[] {
  const server = () => reply(200, { name: 'weir', version, extensions: [] })
  const list = () => reply(200, { models: [...models.repository.keys()] })
  const find = ({ model, version }: PathParams): Model => models.find(decode(model!), version === undefined ? 'latest' : numbered(decode(version)))
  const one = (methods: readonly string[], tail: string, handle: (model: Model, x: Exchange) => Answer | Promise<Answer>) =>
    both(tail).map((path) => route(methods, path, (x, params) => handle(find(params), x)))
  return [
    route(READ, '/v2/health/live', () => reply(200, { live: true })),
    route(READ, '/v2/health/ready', () => reply(models.ready ? 200 : 503, { ready: models.ready })),
    route(READ, '/v2', server),
    route(READ, '/v2/', server),
    route(READ, '/v2/models', list),
    ...one(READ, '', (model) => metadata(model, models)),
    ...one(READ, '/ready', (model) => reply(model.ready ? 200 : 503, { name: model.identity.name, ready: model.ready })),
    ...both('/infer').map((path) => route(POST, path, (x, params) => infer(x, x.leg, () => find(params), oip, '', models.gather))),
  ]
}

function both(tail: string): string[] {
  return [`/v2/models/{model}${tail}`, `/v2/models/{model}/versions/{version}${tail}`]
}

function route(methods: readonly string[], path: string, answer: (x: Exchange, params: PathParams) => Answer | Promise<Answer>): BuiltinRoute {
  function failed(x: Exchange, error: unknown): Answer {
    const known = error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
    x.error ??= known
    return problem(known, x.requestId)
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
  return { methods, path, handle }
}

function metadata(model: Model, models: Models): Answer {
  const { name, signature } = model.description
  if (signature === null) throw new WeirError('MODEL_NOT_READY', `model "${name}" version ${model.identity.version} is not ready`)
  const versions = models.repository.get(name)!.filter((version) => version.loaded).map(({ identity }) => identity.version)
  return reply(200, { name, versions, platform: PLATFORM, inputs: signature.inputs.map(tensor), outputs: signature.outputs.map(tensor) })
}

/** What is no tensor is told of with its name alone; the protocol has no type for it. */
function tensor({ name, dtype, shape }: TensorSpec): object {
  return dtype === null ? { name } : { name, datatype: dtype, shape }
}

/** A segment that is no valid encoding names nothing. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** `latest` is a word of the config, not a version of the protocol. */
function numbered(version: string): string {
  if (version === 'latest') throw new WeirError('MODEL_NOT_FOUND', 'a version is a number; leave it out for the latest')
  return version
}
