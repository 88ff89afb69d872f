/**
 * A bucket that speaks the S3 API: objects put, read and removed by keys below the prefix. On Amazon's own hosts the bucket is in the name of
 * the host, on any other it is the beginning of the path. One request an object: what a sink puts is far below the 5 GiB that need parts.
 */
import type { S3SinkConfig } from '../../../config/config.ts'
import { type Called, Calls } from '../../calls.ts'
import type { Clock } from '../../clock.ts'
import { encodedPath, signed } from './sigv4.ts'

const NOTHING = Buffer.alloc(0)
/** The list of a thousand columns has 150 KB. */
const ANSWER_BYTES = 1 << 20

export class Bucket {
  readonly #config: S3SinkConfig
  readonly #clock: Clock
  readonly #calls: Calls
  readonly #host: string
  /** Encoded, before the key. */
  readonly #base: string

  constructor(config: S3SinkConfig, clock: Clock) {
    const { origin, host, pathname } = new URL(addressOf(config))
    this.#config = config
    this.#clock = clock
    this.#calls = new Calls(origin, { ...config.delivery, answer_bytes: ANSWER_BYTES }, clock)
    this.#host = host
    this.#base = `${pathname === '/' ? '' : pathname}${encodedPath(config.prefix === '' ? '' : `/${config.prefix}`)}`
  }

  /** What is there under this key is replaced. @throws Error with what to do */
  async put(key: string, type: string, bytes: Uint8Array): Promise<void> {
    const answer = await this.#send('PUT', key, ['content-type', type], bytes)
    if (answer.status !== 200) throw this.#refused('PUT', answer)
  }

  /** @returns null: there is none, or the credentials are not allowed to tell; its beginning, if it is larger than an answer may be. @throws Error */
  async get(key: string): Promise<Buffer | null> {
    const answer = await this.#send('GET', key, [], NOTHING)
    if (answer.status === 200) return answer.body
    // A missing key is 404, or 403 for those who may not list the bucket.
    if (codeOf(answer) === 'NoSuchKey' || codeOf(answer) === 'AccessDenied') return null
    throw this.#refused('GET', answer)
  }

  /** @throws Error */
  async remove(key: string): Promise<void> {
    const answer = await this.#send('DELETE', key, [], NOTHING)
    if (answer.status !== 204 && answer.status !== 200) throw this.#refused('DELETE', answer)
  }

  async close(): Promise<void> {
    await this.#calls.close()
  }

  #send(method: 'PUT' | 'GET' | 'DELETE', key: string, headers: readonly string[], body: Uint8Array): Promise<Called> {
    const path = `${this.#base}${encodedPath(`/${key}`)}`
    const fields = signed({ method, path, query: '', host: this.#host, headers, body }, this.#config, this.#config.region, this.#clock.wall())
    return this.#calls.send({ method, path, headers: fields, body: method === 'PUT' ? body : null })
  }

  #refused(method: string, answer: Called): Error {
    const code = codeOf(answer)
    const help = this.#help(answer, code)
    return new Error(`the S3 server answered ${answer.status}${code === '' ? '' : ` ${code}`} to ${method}${help === '' ? '' : `: ${help}`}`)
  }

  /** What whoever reads the last error can do about it. */
  #help({ status, field }: Called, code: string): string {
    const { bucket, region } = this.#config
    if (code === 'NoSuchBucket') return `there is no bucket "${bucket}" here; make it, or check \`s3\` and \`endpoint\``
    // The second is Versity's word.
    if (code === 'InvalidAccessKeyId' || code === 'XAdminUserNotFound') return 'check `access_key`'
    if (code === 'SignatureDoesNotMatch') return 'check `secret_key`'
    if (code === 'ExpiredToken' || code === 'InvalidToken') return 'check `session_token`'
    if (code === 'RequestTimeTooSkewed') return 'the clocks of this machine and of the server differ by more than 15 minutes'
    if (status === 403) return `the credentials may not do this in the bucket "${bucket}": allow s3:PutObject below the prefix`
    if (status === 404) return `check the bucket "${bucket}" and \`endpoint\``
    if (status === 301 || status === 307 || code === 'AuthorizationHeaderMalformed') return `the bucket "${bucket}" is not in the region "${region}"; set \`region\` to ${field('x-amz-bucket-region') ?? 'its region'}`
    return ''
  }
}

/** Url of the bucket. A certificate of Amazon's is for one label before the host, so a bucket with dots goes into the path there, too. */
export function addressOf({ endpoint, bucket, region }: S3SinkConfig): string {
  if (endpoint !== '') return `${endpoint}/${bucket}`
  const host = `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
  return bucket.includes('.') ? `https://${host}/${bucket}` : `https://${bucket}.${host}`
}

/** Of the XML that tells an error (Amazon S3 API reference, "REST error responses"); '' = none. */
function codeOf({ body }: Called): string {
  return /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body.toString('latin1'))?.[1] ?? ''
}
