/**
 * Open Inference Protocol v2 over REST with the bodies KServe's server sends, and Triton's extensions of it: repository, statistics,
 * configuration. What is not ready answers 503.
 */
import { WeirError } from '../../errors.ts'
import { type Answer, reply } from '../../exchange.ts'
import { oip } from '../../payload/oip.ts'
import { infer } from '../backends.ts'
import type { Model } from '../model.ts'
import type { TensorSpec } from '../signature.ts'
import { modelConfig, PLATFORM } from './model_config.ts'
import { ready } from './ready.ts'
import { repositoryRoutes } from './repository.ts'
import { type BuiltinRoute, decode, type Handler, type PathParams, POST, READ, route } from './route.ts'
import type { Served } from './served.ts'
import { statistics } from './statistics.ts'

/** Those of Triton's that are served here whole. */
const EXTENSIONS = ['binary_tensor_data', 'classification', 'model_configuration', 'model_repository', 'statistics'] as const

export function oipRoutes(served: Served): readonly BuiltinRoute[] {
  const { models, version } = served
  const { operator } = models
  const server = (): Answer => reply(200, { name: 'weir', version, extensions: EXTENSIONS })
  const find = ({ model, version }: PathParams): Model => models.find(decode(model!), version === undefined ? 'latest' : numbered(decode(version)))
  const each = (methods: readonly string[], tail: string, handle: Handler): BuiltinRoute[] =>
    ['/v2/models/{model}', '/v2/models/{model}/versions/{version}'].map((path) => route(methods, path + tail, handle, oip))
  const look = (tail: string, handle: (model: Model, params: PathParams) => Answer | Promise<Answer>): BuiltinRoute[] =>
    each(READ, tail, (_, params) => handle(find(params), params))
  return [
    route(READ, '/v2/health/live', () => reply(200, { live: true })),
    route(READ, '/v2/health/ready', () => reply(models.ready ? 200 : 503, { ready: models.ready })),
    route(READ, '/v2', server),
    route(READ, '/v2/', server),
    route(READ, '/v2/models', () => reply(200, { models: [...models.repository.keys()] })),
    // Before `{model}`: a model of this name has no metadata of its own.
    route(READ, '/v2/models/stats', async () => reply(200, statistics(await operator.counts()))),
    ...each(POST, '/infer', (x, params) => infer(x, x.leg, () => find(params), oip, '', models.gather)),
    ...look('', (model) => metadata(model, served)),
    ...look('/ready', (model) => reply(model.ready ? 200 : 503, { name: model.identity.name, ready: model.ready })),
    ...look('/config', (model) => reply(200, modelConfig(ready(model), served.config.versions))),
    ...look('/stats', async ({ identity }, { version }) => {
      const counts = await operator.counts()
      return reply(200, statistics(counts.filter((one) => one.model === identity.name && (version === undefined || one.version === identity.version))))
    }),
    ...repositoryRoutes(served),
  ]
}

function metadata(model: Model, { models }: Served): Answer {
  const { name, signature } = ready(model).description
  const versions = models.repository.get(name)!.filter((version) => version.loaded).map(({ identity }) => identity.version)
  return reply(200, { name, versions, platform: PLATFORM, inputs: signature!.inputs.map(tensor), outputs: signature!.outputs.map(tensor) })
}

/** What is no tensor is told of with its name alone; the protocol has no type for it. */
function tensor({ name, dtype, shape }: TensorSpec): object {
  return dtype === null ? { name } : { name, datatype: dtype, shape }
}

/** `latest` and labels are words of the config, not versions of the protocol. */
function numbered(version: string): string {
  if (!/^\d+$/.test(version)) throw new WeirError('MODEL_NOT_FOUND', 'a version is a number; leave it out for the latest')
  return version
}
