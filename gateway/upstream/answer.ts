/** `answer:` backends: the same answer to every request, as a fallback of last resort or a fixed page. */
import type { AnswerBackendConfig } from '../../config/config.ts'
import { WeirError } from '../errors.ts'
import { Answer, type Backend, type Exchange, type Format, type Gather, type Leg, type Send } from '../exchange.ts'
import { has } from '../headers.ts'
import type { Column, Columns, Data, Dtype } from '../payload/columns.ts'

export function answerBackend(config: AnswerBackendConfig, gather: Gather): Backend {
  return { name: config.name, kind: 'answer', send: sender(config, gather) }
}

function sender(config: AnswerBackendConfig, gather: Gather): Send {
  const { body } = config
  if (body === null) return () => made(config, '', null)
  if ('rows' in body) return rowsSender(config, body.rows, gather)
  const [type, bytes] = 'text' in body ? ['text/plain; charset=utf-8', Buffer.from(body.text)] : ['application/json', Buffer.from(JSON.stringify(body.json))]
  return function constant() {
    return made(config, type, bytes)
  }
}

/** Hooks change headers in place, so each answer has its own. */
function made(config: AnswerBackendConfig, type: string, body: Buffer | null): Answer {
  const typed = type === '' || has(config.headers, 'content-type') ? [] : ['content-type', type]
  const answer = new Answer(config.status, [...typed, ...config.headers], body)
  answer.backend = config.name
  return answer
}

// ---------------------------------------------------------------- rows

/** In the route's format and for as many rows as were asked; a route without a format gets the row as it stands. */
function rowsSender(config: AnswerBackendConfig, row: Readonly<Record<string, unknown>>, gather: Gather): Send {
  const plain = Buffer.from(JSON.stringify(row))
  const columns = Object.entries(row).map(([name, value]) => asColumn(name, value))

  async function asAsked(x: Exchange, leg: Leg, format: Format): Promise<Answer> {
    try {
      x.body = await gather(x.body, x.route.maxBodyBytes, leg)
      const { type, body } = format.writeAnswer(repeated(columns, x.input), x.input)
      return made(config, type, body)
    } catch (error) {
      throw error instanceof WeirError ? error : new WeirError('INTERNAL', undefined, { cause: error })
    }
  }

  return function answerRows(x, leg) {
    const { format } = x.route
    return format === null ? made(config, 'application/json', plain) : asAsked(x, leg, format)
  }
}

/** One row of a column: numbers are FP64 (INT64 when all are whole), texts BYTES, truths BOOL; a list is a vector. */
function asColumn(name: string, value: unknown): Column {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  const shape = Array.isArray(value) ? [1, values.length] : [1]
  const [dtype, data] = asData(values)
  return { name, dtype, shape, data }
}

function asData(values: readonly unknown[]): [Dtype, Data] {
  if (values.every((value) => typeof value === 'boolean')) return ['BOOL', Uint8Array.from(values, Number)]
  if (values.every((value) => Number.isSafeInteger(value))) return ['INT64', BigInt64Array.from(values as number[], BigInt)]
  if (values.every((value) => typeof value === 'number')) return ['FP64', Float64Array.from(values)]
  return ['BYTES', values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))]
}

function repeated(row: readonly Column[], request: Columns): Columns {
  const count = request.columns[0]?.shape[0] ?? 1
  return { columns: row.map((column) => ({ ...column, shape: [count, ...column.shape.slice(1)], data: repeat(column.data, count) })) }
}

function repeat(data: Data, count: number): Data {
  if (Array.isArray(data)) return Array.from({ length: count }, () => data).flat()
  const Kind = data.constructor as new (length: number) => Exclude<Data, string[]>
  const many = new Kind(data.length * count)
  for (let i = 0; i < count; i++) many.set(data as never, i * data.length)
  return many
}
