/**
 * Where a JSON value ends (RFC 8259), found without reading what it says: what is only passed over must be proven to be JSON, but no number of
 * it needs to become one. Over UTF-8 that was checked before.
 */
const UNSURE = -1
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const SPACE = 0x20
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const WORDS: ReadonlyMap<number, readonly number[]> = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), [...Buffer.from(word)]]))
/** What may follow a backslash, but for `u`. */
const ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))

/**
 * @param levels how much deeper values may lie in this one
 * @returns the offset behind it; −1 when it is no JSON or not simple enough to say: a strict reader can tell what is wrong, if anything is
 */
export function valueEnd(bytes: Uint8Array, from: number, levels: number): number {
  if (levels < 0) return UNSURE
  const at = spaceEnd(bytes, from)
  const c = bytes[at]!
  if (c === MINUS || (c >= ZERO && c <= NINE)) return numberEnd(bytes, at, c)
  if (c === QUOTE) return stringEnd(bytes, at)
  if (c === OPEN_ARRAY) return arrayEnd(bytes, at, levels)
  return c === OPEN_OBJECT ? objectEnd(bytes, at, levels) : wordEnd(bytes, at, c)
}

function spaceEnd(bytes: Uint8Array, from: number): number {
  let at = from
  let c = bytes[at]!
  while (c <= SPACE && (c === SPACE || c === 0x0a || c === 0x0d || c === 0x09)) c = bytes[++at]!
  return at
}

function arrayEnd(bytes: Uint8Array, from: number, levels: number): number {
  let at = spaceEnd(bytes, from + 1)
  if (bytes[at] === CLOSE_ARRAY) return at + 1
  for (;;) {
    at = valueEnd(bytes, at, levels - 1)
    if (at < 0) return UNSURE
    at = spaceEnd(bytes, at)
    if (bytes[at] !== COMMA) return bytes[at] === CLOSE_ARRAY ? at + 1 : UNSURE
    at++
  }
}

function objectEnd(bytes: Uint8Array, from: number, levels: number): number {
  let at = spaceEnd(bytes, from + 1)
  if (bytes[at] === CLOSE_OBJECT) return at + 1
  for (;;) {
    at = spaceEnd(bytes, at)
    if (bytes[at] !== QUOTE) return UNSURE
    at = stringEnd(bytes, at)
    if (at < 0) return UNSURE
    at = spaceEnd(bytes, at)
    if (bytes[at] !== COLON) return UNSURE
    at = valueEnd(bytes, at + 1, levels - 1)
    if (at < 0) return UNSURE
    at = spaceEnd(bytes, at)
    if (bytes[at] !== COMMA) return bytes[at] === CLOSE_OBJECT ? at + 1 : UNSURE
    at++
  }
}

/** @param first the byte there */
function numberEnd(bytes: Uint8Array, from: number, first: number): number {
  let at = from
  let c = first
  if (c === MINUS) c = bytes[++at]!
  if (c === ZERO) c = bytes[++at]!
  else {
    if (!(c > ZERO && c <= NINE)) return UNSURE
    do c = bytes[++at]!
    while (c >= ZERO && c <= NINE)
  }
  if (c === DOT) {
    c = bytes[++at]!
    if (!(c >= ZERO && c <= NINE)) return UNSURE
    do c = bytes[++at]!
    while (c >= ZERO && c <= NINE)
  }
  if (c !== 0x65 && c !== 0x45) return c >= ZERO && c <= NINE ? UNSURE : at
  c = bytes[++at]!
  if (c === MINUS || c === PLUS) c = bytes[++at]!
  if (!(c >= ZERO && c <= NINE)) return UNSURE
  do c = bytes[++at]!
  while (c >= ZERO && c <= NINE)
  return at
}

function stringEnd(bytes: Uint8Array, from: number): number {
  let at = from + 1
  let c = bytes[at]!
  while (c !== QUOTE) {
    if (!(c >= SPACE)) return UNSURE
    // By number, four digits may be half a pair: seldom enough for the strict reader.
    if (c === BACKSLASH && !ESCAPES.has(bytes[++at]!)) return UNSURE
    c = bytes[++at]!
  }
  return at + 1
}

function wordEnd(bytes: Uint8Array, from: number, c: number): number {
  const word = WORDS.get(c)
  if (word === undefined) return UNSURE
  for (let i = 1; i < word.length; i++) if (bytes[from + i] !== word[i]) return UNSURE
  return from + word.length
}
