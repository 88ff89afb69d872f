/**
 * Translation in front of an HTTP backend that `speaks` another format than the route's callers.
 *
 * A POST of a route with a format is read in that format, written in the backend's to the backend's own path, and the 2xx answer comes
 * back the same way. The exchange keeps its own target, fields and body: plugins see what the caller sent, and a retry or a fallback
 * begins from that again. Where both sides speak the same format, and for every other method, bytes pass through untouched, path included.
 */
import type { SpeaksConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { Answer, describeBody, type Exchange, type Format, type Leg } from '../exchange.ts'
import { remove } from '../headers.ts'
import { bindRows, type Signature } from '../models/signature.ts'
import { widened } from '../payload/halves.ts'
import { classifyOutputs } from '../payload/classification.ts'
import { decoded } from '../payload/coding.ts'
import type { Columns } from '../payload/columns.ts'
import { format } from '../payload/formats.ts'
import type { EndpointState, HttpBackend, Transmitter } from '../upstream/transport.ts'
import { arrange } from './arrange.ts'
import { metadataPath, Outward, pathOf } from './outward.ts'
import { understood } from './problems.ts'
import { type RemoteDeps, RemoteSignature, Untold } from './remote.ts'

/** Fields of an answer that were about the bytes it had. */
const ABOUT_BYTES = ['etag', 'last-modified', 'accept-ranges', 'content-md5', 'content-digest', 'repr-digest', 'digest', 'content-language', 'content-location']

/** @returns the backend itself when it does not say what it speaks */
export function translated(backend: Transmitter, deps: RemoteDeps): HttpBackend {
  const { speaks } = backend.config
  return speaks === null ? backend : new Translator(backend, speaks, deps)
}

class Translator implements HttpBackend {
  readonly name: string
  readonly kind = 'http'
  readonly config: HttpBackend['config']
  readonly available?: () => boolean
  readonly #backend: Transmitter
  readonly #speaks: SpeaksConfig
  readonly #theirs: Format
  readonly #path: string | null
  readonly #deps: RemoteDeps
  /** What the model takes, where the format wants datatypes. */
  readonly #signature: RemoteSignature

  constructor(backend: Transmitter, speaks: SpeaksConfig, deps: RemoteDeps) {
    this.name = backend.name
    this.config = backend.config
    if (backend.available !== undefined) this.available = () => backend.available!()
    this.#backend = backend
    this.#speaks = speaks
    this.#theirs = format(speaks.format)!
    this.#path = pathOf(speaks)
    this.#deps = deps
    this.#signature = new RemoteSignature(backend, metadataPath(speaks.model, speaks.version), deps)
  }

  readonly send = (x: Exchange, leg: Leg): Promise<Answer> => {
    const ours = x.route.format
    const same = ours === null || ours === this.#theirs || x.method !== 'POST'
    return same ? this.#backend.send(x, leg) : this.#translate(x, leg, ours)
  }

  state(): EndpointState[] {
    return this.#backend.state()
  }

  close(): void {
    this.#backend.close()
  }

  async #translate(x: Exchange, leg: Leg, ours: Format): Promise<Answer> {
    try {
      await this.#readable(x, leg)
      const request = x.input
      // No rows: nothing to compute, and not even the names of columns to send.
      if (!ours.typed && isEmpty(request)) return this.#written(new Answer(200, [], null), { columns: [] }, request, ours)
      const columns = this.#theirs.typed ? await this.#bound(x, leg, request) : arrange(request, ours.typed, this.#speaks)
      const answer = await this.#backend.send(new Outward(x, this.#path ?? x.target, this.#theirs.writeRequest(columns)), leg)
      if (answer.status < 200 || answer.status > 299) return await this.#refused(answer, leg)
      return await this.#answered(answer, request, x, ours)
    } catch (error) {
      if (error instanceof Untold) return understood(error.copy(), leg)
      throw error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
    }
  }

  /** The caller's body whole and in no content coding, for whoever is asked after this backend too. */
  async #readable(x: Exchange, leg: Leg): Promise<void> {
    const { maxBodyBytes } = x.route
    const body = await this.#deps.gather(x.body, maxBodyBytes, leg)
    const coding = x.fields.get('content-encoding')
    x.body = await decoded(body, coding, maxBodyBytes)
    if (coding !== undefined) remove(x.headers, 'content-encoding')
  }

  // ---------------------------------------------------------------- the way there

  /** Values in the datatypes of the model. One that does not fit may mean that the model is a new one. */
  async #bound(x: Exchange, leg: Leg, request: Columns): Promise<Columns> {
    try {
      return this.#fitted(request, await this.#asked(x, leg))
    } catch (error) {
      if (!(error instanceof WeirError) || error.code !== 'MODEL_INPUT' || !this.#signature.doubt()) throw error
      return this.#fitted(request, await this.#asked(x, leg))
    }
  }

  #fitted(request: Columns, signature: Signature): Columns {
    const columns = bindRows(request, signature, this.#speaks.columns)
    // JSON cannot carry the 16-bit floats, so a server has to be asked for binary tensors.
    const halves = signature.outputs.some(({ dtype }) => dtype === 'FP16' || dtype === 'BF16')
    return halves ? { columns, parameters: { binary_data_output: true } } : { columns }
  }

  /** Waiting for the signature is waiting for the backend; where none comes, that was the attempt. */
  async #asked(x: Exchange, leg: Leg): Promise<Signature> {
    const known = this.#signature.get(leg)
    if (!(known instanceof Promise)) return known
    const { clock } = this.#deps
    const started = clock.now()
    try {
      return await known
    } catch (error) {
      x.attempts++
      throw error
    } finally {
      x.waited += clock.now() - started
    }
  }

  // ---------------------------------------------------------------- the way back

  #refused(answer: Answer, leg: Leg): Promise<Answer> {
    if (answer.status === 400 || answer.status === 404) this.#signature.doubt()
    return understood(answer, leg)
  }

  async #answered(answer: Answer, request: Columns, x: Exchange, ours: Format): Promise<Answer> {
    const max = x.route.maxBodyBytes
    let read: Columns
    try {
      const body = await this.#deps.gather(answer.body, max)
      read = this.#theirs.readAnswer(await decoded(body, answer.fields.get('content-encoding'), max), answer.fields)
    } catch (error) {
      throw invalid(error, max)
    }
    const columns = ours.typed ? classifyOutputs(asked(read.columns, request), request, () => undefined) : read.columns.map(widened)
    try {
      return this.#written(answer, { columns, ...(read.model !== undefined && { model: read.model }) }, request, ours)
    } catch (error) {
      throw invalid(error, max)
    }
  }

  #written(answer: Answer, { columns, model }: Columns, request: Columns, ours: Format): Answer {
    const { model: name, version } = this.#speaks
    const written = ours.writeAnswer({ columns, model: model ?? { name: name === '' ? this.name : name, version } }, request)
    answer.body = written.body
    answer.backend = this.name
    for (const field of ABOUT_BYTES) remove(answer.headers, field)
    describeBody(answer.headers, written)
    return answer
  }
}

/** What is wrong with an answer is the backend's fault, whoever finds it. */
function invalid(error: unknown, max: number): unknown {
  if (!(error instanceof WeirError)) return error
  switch (error.code) {
    case 'BODY_TOO_LARGE':
      return new WeirError('INVALID_ANSWER', `the answer of the backend is larger than the ${max} bytes this route buffers`)
    case 'BAD_BODY':
    case 'UNSUPPORTED_MEDIA_TYPE':
    case 'MODEL_INPUT':
    case 'MODEL_FAILED':
      return new WeirError('INVALID_ANSWER', error.message)
    default:
      return error
  }
}

function isEmpty({ columns }: Columns): boolean {
  const [first] = columns
  return first === undefined || first.shape[0] === 0
}

/** The only output of a format that does not name it is the one that was asked for. */
function asked(columns: Columns['columns'], { outputs }: Columns): Columns['columns'] {
  const [only] = columns
  const [name] = outputs ?? []
  return columns.length === 1 && outputs?.length === 1 && name !== undefined ? [{ ...only!, name }] : columns
}
