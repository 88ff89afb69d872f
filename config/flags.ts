/** `weir run --to URL`: the same config as a file of a few lines would give. */
import type { Issue } from './config.ts'
import { type Loaded, type LoaderParts, loadConfig } from './load.ts'

export interface Flags {
  readonly to: string
  readonly listen?: string
  readonly admin?: string
}

/** Where each flag ends up in the file. */
const FLAGS: readonly (readonly [path: string, flag: string])[] = [['backends.up', '--to'], ['listen', '--listen'], ['admin', '--admin']]

/** One route `all` on every path to the backend `up`; admin listener (with /metrics) on. Issues name the flag and have no position. */
export async function configFromFlags({ to, listen, admin }: Flags, parts: LoaderParts): Promise<Loaded> {
  const file = {
    ...(listen !== undefined && { listen }),
    ...(admin !== undefined && { admin }),
    backends: { up: { url: to } },
    routes: [{ name: 'all', match: { path: '/**' }, backend: 'up' }],
  }
  // JSON is YAML; a `${` of the command line was already expanded by the shell or is meant as it stands.
  const text = JSON.stringify(file).replaceAll('${', () => '$${')
  const loaded = await loadConfig({ file: '', text, env: {} }, parts)
  return { ...loaded, issues: loaded.issues.map(asFlag), locate: (problem) => asFlag(loaded.locate(problem)) }
}

function asFlag(issue: Issue): Issue {
  const flag = FLAGS.find(([path]) => issue.path === path || issue.path.startsWith(`${path}.`))?.[1] ?? issue.path
  return { ...issue, line: 0, column: 0, path: flag }
}
