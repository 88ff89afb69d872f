/**
 * HTTP/1 messages as they stood on the wire: read leniently, kept raw. Nothing here is shared with the gateway,
 * so that a mistake in its parser cannot hide behind the same mistake in its tests.
 */

export type Field = readonly [name: string, value: string]

/** A start line and its fields; latin1, case, order and duplicates as received. */
export class Head {
  readonly line: string
  readonly fields: readonly Field[]
  readonly raw: Buffer

  constructor(raw: Buffer) {
    const [line = '', ...rest] = raw.toString('latin1').replace(/\r\n\r\n$/, '').split('\r\n')
    this.line = line
    this.fields = rest.map(fieldOf)
    this.raw = raw
  }

  all(name: string): string[] {
    return this.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  }

  /** The only value of a field, undefined if there is none. @throws when there are several */
  one(name: string): string | undefined {
    const values = this.all(name)
    if (values.length > 1) throw new Error(`"${name}" came ${values.length} times: ${JSON.stringify(values)}`)
    return values[0]
  }

  has(name: string): boolean {
    return this.all(name).length > 0
  }

  /** Members of a comma-separated field, lower case, all its lines together. */
  list(name: string): string[] {
    return this.all(name).join(',').toLowerCase().split(',').map((member) => member.trim()).filter((member) => member !== '')
  }
}

export function fieldOf(line: string): Field {
  const colon = line.indexOf(':')
  return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]
}

export type Framing = 'none' | 'length' | 'chunked' | 'close'

interface Message {
  readonly head: Head
  readonly framing: Framing
  readonly body: Buffer
  /** As framed by the sender; one entry for an unchunked body. */
  readonly chunks: readonly Buffer[]
  readonly trailers: readonly Field[]
  /** False when the connection was over before the framing said so. */
  readonly complete: boolean
}

export interface ReceivedRequest extends Message {
  readonly method: string
  readonly target: string
  readonly version: string
}

export interface ReceivedAnswer extends Message {
  readonly version: string
  readonly status: number
  readonly phrase: string
  /** Informational answers before this one; filled by `readFinal`. */
  readonly informed: readonly ReceivedAnswer[]
}

/** How the body behind `head` is framed. Lenient: TE wins over CL. @param open what an unframed body means: none, or until the end */
export function framingOf(head: Head, open: 'none' | 'close'): { framing: Framing; length: number } {
  if (head.list('transfer-encoding').includes('chunked')) return { framing: 'chunked', length: -1 }
  const stated = head.all('content-length')[0]
  if (stated !== undefined) return { framing: 'length', length: Number.parseInt(stated, 10) }
  return { framing: open, length: -1 }
}

/** An answer without a body whatever its fields say. */
export function bodiless(status: number, method: string): boolean {
  return status < 200 || status === 204 || status === 304 || method === 'HEAD'
}

// ---------------------------------------------------------------- bytes to send

type Text = string | Buffer

/** Strings are latin1: one character, one byte. */
export const bytes = (text: Text): Buffer => (typeof text === 'string' ? Buffer.from(text, 'latin1') : text)

/** A request with Host; `lines` are whole field lines. The body gets a Content-Length. */
export function request(method: string, target: string, lines: readonly string[] = [], body?: Text): Buffer {
  const host = lines.some((line) => /^host:/i.test(line)) ? [] : ['Host: weir.test']
  const length = body === undefined ? [] : [`Content-Length: ${bytes(body).length}`]
  return Buffer.concat([bytes([`${method} ${target} HTTP/1.1`, ...host, ...lines, ...length, '', ''].join('\r\n')), bytes(body ?? '')])
}

/** An answer with a Content-Length. */
export function answer(status: number, lines: readonly string[] = [], body: Text = ''): Buffer {
  const length = status === 204 || status === 304 || status < 200 ? [] : [`Content-Length: ${bytes(body).length}`]
  return Buffer.concat([bytes([`HTTP/1.1 ${status} Scripted`, ...lines, ...length, '', ''].join('\r\n')), bytes(body)])
}

export function chunk(data: Text): Buffer {
  const content = bytes(data)
  return Buffer.concat([bytes(`${content.length.toString(16)}\r\n`), content, bytes('\r\n')])
}

/** A whole chunked body. @param trailers whole field lines */
export function chunked(parts: readonly Text[], trailers: readonly string[] = []): Buffer {
  return Buffer.concat([...parts.map(chunk), bytes(['0', ...trailers, '', ''].join('\r\n'))])
}
