/** Errors of a backend in the one shape that callers of weir know: `{"error": "<sentence>"}`. */
import type { Answer, Leg } from '../exchange.ts'
import { describeBody } from '../exchange.ts'
import { hold } from '../hold.ts'

/** Longer ones are no error messages; they pass as they are. */
const MAX_BYTES = 64 * 1024
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i

/**
 * An answer with another status than 2xx. What already has a text `error` (OIP, KServe, TensorFlow Serving, weir) passes as it is,
 * and so does what tells nothing (pages of a proxy, empty bodies); status and fields stay in any case.
 */
export async function understood(answer: Answer, leg: Leg): Promise<Answer> {
  const { fields, status } = answer
  if (status < 400 || fields.get('content-encoding') !== undefined) return answer
  const { body } = await hold(answer, leg, MAX_BYTES)
  if (!Buffer.isBuffer(body) || body.length > MAX_BYTES) return answer
  const sentence = sentenceOf(fields.get('content-type') ?? '', body)
  if (sentence === null) return answer
  answer.body = Buffer.from(JSON.stringify({ error: sentence }))
  describeBody(answer.headers, { type: 'application/json', body: answer.body })
  return answer
}

/** null: nothing to translate. */
function sentenceOf(type: string, body: Buffer): string | null {
  if (/^text\/plain\b/i.test(type)) return asSentence(body.toString().trim())
  if (!JSON_TYPE.test(type)) return null
  try {
    return fromJson(JSON.parse(body.toString()))
  } catch {
    return null
  }
}

/** Several lines are no sentence (Python servers answer with tracebacks): they tell nothing to callers. */
function asSentence(text: string): string | null {
  return text === '' || text.includes('\n') ? null : text
}

/** `message` is MLflow's word, `detail` FastAPI's (MLServer, BentoML); OpenAI and Google nest a `message` in `error`. */
function fromJson(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return null
  const { error, message, detail } = value as { readonly error?: unknown; readonly message?: unknown; readonly detail?: unknown }
  if (typeof error === 'string') return null
  const nested = typeof error === 'object' && error !== null ? (error as { readonly message?: unknown }).message : undefined
  const found = nested ?? message ?? detail
  if (found === undefined) return null
  return typeof found === 'string' ? found : JSON.stringify(found)
}
