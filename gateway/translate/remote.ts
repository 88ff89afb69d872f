/** The signature of a model at an Open Inference Protocol server: asked for once, shared, and asked for again when it seems to have changed. */
import type { Clock } from '../clock.ts'
import { WeirError } from '../errors.ts'
import { Answer, type Body, type Gather, Leg, type LegWatcher, type Outgoing } from '../exchange.ts'
import { Fields } from '../headers.ts'
import type { Signature } from '../models/signature.ts'
import type { Transmitter } from '../upstream/transport.ts'
import { readMetadata } from './metadata.ts'

/** Metadata of a model with thousands of tensors is some 100 KiB. */
export const MAX_BYTES = 1 << 20
/** A signature younger than this is not doubted: a caller whose requests do not fit costs one question in this time, no more. */
const DOUBT_MS = 10_000

export interface RemoteDeps {
  readonly clock: Clock
  readonly gather: Gather
}

/** The server answered the question with something else than 200. */
export class Untold extends Error {
  readonly #answer: Answer

  constructor(answer: Answer) {
    super(`the backend answered ${answer.status} when asked for the model`)
    this.#answer = answer
  }

  /** What the backend says to each of those who waited. */
  copy(): Answer {
    const { status, headers, body, backend } = this.#answer
    const copy = new Answer(status, [...headers], body)
    copy.backend = backend
    return copy
  }
}

export class RemoteSignature {
  readonly #backend: Transmitter
  readonly #target: string
  readonly #deps: RemoteDeps
  #known: Signature | null = null
  #knownAt = 0
  #question: Question | null = null

  constructor(backend: Transmitter, target: string, deps: RemoteDeps) {
    this.#backend = backend
    this.#target = target
    this.#deps = deps
  }

  /**
   * Requests that come while it is being asked for wait for the same answer, each under its own leg.
   * Rejects with a WeirError, or `Untold`.
   */
  get(leg: Leg): Signature | Promise<Signature> {
    return this.#known ?? this.#join(leg)
  }

  /** A request did not fit. @returns whether the signature is so old that it will be asked for again */
  doubt(): boolean {
    if (this.#known === null || this.#deps.clock.now() - this.#knownAt < DOUBT_MS) return false
    this.#known = null
    return true
  }

  async #join(leg: Leg): Promise<Signature> {
    if (leg.cancelled !== null) throw leg.cancelled
    const question = (this.#question ??= this.#ask(leg))
    question.waiting++
    try {
      return await underLeg(question.told, leg)
    } finally {
      question.waiting--
      if (question.waiting === 0) this.#over(question)
    }
  }

  #ask(leg: Leg): Question {
    // A leg of its own: the caller who happens to be first may leave, the others still wait.
    const own = new Leg(this.#backend)
    own.limits = leg.limits
    const told = this.#tell(own)
    const question = { leg: own, told, waiting: 0 }
    told.then(
      (signature) => {
        this.#known = signature
        this.#knownAt = this.#deps.clock.now()
        this.#over(question)
      },
      () => this.#over(question),
    )
    return question
  }

  /** It is answered, or nobody waits any more. */
  #over(question: Question): void {
    if (this.#question === question) this.#question = null
    question.leg.cancel(new WeirError('CALLER_LEFT', 'nobody waits for the metadata any more'))
  }

  async #tell(leg: Leg): Promise<Signature> {
    const answer = await this.#backend.send(new Asking(this.#target), leg)
    answer.body = await this.#whole(answer.body)
    if (answer.status !== 200) throw new Untold(answer)
    return readMetadata(answer.body)
  }

  async #whole(body: Body): Promise<Buffer> {
    try {
      return await this.#deps.gather(body, MAX_BYTES)
    } catch (error) {
      if (!(error instanceof WeirError) || error.code !== 'BODY_TOO_LARGE') throw error
      throw new WeirError('INVALID_ANSWER', `the metadata of the model at the backend is larger than ${MAX_BYTES} bytes`)
    }
  }
}

interface Question {
  readonly leg: Leg
  readonly told: Promise<Signature>
  waiting: number
}

/**
 * The question. Nothing in it comes from a caller: the answer is kept for all of them, and nobody's credentials are used for it.
 * The fields of the backend's config go with it as with every request.
 */
class Asking implements Outgoing {
  readonly method = 'GET'
  readonly target: string
  readonly fields = Fields.of(['accept', 'application/json', 'accept-encoding', 'identity'])
  readonly body = null
  readonly upgrade = ''
  readonly caller = { inform: () => undefined }
  attempts = 0
  waited = 0

  constructor(target: string) {
    this.target = target
  }

  get headers(): readonly string[] {
    return this.fields.list
  }
}

/** What others wait for too: given up, not stopped, when the leg is cancelled. */
function underLeg<T>(work: Promise<T>, leg: Leg): Promise<T> {
  return new Promise((resolve, reject) => {
    const watcher: LegWatcher = { legCancelled: reject }
    leg.watch(watcher)
    void work.then(resolve, reject).then(() => leg.unwatch(watcher))
  })
}
