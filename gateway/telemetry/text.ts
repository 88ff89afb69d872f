/** Text for logs: nothing in it can begin a new line, move a cursor or turn the direction of reading. */
import type { Clock } from '../clock.ts'

/** Printable ASCII but `"` and `\`: may stand between quotes as it is. */
const PLAIN = /^[ !#-[\]-~]*$/
/** What JSON lets stand and a terminal or a viewer would obey: DEL, C1, line separators, marks of direction, byte order mark. */
const OBEYED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g
/** The same and the control characters that JSON escapes itself. */
// oxlint-disable-next-line no-control-regex -- finding them is what this is for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** A JSON string, quotes included. Control characters and lone surrogates are escaped. */
export function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text).replace(OBEYED, escaped)
}

/** For people: as it is, but for what would be obeyed. */
export function printable(text: string): string {
  return PLAIN.test(text) ? text : text.toWellFormed().replace(CONTROL, escaped)
}

/** Escapes what JSON lets through and a terminal would obey, in JSON text made elsewhere. */
export function safeJson(json: string): string {
  return PLAIN.test(json) ? json : json.replace(OBEYED, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** At most `limit` UTF-16 units; what was cut ends in `…`. */
export function bounded(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`
}

/** The wall clock as `2026-01-31T12:00:00.123Z`. The part down to the second is made once a second. */
export function isoTime(clock: Clock): () => string {
  let second = Number.NaN
  let prefix = ''

  return () => {
    const wall = clock.wall()
    const whole = Math.floor(wall / 1000)
    if (whole !== second) {
      second = whole
      prefix = new Date(whole * 1000).toISOString().slice(0, -4)
    }
    const ms = Math.floor(wall) - whole * 1000
    return `${prefix}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
  }
}
