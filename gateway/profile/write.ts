/** A profile as text: JSON in which a change of the data is a change of few lines. */
import type { Profile } from './profile.ts'

const WIDTH = 140

/** What fits stands on one line; longer objects have a member a line, longer lists are filled like paragraphs. */
export function profileText(profile: Profile): string {
  return `${text(profile, 0, 0)}\n`
}

/** @param depth of the line @param before characters that stand before the value on its line */
function text(value: unknown, depth: number, before: number): string {
  const line = inline(value)
  if (value === null || typeof value !== 'object') return line
  // The outline is always open, so that every feature is a block.
  if (depth > 2 && line.length + before + 2 * depth <= WIDTH) return line
  if (line === '{}' || line === '[]') return line
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  const inner = '  '.repeat(depth + 1)
  const body = Array.isArray(value) ? list(value, inner.length) : Object.entries(value).map(([key, member]) => member === undefined ? '' : named(key, member, depth + 1)).filter((member) => member !== '')
  return `${open}\n${body.map((part, i) => `${inner}${part}${i < body.length - 1 ? ',' : ''}`).join('\n')}\n${'  '.repeat(depth)}${close}`
}

function named(key: string, member: unknown, depth: number): string {
  const name = `${JSON.stringify(key)}: `
  // One line each for what is told once.
  return name + (depth === 1 && key !== 'features' ? inline(member) : text(member, depth, name.length))
}

/** Sentences have a line each; numbers and pairs share lines. */
function list(values: readonly unknown[], indent: number): string[] {
  if (values.some((value) => typeof value === 'string')) return values.map(inline)
  const lines: string[] = []
  for (const value of values) {
    const part = inline(value)
    const last = lines.at(-1)
    if (last !== undefined && indent + last.length + part.length + 3 <= WIDTH) lines[lines.length - 1] = `${last}, ${part}`
    else lines.push(part)
  }
  return lines
}

function inline(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined).map(([key, member]) => `${JSON.stringify(key)}: ${inline(member)}`)
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`
}
