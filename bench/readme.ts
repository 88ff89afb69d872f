/**
 * The generated parts of README.md: between `<!-- NAME -->` and `<!-- /NAME -->` stands what the code and the bench say.
 * For `npm run gen`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { plugins } from '../plugins/index.ts'
import { root } from './peers.ts'
import { figures, readResults, report } from './report.ts'

/** Replaces what stands between the markers. */
export function fill(text: string, name: string, content: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(open), text.indexOf(close)]
  if (from < 0 || to < from) throw new Error(`there is no ${open} … ${close}`)
  return `${text.slice(0, from + open.length)}\n${content.trim()}\n${text.slice(to)}`
}

function rows(head: readonly string[], lines: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** The files of plugins/ are the list; nobody keeps another. */
function pluginTable(): string {
  return rows(['plugin', 'what it does', ''], [...plugins.values()].map(({ name, summary, stability }) => [`[\`${name}\`](plugins/README.md#${name})`, summary, stability]))
}

export async function produceReadme(): Promise<Map<string, string>> {
  const read = (name: string) => readFileSync(join(root, name), 'utf8')
  const measured = existsSync(join(root, 'bench/results.json'))
  const page = fill(read('README.md'), 'plugins', pluginTable())
  return new Map([
    ['README.md', measured ? fill(page, 'figures', figures(readResults())) : page],
    ...(measured ? [['bench/RESULTS.md', report(readResults())] as const] : []),
  ])
}
