/**
 * The generated parts of README.md and SECURITY.md: between `<!-- NAME -->` and `<!-- /NAME -->` stands what the code and the bench say.
 * For `npm run gen`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileSchema } from '../config/schema.ts'
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

interface Schema {
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
}

/** Sections of the file whose every key bounds something, and single keys that do. */
const BOUNDS = ['limits.*', 'timeouts.*', 'drain.*', 'routes[].max_body_bytes', 'backends.NAME.connect', 'backends.NAME.response_headers', 'backends.NAME.idle', 'backends.NAME.connections', 'backends.NAME.keep_alive', 'backends.NAME.lifetime'] as const

/** What the schema says at a path; of alternatives the first that has the key. */
function at(schema: Schema, path: readonly string[]): Schema {
  const [key, ...rest] = path
  if (key === undefined) return schema
  const found = key === '[]' ? schema.items : key === 'NAME' ? Object.values(schema.patternProperties ?? {})[0] : (schema.properties?.[key] ?? schema.anyOf?.find((one) => one.properties?.[key] !== undefined)?.properties?.[key])
  if (found === undefined) throw new Error(`the schema of the configuration has no ${path.join('.')}`)
  return at(found, rest)
}

/** Every limit with its default and what happens beyond it, from the schema of the configuration. */
function limitTable(): string {
  const schema = fileSchema([]) as unknown as Schema
  const steps = (path: string) => path.replace('[]', '.[]').split('.')
  const paths = BOUNDS.flatMap((path) => (path.endsWith('.*') ? Object.keys(at(schema, steps(path.slice(0, -2))).properties ?? {}).map((key) => path.replace('*', key)) : [path]))
  const line = (path: string) => {
    const { default: usual, description = '' } = at(schema, steps(path))
    return [`\`${path}\``, String(usual), description]
  }
  return rows(['key', 'default', 'what it bounds'], paths.map(line))
}

export async function produceReadme(): Promise<Map<string, string>> {
  const read = (name: string) => readFileSync(join(root, name), 'utf8')
  const measured = existsSync(join(root, 'bench/results.json'))
  const page = fill(read('README.md'), 'plugins', pluginTable())
  return new Map([
    ['README.md', measured ? fill(page, 'figures', figures(readResults())) : page],
    ['SECURITY.md', fill(read('SECURITY.md'), 'limits', limitTable())],
    ...(measured ? [['bench/RESULTS.md', report(readResults())] as const] : []),
  ])
}
