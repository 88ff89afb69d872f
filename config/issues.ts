/** Complaints about a configuration: collecting, naming what was probably meant, and printing. */
import type { Issue } from './config.ts'

/** 1-based; `line` 0 = no position. */
export interface Position {
  readonly line: number
  readonly column: number
}

export const NOWHERE: Position = { line: 0, column: 0 }

/** Shorter values of variables are no secrets, and replacing them would garble messages. */
const MIN_HIDDEN = 6

/** More complaints than this help nobody; the rest is only counted. */
const MAX_ISSUES = 200

export interface Complaint {
  readonly rule: string
  readonly message: string
  readonly help?: string
}

/** Collects the issues of one file. */
export class Issues {
  readonly file: string
  readonly #list: Issue[] = []
  readonly #wrong = new Set<string>()
  /** Paths at or below which something is wrong. */
  readonly #touched = new Set<string>()
  /** Value of a variable → its name. */
  readonly #hidden = new Map<string, string>()
  #more = 0

  constructor(file: string) {
    this.file = file
  }

  /** From here on messages show `${NAME}` instead of this value, whoever words them. */
  hide(value: string, name: string): void {
    if (value.length >= MIN_HIDDEN) this.#hidden.set(value, name)
  }

  scrub(text: string): string {
    let clean = text
    for (const [value, name] of this.#hidden) clean = clean.replaceAll(value, () => `\${${name}}`)
    return clean
  }

  error(path: string, at: Position, complaint: Complaint): void {
    this.#wrong.add(path)
    for (let up = path; !this.#touched.has(up); up = parent(up)) this.#touched.add(up)
    this.#add('error', path, at, complaint)
  }

  warning(path: string, at: Position, complaint: Complaint): void {
    this.#add('warning', path, at, complaint)
  }

  /** Whether nothing at or below `path` is wrong. */
  clean(path: string): boolean {
    return !this.#touched.has(path)
  }

  /** Whether `path` itself is wrong: then what it holds is not judged again. */
  wrong(path: string): boolean {
    return this.#wrong.has(path)
  }

  /** Whether more complaints are only counted: then good advice is wasted. */
  get full(): boolean {
    return this.#list.length >= MAX_ISSUES
  }

  get failed(): boolean {
    return this.#wrong.size > 0
  }

  /** In the order of the file. */
  all(): Issue[] {
    const sorted = this.#list.toSorted((a, b) => a.line - b.line || a.column - b.column)
    if (this.#more > 0) sorted.push(this.#issue('error', '', NOWHERE, { rule: 'too-many-issues', message: `${this.#more} more issues are not shown`, help: 'Mend these first.' }))
    return sorted
  }

  #add(severity: Issue['severity'], path: string, at: Position, complaint: Complaint): void {
    if (this.full) this.#more++
    else this.#list.push(this.#issue(severity, path, at, complaint))
  }

  #issue(severity: Issue['severity'], path: string, at: Position, { rule, message, help = '' }: Complaint): Issue {
    return { severity, file: this.file, line: at.line, column: at.column, path, rule, message: this.scrub(message), help: this.scrub(help) }
  }
}

/** The path one step up; '' is the whole file. */
export function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.'), path.lastIndexOf('[')))
}

/** `a.b`, `a[0]`, and `a["strange key"]` where a plain dot would mislead. */
export function join(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (!/^[\w.-]+$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

// ---------------------------------------------------------------- the nearest name

/** Edits (insert, delete, replace, swap of neighbours) from one name to the other: optimal string alignment. */
export function distance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, replaced)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2]! + 1)
      row.push(best)
    }
    before = last
    last = row
  }
  return last[b.length]!
}

/** The valid name that was probably meant, or null. Case and `-`/`_` do not count; a third of the letters may be wrong. */
export function nearest(name: string, valid: Iterable<string>): string | null {
  const fold = (text: string) => text.toLowerCase().replaceAll('-', '_')
  const wanted = fold(name.slice(0, 64))
  let best: string | null = null
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of valid) {
    const edits = distance(wanted, fold(candidate.slice(0, 64)))
    if (edits >= least) continue
    least = edits
    best = candidate
  }
  return best
}

/** A help sentence for an unknown name. */
export function suggestion(name: string, valid: readonly string[]): string {
  const meant = nearest(name, valid)
  if (meant !== null) return `Did you mean \`${meant}\`?`
  if (valid.length === 0) return ''
  const shown = valid.slice(0, 20).map((text) => `\`${text}\``).join(', ')
  return `Valid: ${shown}${valid.length > 20 ? ', …' : ''}.`
}

// ---------------------------------------------------------------- printing

/** What a person reads: position and path, rule and finding, help; then the count. '' when there is nothing to say. */
export function formatIssues(issues: readonly Issue[]): string {
  if (issues.length === 0) return ''
  const errors = issues.filter((issue) => issue.severity === 'error').length
  const warnings = issues.length - errors
  const counts = [count(errors, 'error'), count(warnings, 'warning')].filter((text) => text !== '').join(', ')
  return `${issues.map(formatIssue).join('\n')}\n${counts}${errors > 0 ? '; nothing was changed' : ''}.\n`
}

function formatIssue({ severity, file, line, column, path, rule, message, help }: Issue): string {
  const where = line === 0 ? file : `${file}:${line}:${column}`
  const head = [where, path].filter((part) => part !== '').join('  ')
  return [head, `  ${severity} ${rule}: ${message}`, ...(help === '' ? [] : [`  ${help}`])].join('\n')
}

function count(number: number, noun: string): string {
  return number === 0 ? '' : `${number} ${noun}${number === 1 ? '' : 's'}`
}

