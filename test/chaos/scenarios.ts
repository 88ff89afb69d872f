/** The sixteen faults, how each is scripted, and what is judged beside whether the caller got a right answer. */
import { binary, type Got, tensor, FLOATS } from './bodies.ts'
import { bytes, type Call, cut, endless, type Fault, healthy, late, malformed, refuse, reset, says, silent, stalled, trickle, unannounced } from './provider.ts'

/** One second of the scenario lasts this long. A Retry-After cannot be shorter than a second: that one is not scaled. */
export const SECOND_MS = 100
export const TOTAL_MS = 30 * SECOND_MS
/** Two processes, a hundred cases at once and a machine with other work; that limits are exact is tested elsewhere. */
export const SLACK_MS = 700

export interface Seen {
  readonly got: Got
  readonly ms: number
  readonly primary: readonly Call[]
  readonly fallback: readonly Call[]
}

export interface Scenario {
  readonly id: string
  readonly title: string
  readonly primary: Fault
  /** Default: healthy. */
  readonly fallback?: Fault
  /** Scenario seconds; default: the total deadline. */
  readonly max_s?: number
  /** The error that is the right answer. */
  readonly right?: { readonly status: number; readonly code: string }
  /** What was wrong beside the answer, seen from both sides. */
  readonly conduct?: (seen: Seen) => (string | false)[]
}

const first = (fault: Fault): Fault => (call) => (call.nth === 1 ? fault(call) : healthy(call))
const tries = (count: number) => ({ primary }: Seen): string | false => primary.length !== count && `the primary saw ${primary.length} requests, not ${count}`
const bounded = ({ primary }: Seen): string | false => primary.length > 3 && `two retries are three requests, not ${primary.length}`
const moved = ({ fallback }: Seen): string | false => fallback.length !== 1 && `the fallback saw ${fallback.length} requests, not 1`
const unasked = ({ fallback }: Seen): string | false => fallback.length > 0 && 'the fallback was asked'
const cancelled = ({ primary }: Seen): string | false => primary.some(({ peer }) => !peer.over) && 'a request that was given up goes on at the provider'
/** A system that continues the answer of somebody else puts it last. */
const noPrefill = ({ fallback }: Seen): string | false => fallback.some(({ body }) => body.includes('"assistant"')) && 'half an answer was sent as a prefill'
const gap = (least_ms: number) => ({ primary: [one, two] }: Seen): string | false => two !== undefined && two.at - one!.at < least_ms && `asked again after ${Math.round(two.at - one!.at)} ms`
const whose = ({ got }: Seen): string | false => got.how === 'right' && (got.model !== 'fallback-model' || !got.usage) && `told of ${got.model}, usage ${got.usage}`

const judged = (...rules: ((seen: Seen) => string | false)[]) => (seen: Seen): (string | false)[] => rules.map((rule) => rule(seen))

export const scenarios: readonly Scenario[] = [
  // Timers of Node may fire up to a millisecond early.
  { id: 'S01', title: '429 with Retry-After, once', primary: first(refuse(429, 'rate_limit_exceeded', ['Retry-After: 1'])), max_s: 20, conduct: judged(tries(2), gap(998), unasked) },
  { id: 'S02', title: '429, always', primary: refuse(429, 'rate_limit_exceeded'), conduct: judged(tries(3), moved) },
  { id: 'S03', title: '500, once', primary: first(refuse(500, '')), max_s: 20, conduct: judged(tries(2), unasked) },
  { id: 'S04', title: '503, always', primary: refuse(503, 'overloaded'), conduct: judged(bounded, moved) },
  { id: 'S05', title: 'reset before the answer, once', primary: first(reset), max_s: 20, conduct: judged(tries(2), unasked) },
  { id: 'S06', title: 'silence', primary: silent, conduct: judged(tries(1), cancelled, moved) },
  { id: 'S07', title: 'first token after 20 s', primary: late(20 * SECOND_MS), max_s: 15, conduct: judged(tries(1), cancelled, moved) },
  { id: 'S08', title: 'cut after 40 of 60 tokens', primary: cut(40, 'end'), conduct: judged(tries(1)) },
  { id: 'S09', title: 'stall of 30 s after 20 tokens', primary: stalled(20, 30 * SECOND_MS), conduct: judged(tries(1), cancelled) },
  { id: 'S10', title: 'a malformed part', primary: malformed, conduct: judged(tries(1)) },
  { id: 'S11', title: 'no [DONE], no Content-Length', primary: unannounced, max_s: 8, conduct: judged(tries(1), unasked) },
  { id: 'S12', title: '400: context length', primary: refuse(400, 'context_length_exceeded'), max_s: 20, conduct: judged(tries(1), moved) },
  { id: 'S13', title: '400: content filter', primary: refuse(400, 'content_policy_violation'), right: { status: 400, code: 'content_policy_violation' }, max_s: 20, conduct: judged(tries(1), unasked) },
  {
    id: 'S14',
    title: 'cut; the fallback rejects a prefill',
    primary: cut(40, 'reset'),
    fallback: (call) => (call.body.includes('"assistant"') ? refuse(400, 'invalid_prefill')(call) : healthy(call)),
    conduct: judged(tries(1), noPrefill),
  },
  // S15 is a sequence: see `flapping.ts`.
  { id: 'S16', title: 'whose answer it is', primary: refuse(503, 'overloaded'), conduct: judged(bounded, moved, whose) },
]

/** Where nobody can answer: the caller is told so, and waits no longer than the total deadline. */
export const hopeless: readonly Scenario[] = [
  { id: 'H01', title: 'both are silent', primary: silent, fallback: silent, conduct: judged(tries(1), cancelled) },
  { id: 'H02', title: 'both answer 503', primary: refuse(503, 'overloaded'), fallback: refuse(503, 'overloaded'), conduct: judged(bounded) },
  { id: 'H03', title: 'both reset in the middle', primary: cut(20, 'reset'), fallback: cut(20, 'reset'), conduct: judged(tries(1)) },
  { id: 'H04', title: 'both never end', primary: endless(SECOND_MS), fallback: endless(SECOND_MS), conduct: judged(tries(1), cancelled) },
  { id: 'H05', title: '429, and a pause longer than the deadline', primary: refuse(429, 'rate_limit_exceeded', ['Retry-After: 4']), fallback: silent, conduct: judged(tries(1)) },
]

/** Tensor answers that are wrong in ways that only the format knows: all must fall back. */
const nan = Buffer.from(FLOATS)
nan.writeFloatLE(NaN, 40)

export const tensorFaults: readonly Scenario[] = [
  { id: 'T01', title: 'byte by byte, never whole', primary: trickle(SECOND_MS / 10), conduct: judged(tries(1), cancelled, moved) },
  { id: 'T02', title: 'cut inside of a chunk', primary: ({ peer, model }) => peer.send(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${tensor(model).length.toString(16)}\r\n${tensor(model).slice(0, 50)}`).then(() => peer.destroy()) },
  { id: 'T03', title: 'a 200 that is a page', primary: bytes(() => 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n<html></html>') },
  { id: 'T04', title: 'a 200 that tells of an error', primary: says(() => '{"error":"CUDA out of memory"}') },
  { id: 'T05', title: 'a 200 without the output asked for', primary: says((model) => tensor(model, { name: 'z' })) },
  { id: 'T06', title: 'a value too few', primary: says((model) => tensor(model, { shape: [61] })) },
  { id: 'T07', title: 'text where numbers belong', primary: says((model) => tensor(model, { data: FLOATS.toString('hex').match(/.{8}/g) })) },
  { id: 'T08', title: 'NaN in a binary tensor', primary: bytes((model) => binary(model, nan)) },
  { id: 'T09', title: 'a binary tensor that is short', primary: bytes((model) => binary(model, FLOATS.subarray(0, 200), FLOATS.length)) },
  { id: 'T10', title: 'a binary tensor, whole', primary: bytes((model) => binary(model, FLOATS)), conduct: judged(tries(1), unasked) },
]
