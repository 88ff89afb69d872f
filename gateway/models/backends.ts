/** Models as backends: body in, answer out, in the format of the route. */
import { Answer, type Backend, type Exchange, type Format, type Leg } from '../exchange.ts'
import type { Columns } from '../payload/columns.ts'
import { oip } from '../payload/oip.ts'
import type { Gather, Model } from './model.ts'

const EMPTY = Buffer.alloc(0)

/** A backend that runs `model`. A route without a format of its own speaks OIP. */
export function modelBackend(name: string, kind: 'onnx' | 'model', model: Model, gather: Gather): Backend {
  return { name, kind, send: (x, leg) => infer(x, leg, model, x.route.format ?? oip, name, gather) }
}

/** @param backend name for the answer @throws WeirError */
export async function infer(x: Exchange, leg: Leg, model: Model, format: Format, backend: string, gather: Gather): Promise<Answer> {
  if (x.body !== null && !Buffer.isBuffer(x.body)) x.body = await gather(x.body, x.route.maxBodyBytes)
  // The exchange keeps what it decoded (or a plugin changed), but only in the route's own format.
  const request = x.route.format === format ? x.input : format.readRequest(x.body ?? EMPTY, x.fields)
  // A model is a backend: its run, and the wait for it, is no overhead of the gateway.
  const started = model.now()
  let columns: Columns
  try {
    columns = await model.run(request, !format.typed, leg)
  } finally {
    x.waited += model.now() - started
  }
  const { type, body } = format.writeAnswer(columns, request)
  const answer = new Answer(200, ['content-type', type], body)
  answer.backend = backend
  answer.model = model.identity
  return answer
}
