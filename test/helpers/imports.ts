/** Reads the import lines of the source, for `layering.test.ts`: no type checker, so that it says the same on every machine in a moment. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface Import {
  /** As written. */
  readonly specifier: string
  /** Path of the file inside the project with forward slashes, or null for a package or a node: module. */
  readonly file: string | null
  /** `lodash`, `@scope/name`, `node:fs`, or null for a file of the project. */
  readonly module: string | null
  /** `import type`: erased, so it cannot run anything. */
  readonly erased: boolean
  readonly line: number
}

export interface Source {
  /** Path inside the project, forward slashes. */
  readonly file: string
  /** Comments blanked, line breaks kept. */
  readonly code: string
  readonly imports: readonly Import[]
}

const STATEMENT = /^[ \t]*(import|export)\s+(type\s+)?(?:[\w*{][^;'"`]*?\sfrom\s+|(?=['"]))['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]/g
/** Files started as threads are imports too: `new URL('./data.ts', import.meta.url)`. */
const BY_URL = /new URL\(\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url\s*\)/g

export function parse(file: string, text: string): Source {
  const code = blankComments(text)
  const imports: Import[] = []
  const note = (specifier: string, erased: boolean, at: number) => imports.push({ specifier, erased, ...resolve(file, specifier), line: lineOf(code, at) })
  for (const match of code.matchAll(STATEMENT)) note(match[3]!, match[2] !== undefined, match.index)
  for (const match of code.matchAll(DYNAMIC)) note(match[1]!, false, match.index)
  for (const match of code.matchAll(BY_URL)) note(match[1]!, false, match.index)
  return { file, code, imports }
}

function resolve(from: string, specifier: string): { file: string | null; module: string | null } {
  if (specifier.startsWith('.')) return { file: posix.normalize(posix.join(posix.dirname(from), specifier)), module: null }
  if (specifier.startsWith('node:')) return { file: null, module: specifier }
  return { file: null, module: specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/') }
}

export function lineOf(code: string, at: number): number {
  return code.slice(0, at).split('\n').length
}

/**
 * Comments become spaces; strings stay. Knows strings, templates (as a whole) and both kinds of comment. A `//` in a regular
 * expression would start a comment here; the source writes `\/\/` there, which does not.
 */
export function blankComments(text: string): string {
  return text.replace(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\\.|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (part) => (/^\/[/*]/.test(part) ? part.replace(/[^\n]/g, ' ') : part))
}

/** Every .ts file below the folders, as the project has it. */
export function readSources(folders: readonly string[]): Source[] {
  return folders
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort()
    .map((file) => parse(file, readFileSync(join(root, file), 'utf8')))
}
