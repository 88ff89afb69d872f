/** Models as backends: body in, answer out, in the format of the route. */
import { Answer, type Backend, describeBody, type Exchange, type Format, type Gather, isFlow, type Leg, type Written } from '../exchange.ts'
import { add, Fields, remove, set } from '../headers.ts'
import { decoded, encodedFor } from '../payload/coding.ts'
import type { Columns } from '../payload/columns.ts'
import { oip } from '../payload/oip.ts'
import type { Model } from './model.ts'
import { outcomeOf } from './model_metrics.ts'

const EMPTY = Buffer.alloc(0)
const JSON_TYPE = 'application/json'
/** Shorter answers are not worth a look at what the caller takes. */
const COMPRESSIBLE = 1024

/** The model that answers now, which may be another one at the next request. @throws WeirError `MODEL_NOT_FOUND` */
export type Find = () => Model

/** A backend that runs a model. A route without a format of its own speaks OIP. */
export function modelBackend(name: string, kind: 'onnx' | 'model', find: Find, gather: Gather): Backend {
  return { name, kind, send: (x, leg) => infer(x, leg, find, x.route.format ?? oip, name, gather), available: () => isReady(find) }
}

function isReady(find: Find): boolean {
  try {
    return find().ready
  } catch {
    return false
  }
}

/** @param backend name for the answer @throws WeirError */
export async function infer(x: Exchange, leg: Leg, find: Find, format: Format, backend: string, gather: Gather): Promise<Answer> {
  const coding = x.fields.get('content-encoding')
  // Before a large body is waited for.
  if (coding !== undefined || isFlow(x.body)) find()
  // From here on the body is whole and in no content coding, for a backend that comes after this one too.
  if (isFlow(x.body)) x.body = await gather(x.body, x.route.maxBodyBytes, leg)
  if (coding !== undefined) await decode(x, coding)
  // A model that was found stays only until somebody else has a turn: from here to its run nothing is awaited.
  const model = find()
  x.model = model.identity
  let answer: Answer
  let written = false
  try {
    const began = model.now()
    // The exchange keeps what it decoded (or a plugin changed), but only in the route's own format.
    const request = x.route.format === format ? x.input : format.readRequest((x.body as Buffer | null) ?? EMPTY, x.fields)
    const asked = model.now()
    let columns: Columns
    let ran = asked
    try {
      columns = await model.run(request, !format.typed, leg)
    } finally {
      // A model is a backend: its run, and the wait for it, is no overhead of the gateway.
      ran = model.now()
      x.waited += ran - asked
    }
    written = true
    answer = answerOf(format.writeAnswer(columns, request))
    model.metrics.bodies(asked - began, model.now() - ran)
  } catch (error) {
    const outcome = outcomeOf(error)
    model.metrics.count(written && outcome === 'run' ? 'output' : outcome)
    throw error
  }
  model.metrics.count('ok')
  answer.backend = backend
  answer.model = model.identity
  return (answer.body as Buffer).length < COMPRESSIBLE ? answer : compressed(answer, x.fields.get('accept-encoding'))
}

/** @throws WeirError */
async function decode(x: Exchange, coding: string): Promise<void> {
  if (x.body !== null) x.body = await decoded(x.body as Buffer, coding, x.route.maxBodyBytes)
  remove(x.headers, 'content-encoding')
}

/** Fields as a block: mostly nobody looks at them before they are sent. */
function answerOf(written: Written): Answer {
  if (written.type === JSON_TYPE && written.jsonLength === undefined) return new Answer(200, new Fields('content-type: application/json\r\n', false), written.body)
  const answer = new Answer(200, [], written.body)
  describeBody(answer.headers, written)
  return answer
}

async function compressed(answer: Answer, accepts: string | undefined): Promise<Answer> {
  if (accepts === undefined) return answer
  add(answer.headers, 'vary', 'accept-encoding')
  const encoded = await encodedFor(accepts, answer.body as Buffer)
  if (encoded === null) return answer
  set(answer.headers, 'content-encoding', encoded.coding)
  answer.body = encoded.body
  return answer
}
