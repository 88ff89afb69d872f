/** MLflow's scoring server (mlflow/pyfunc/scoring_server): it serves one model, so its paths have no name. */
import { codes, WeirError } from '../../errors.ts'
import { Answer, problem, reply } from '../../exchange.ts'
import { mlflow } from '../../payload/mlflow.ts'
import { infer } from '../backends.ts'
import type { Model } from '../model.ts'
import type { Models } from '../models.ts'
import { type BuiltinRoute, POST, READ, route } from './route.ts'
import type { Served } from './served.ts'

export function mlflowRoutes({ models, version }: Served): readonly BuiltinRoute[] {
  const alive = (): Answer => new Answer(models.ready ? 200 : 503, ['content-type', 'application/json'], Buffer.from('\n'))
  return [
    route(READ, '/ping', alive),
    route(READ, '/health', alive),
    route(READ, '/version', () => reply(200, version)),
    route(POST, '/invocations', (x) => infer(x, x.leg, () => only(models), mlflow, '', models.gather), mlflow, mlflowProblem),
  ]
}

/** @throws WeirError `MODEL_NOT_FOUND` */
function only(models: Models): Model {
  const [name, ...others] = models.repository.keys()
  if (name !== undefined && others.length === 0) return models.find(name)
  const found = name === undefined ? 'is none' : `are ${others.length + 1}`
  throw new WeirError('MODEL_NOT_FOUND', `/invocations serves the only model of a folder, and there ${found}: make a route with "format: mlflow" for each`)
}

/** `{"error_code","message"}`, MLflow's error body, with what weir says beside it. */
function mlflowProblem(error: WeirError, requestId: string): Answer {
  const answer = problem(error, requestId)
  answer.body = Buffer.from(JSON.stringify({ error_code: word(error.status), message: error.message, code: error.code, request_id: requestId }))
  return answer
}

/** Names of MLflow's databricks_pb2.ErrorCode. */
function word(status: number): string {
  if (status === codes.MODEL_NOT_FOUND.status) return 'RESOURCE_DOES_NOT_EXIST'
  if (status === codes.FORBIDDEN.status) return 'PERMISSION_DENIED'
  if (status < 500) return 'BAD_REQUEST'
  return status === codes.OVERLOADED.status ? 'TEMPORARILY_UNAVAILABLE' : 'INTERNAL_ERROR'
}
