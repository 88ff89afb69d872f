/** What a healthy provider answers in each of three kinds of body, and whether a caller got just that. Shapes from the API reference of OpenAI and the Open Inference Protocol. */
import { chunk, type ReceivedAnswer } from '../blackbox/message.ts'

export type Kind = 'sse' | 'json' | 'oip'

export const WORDS = Array.from({ length: 60 }, (_, i) => `word-${i}`)
const TEXT = WORDS.join(' ')
const VALUES = WORDS.map((_, i) => i / 2)
const USAGE = { prompt_tokens: 9, completion_tokens: WORDS.length, total_tokens: 9 + WORDS.length }

export const PATHS: Readonly<Record<Kind, string>> = { sse: '/v1/chat/completions', json: '/v1/chat/completions', oip: '/v2/models/m/infer' }

/** The request of a caller. */
export function question(kind: Kind): string {
  if (kind === 'oip') return JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }], outputs: [{ name: 'y' }] })
  return JSON.stringify({ model: 'any', messages: [{ role: 'user', content: 'Say sixty words.' }], ...(kind === 'sse' && { stream: true, stream_options: { include_usage: true } }) })
}

// ---------------------------------------------------------------- whole bodies

export function completion(model: string): string {
  return JSON.stringify({ id: 'c-1', object: 'chat.completion', model, choices: [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop' }], usage: USAGE })
}

export function tensor(model: string, output: object = {}): string {
  return JSON.stringify({ model_name: model, model_version: '1', outputs: [{ name: 'y', datatype: 'FP32', shape: [VALUES.length], data: VALUES, ...output }] })
}

export const whole = (kind: Exclude<Kind, 'sse'>, model: string): string => (kind === 'json' ? completion(model) : tensor(model))

/** An answer of the binary extension, head included. @param data what is there of the tensor @param stated bytes its JSON claims */
export function binary(model: string, data: Buffer, stated = data.length): Buffer {
  const json = JSON.stringify({ model_name: model, model_version: '1', outputs: [{ name: 'y', datatype: 'FP32', shape: [stated / 4], parameters: { binary_data_size: stated } }] })
  const lines = ['HTTP/1.1 200 OK', 'Content-Type: application/octet-stream', `Inference-Header-Content-Length: ${json.length}`, `Content-Length: ${json.length + data.length}`]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n${json}`), data])
}

export const FLOATS = Buffer.from(Float32Array.from(VALUES).buffer)

// ---------------------------------------------------------------- events

export const STREAM_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n'
const event = (value: unknown): Buffer => chunk(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`)
const part = (model: string, more: object): object => ({ id: 'c-1', object: 'chat.completion.chunk', model, ...more })

/** A stream in its parts, each one chunk of the transfer coding. */
export function events(model: string) {
  const delta = (content: object, finish_reason: string | null = null): Buffer => event(part(model, { choices: [{ index: 0, delta: content, finish_reason }] }))
  return {
    role: delta({ role: 'assistant', content: '' }),
    words: WORDS.map((word, i) => delta({ content: i === 0 ? word : ` ${word}` })),
    broken: event('{"id":"c-1","object":"chat.completion.chunk","choices":[{"delta":{"content":'),
    finish: delta({}, 'stop'),
    usage: event(part(model, { choices: [], usage: USAGE })),
    done: event('[DONE]'),
    end: Buffer.from('0\r\n\r\n'),
  }
}

// ---------------------------------------------------------------- what a caller got

export interface Got {
  readonly status: number
  /** `right`: whole and exactly what a healthy provider says. `honest`: an error, or a cut that shows. `wrong`: anything else. */
  readonly how: 'right' | 'honest' | 'wrong'
  readonly model: string
  readonly usage: boolean
  /** Of an error. */
  readonly code: string
  /** `x-weir-backend` and `x-weir-fallback`. */
  readonly backend: string
  readonly fallback: string
}

interface Read {
  readonly right: boolean
  readonly model?: string
  readonly usage?: boolean
}

/** As a careful client reads it: events that are not JSON are passed over, as the official clients of several languages do not. */
export function understand(kind: Kind, answer: ReceivedAnswer): Got {
  const { status, complete, head } = answer
  const named = { status, backend: head.one('x-weir-backend') ?? '', fallback: head.one('x-weir-fallback') ?? '' }
  const nothing = { ...named, model: '', usage: false, code: '' }
  if (!complete) return { ...nothing, how: 'honest' }
  if (status !== 200) return { ...nothing, how: status >= 400 ? 'honest' : 'wrong', code: errorCode(answer.body.toString()) }
  const { right, model = '', usage = false } = attempted(() => (kind === 'sse' ? readEvents(answer.body.toString()) : kind === 'json' ? readCompletion(answer.body.toString()) : readTensor(answer)))
  return { ...nothing, how: right ? 'right' : 'wrong', model, usage }
}

function attempted(read: () => Read): Read {
  try {
    return read()
  } catch {
    return { right: false }
  }
}

function errorCode(text: string): string {
  try {
    const { error, code } = JSON.parse(text) as { error?: { code?: string }; code?: string }
    return code ?? error?.code ?? ''
  } catch {
    return ''
  }
}

interface ChatChunk {
  readonly model?: string
  readonly choices?: readonly { readonly delta?: { readonly content?: string } }[]
  readonly usage?: object
}

function readEvents(text: string): Read {
  let content = ''
  let model = ''
  let usage = false
  for (const line of text.split('\n')) {
    if (!line.startsWith('data: ') || line === 'data: [DONE]') continue
    let value: ChatChunk
    try {
      value = JSON.parse(line.slice(6)) as ChatChunk
    } catch {
      continue
    }
    model = value.model ?? model
    usage ||= value.usage !== undefined
    for (const { delta } of value.choices ?? []) content += delta?.content ?? ''
  }
  return { right: content === TEXT, model, usage }
}

function readCompletion(text: string): Read {
  const { model, usage, choices } = JSON.parse(text) as { model: string; usage?: object; choices: { message: { content: string } }[] }
  return { right: choices[0]!.message.content === TEXT, model, usage: usage !== undefined }
}

function readTensor({ head, body }: ReceivedAnswer): Read {
  const length = Number(head.one('inference-header-content-length') ?? body.length)
  const { model_name, outputs } = JSON.parse(body.toString('utf8', 0, length)) as { model_name: string; outputs: { name: string; data?: number[] }[] }
  const { name, data } = outputs[0]!
  const right = data === undefined ? body.subarray(length).equals(FLOATS) : JSON.stringify(data) === JSON.stringify(VALUES)
  return { right: right && name === 'y', model: model_name, usage: true }
}
