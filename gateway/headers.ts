/** Reading and changing flat header arrays `[name, value, …]`. Names compare without case; lower-case `name` is expected. */

function same(a: string, lower: string): boolean {
  return a.length === lower.length && (a === lower || a.toLowerCase() === lower)
}

/** First value of `name` (lower case), or undefined. */
export function get(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (same(headers[i]!, name)) return headers[i + 1]
  return undefined
}

/** All values of `name` (lower case), in order. */
export function all(headers: readonly string[], name: string): string[] {
  const found: string[] = []
  for (let i = 0; i < headers.length; i += 2) if (same(headers[i]!, name)) found.push(headers[i + 1]!)
  return found
}

export function has(headers: readonly string[], name: string): boolean {
  return get(headers, name) !== undefined
}

/** Removes every field of that name, in place. @returns how many there were */
export function remove(headers: string[], name: string): number {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    if (same(headers[i]!, name)) continue
    headers[kept] = headers[i]!
    headers[kept + 1] = headers[i + 1]!
    kept += 2
  }
  const gone = (headers.length - kept) / 2
  headers.length = kept
  return gone
}

/**
 * A field that a plugin made goes out as it is, so it must be one line of latin1: a character beyond would be cut to its low byte, and
 * U+010A is a line feed then.
 * @throws TypeError
 */
function checkField(name: string, value: string): void {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a header field`)
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw new TypeError(`the value of header field ${name} holds a control character or one beyond latin1`)
}

/** Sets the first field of that name and removes the others; appends if there was none. @throws TypeError for what is no header field */
export function set(headers: string[], name: string, value: string): void {
  checkField(name, value)
  const lower = name.toLowerCase()
  for (let i = 0; i < headers.length; i += 2) {
    if (!same(headers[i]!, lower)) continue
    headers[i + 1] = value
    const rest = headers.splice(i + 2)
    remove(rest, lower)
    for (const part of rest) headers.push(part)
    return
  }
  headers.push(name, value)
}

/** Appends a field, whatever is there. @throws TypeError for what is no header field */
export function add(headers: string[], name: string, value: string): void {
  checkField(name, value)
  headers.push(name, value)
}

/**
 * The header fields of a message on its way. They come as a block of lines and mostly go as that block; it becomes a flat array
 * only when somebody looks. From then on the array is what counts.
 */
export class Fields {
  #block: string
  #list: string[] | null
  /** What `marked` says while the block stands. */
  readonly #marked: boolean
  /** What `timed` says while the block stands. */
  readonly #timed: boolean

  /**
   * @param block `Name: value` lines, each with CR LF
   * @param marked whether the block holds the one field that the writer must know of: Host in a request, Date in an answer
   * @param timed false only when the block was looked at and holds no field that tells a deadline
   */
  constructor(block: string, marked: boolean, list: string[] | null = null, timed = true) {
    this.#block = block
    this.#marked = marked
    this.#timed = timed
    this.#list = list
  }

  static of(list: string[]): Fields {
    return new Fields('', false, list)
  }

  /** Flat; may be changed in place. */
  get list(): string[] {
    return (this.#list ??= parseBlock(this.#block))
  }

  /** First value of `name` (lower case), or undefined; does not make the array. */
  get(name: string): string | undefined {
    return this.#list === null ? find(this.#block, name) : get(this.#list, name)
  }

  /** The lines for the wire. */
  get lines(): string {
    return this.#list === null ? this.#block : headerLines(this.#list)
  }

  /** Appends a field that is known to be one. */
  append(name: string, value: string): void {
    if (this.#list === null) this.#block += `${name}: ${value}\r\n`
    else this.#list.push(name, value)
  }

  /** @param name lower case: `host` or `date`, the field that the block was marked for */
  marked(name: string): boolean {
    return this.#list === null ? this.#marked : has(this.#list, name)
  }

  /** False: none of the fields that tell a deadline to the wire (`Kind.deadline`) is there. */
  get timed(): boolean {
    return this.#list !== null || this.#timed
  }
}

function parseBlock(block: string): string[] {
  const list: string[] = []
  for (let at = 0; at < block.length; ) {
    const colon = block.indexOf(':', at)
    const end = block.indexOf('\r\n', colon)
    list.push(block.slice(at, colon), block.slice(colon + 2, end))
    at = end + 2
  }
  return list
}

function find(block: string, name: string): string | undefined {
  for (let at = 0; at < block.length; ) {
    const colon = at + name.length
    const end = block.indexOf('\r\n', at)
    if (block.charCodeAt(colon) === 0x3a && same(block.slice(at, colon), name)) return block.slice(colon + 2, end)
    at = end + 2
  }
  return undefined
}

/** Header lines of a flat array. Values are latin1 and already checked. */
export function headerLines(headers: readonly string[]): string {
  let text = ''
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]!}: ${headers[i + 1]!}\r\n`
  return text
}
