/** The generated parts of README.md: between `<!-- NAME -->` and `<!-- /NAME -->` stands what the code and the bench say. For `npm run gen`. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './peers.ts'
import { figures, readResults } from './report.ts'

/** Replaces what stands between the markers. */
export function fill(text: string, name: string, content: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(open), text.indexOf(close)]
  if (from < 0 || to < from) throw new Error(`README.md has no ${open} … ${close}`)
  return `${text.slice(0, from + open.length)}\n${content.trim()}\n${text.slice(to)}`
}

interface Described {
  readonly name: string
  readonly summary: string
  readonly stability: string
}

/** The files of plugins/ are the list; nobody keeps another. */
async function pluginTable(): Promise<string> {
  const { plugins } = (await import('../plugins/index.ts')) as { plugins: readonly Described[] | Readonly<Record<string, Described>> }
  const rows = Object.values(plugins).map(({ name, summary, stability }) => `| [\`${name}\`](plugins/README.md#${name}) | ${summary} | ${stability} |`)
  return ['| plugin | what it does | |', '|---|---|---|', ...rows].join('\n')
}

export async function produceReadme(): Promise<Map<string, string>> {
  let text = readFileSync(join(root, 'README.md'), 'utf8')
  if (existsSync(join(root, 'bench/results.json'))) text = fill(text, 'figures', figures(readResults()))
  return new Map([['README.md', fill(text, 'plugins', await pluginTable())]])
}
