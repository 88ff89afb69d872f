/**
 * An answer as far as it must be known before it may go out, so that what is wrong with it by then can still be answered by another
 * target. One way for answers of any kind:
 *
 * - whole answers are held until they are whole, up to a limit, and checked;
 * - streams are held up to the first event that carries content (`pass`), or until they are whole (`buffer`), and checked as far as that;
 * - what cannot be read on the way (a coding, another type of stream) or is known to be longer than the limit: until its first byte.
 */
import { WeirError } from './errors.ts'
import type { Answer, Exchange, Leg } from './exchange.ts'
import { HOLD_BYTES, holdFlow, type Inspector, isStream } from './hold.ts'
import { unsound } from './payload/soundness.ts'
import { StreamInspector } from './peek.ts'
import { scannerOf } from './sse.ts'

export interface Assurance {
  readonly stream: 'pass' | 'buffer'
  /** Bytes of a stream that are held at most until it carries content; 0 = streams go on at once. */
  readonly peek: number
  /** Answers are checked for what they promise. */
  readonly check: boolean
}

/**
 * @returns the answer, its body a Buffer where it is whole, else a flow from its first byte
 * @throws WeirError (or rejects with it) what cut the body or stopped the leg, and `INVALID_ANSWER` for what the check finds
 */
export function assure(x: Exchange, answer: Answer, leg: Leg, terms: Assurance): Answer | Promise<Answer> {
  const { body } = answer
  if (body === null || answer.tunnel !== null || (!terms.check && Buffer.isBuffer(body))) return answer
  return isStream(answer) ? assureStream(x, answer, leg, terms) : assureWhole(x, answer, leg, terms.check)
}

function assureWhole(x: Exchange, answer: Answer, leg: Leg, check: boolean): Answer | Promise<Answer> {
  const body = answer.body!
  if (Buffer.isBuffer(body)) return check ? sound(x, answer) : answer
  const limit = check ? longest(x) : HOLD_BYTES
  return holdFlow(body, leg, body.length > limit ? 0 : limit).then((held) => {
    answer.body = held
    return check ? sound(x, answer) : answer
  })
}

function sound(x: Exchange, answer: Answer): Answer {
  const complaint = unsound(x, answer)
  if (complaint === null) return answer
  throw new WeirError('INVALID_ANSWER', `${complaint[0]!.toUpperCase()}${complaint.slice(1)}.`)
}

function assureStream(x: Exchange, answer: Answer, leg: Leg, { stream, peek, check }: Assurance): Answer | Promise<Answer> {
  const body = answer.body!
  const first = stream === 'pass'
  if (first && peek === 0) return answer
  const inspector = inspectorOf(x, answer, first, check)
  const limit = first ? peek : longest(x)
  if (Buffer.isBuffer(body)) {
    if (inspector?.push(body.subarray(0, limit)) === false && body.length <= limit) inspector.end()
    return answer
  }
  // What nobody can read decides with its first byte.
  return holdFlow(body, leg, first && inspector === null ? 0 : limit, inspector).then((held) => {
    answer.body = held
    return answer
  })
}

/** null: nothing of this stream can, or need, be looked at. */
function inspectorOf(x: Exchange, answer: Answer, first: boolean, check: boolean): Inspector | null {
  const strict = check && answer.status >= 200 && answer.status <= 299
  const scanner = first || strict ? scannerOf(answer) : null
  return scanner === null ? null : new StreamInspector(scanner, { first, strict, openai: x.route.openai === true })
}

/** Bytes of an answer that are held where all of it is to be checked. */
function longest(x: Exchange): number {
  return Math.max(x.route.maxBodyBytes, HOLD_BYTES)
}
