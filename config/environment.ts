/**
 * `${NAME}` and `${NAME:-default}` in values. As in a shell, the default also stands in for an empty variable; it is taken
 * literally and does not nest. `$${` writes a literal `${`.
 */
import type { Complaint } from './issues.ts'

export interface Expansion {
  readonly value: string
  /** Whether a variable or a default was put in. */
  readonly used: boolean
  /** Names of the variables that were put in. */
  readonly names: readonly string[]
  /** The first thing wrong, at this offset into the text. Never shows a variable's value. */
  readonly problem: (Complaint & { readonly offset: number }) | null
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

export function expand(text: string, env: Readonly<Record<string, string | undefined>>): Expansion {
  let value = ''
  let used = false
  const names: string[] = []
  let from = 0
  for (;;) {
    const at = text.indexOf('${', from)
    if (at < 0) return { value: value + text.slice(from), used, names, problem: null }
    if (text[at - 1] === '$' && at - 1 >= from) {
      value += `${text.slice(from, at - 1)}\${`
      from = at + 2
      continue
    }
    const end = text.indexOf('}', at)
    const found = end < 0 ? unclosed(text.slice(at)) : lookUp(text.slice(at + 2, end), env)
    if (typeof found !== 'string') return { value: text, used, names, problem: { ...found, offset: at } }
    value += text.slice(from, at) + found
    used = true
    names.push(text.slice(at + 2, end).split(':-', 1)[0]!)
    from = end + 1
  }
}

function lookUp(inside: string, env: Readonly<Record<string, string | undefined>>): string | Complaint {
  const split = inside.indexOf(':-')
  const name = split < 0 ? inside : inside.slice(0, split)
  if (!NAME.test(name)) return malformed(`\${${inside}}`)
  if (split >= 0 && inside.includes('${')) return { rule: 'bad-environment', message: `the default of \${${name}} holds another \${`, help: 'Defaults do not nest; set the variable instead.' }
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  if (split >= 0) return value === undefined || value === '' ? inside.slice(split + 2) : value
  if (value === undefined) return { rule: 'missing-environment', message: `the environment variable ${name} is not set`, help: `Set it, or give a default: \${${name}:-…}.` }
  return value
}

function unclosed(rest: string): Complaint {
  return { rule: 'bad-environment', message: `\${ without a closing }: ${rest.slice(0, 40)}`, help: 'Write ${NAME} or ${NAME:-default}; a literal ${ is written $${.' }
}

function malformed(found: string): Complaint {
  return { rule: 'bad-environment', message: `expected \${NAME} or \${NAME:-default}, found ${found.slice(0, 60)}`, help: 'Names are letters, digits and _; a literal ${ is written $${.' }
}
