/** A request in a backend's own words: its path, its body, and the caller's fields that are still true. */
import type { SpeaksConfig } from '../../config/config.ts'
import { type Caller, describeBody, type Exchange, type Outgoing, type Upstream, type Written } from '../exchange.ts'
import { Fields } from '../headers.ts'

/**
 * What a caller's fields say of the body it sent or the answer it takes. The body is another one, and the answer must be
 * readable here. Validators and ranges would be about an answer that the caller never sees.
 */
const ABOUT_BODIES = new Set([
  'accept', 'accept-encoding', 'content-type', 'content-encoding', 'content-language', 'content-location', 'content-md5', 'content-digest', 'repr-digest', 'digest',
  'want-content-digest', 'want-repr-digest', 'inference-header-content-length', 'range', 'if-range', 'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since',
])

/** Takes the place of an exchange in one attempt; attempts and waiting count for the exchange. */
export class Outward implements Outgoing {
  readonly method = 'POST'
  readonly target: string
  readonly fields: Fields
  readonly body: Buffer
  readonly upgrade = ''
  readonly #x: Exchange

  constructor(x: Exchange, target: string, written: Written) {
    this.#x = x
    this.target = target
    const headers = x.headers.filter((_, i, all) => !ABOUT_BODIES.has(all[i - (i % 2)]!.toLowerCase()))
    headers.push('accept-encoding', 'identity')
    describeBody(headers, written)
    this.fields = Fields.of(headers)
    this.body = written.body
  }

  get headers(): readonly string[] {
    return this.fields.list
  }

  get caller(): Caller {
    return this.#x.caller
  }

  get attempts(): number {
    return this.#x.attempts
  }

  set attempts(count: number) {
    this.#x.attempts = count
  }

  get waited(): number {
    return this.#x.waited
  }

  set waited(ms: number) {
    this.#x.waited = ms
  }

  get upstream(): Upstream | null {
    return this.#x.upstream
  }

  set upstream(endpoint: Upstream | null) {
    this.#x.upstream = endpoint
  }
}

/**
 * Where requests of a format go, without the prefix of the endpoint; null = where the caller sent it.
 * Sources: open-inference-protocol `inference_rest.md`; TensorFlow Serving `api_rest.md`; MLflow `scoring_server`.
 */
export function pathOf({ format, model, version }: SpeaksConfig): string | null {
  switch (format) {
    case 'oip':
      return `${metadataPath(model, version)}/infer`
    case 'kserve_v1':
      return `/v1/models/${model}${version === '' ? '' : `/versions/${version}`}:predict`
    case 'tfs':
      return `/v1/models/${model}${version === '' ? '' : `/${/^\d+$/.test(version) ? 'versions' : 'labels'}/${version}`}:predict`
    case 'mlflow':
      return '/invocations'
    case 'rows':
      return null
  }
}

/** Where an Open Inference Protocol server tells what a model takes. Names and versions are checked by the loader: nothing to encode. */
export function metadataPath(model: string, version: string): string {
  return `/v2/models/${model}${version === '' ? '' : `/versions/${version}`}`
}
