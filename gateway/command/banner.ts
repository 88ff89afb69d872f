/** What `weir run` prints once it serves: what listens where, and the requests to try that the file itself names. */
import type { Config } from '../../config/config.ts'
import { shownAddress } from './source.ts'

const WORDS = { listens: 'listens', admin: 'admin', metrics: 'metrics' } as const

/** @param config with the addresses as opened */
export function banner(version: string, config: Config, threads: number, tries: readonly string[]): string {
  const { listen, admin, metrics, file, hash } = config
  const lines = [`weir ${version}  ${file === '' ? 'without a file' : `${file} ${hash}`}  ${threads} data thread${threads === 1 ? '' : 's'}`]
  const line = (word: keyof typeof WORDS, text: string): void => void lines.push(`  ${WORDS[word].padEnd(9)}${text}`)
  for (const { address, tls } of listen) line('listens', shownAddress(address, tls !== null))
  if (admin !== null) line('admin', shownAddress(admin.address, admin.tls !== null))
  if (metrics !== null) line('metrics', `${shownAddress(metrics, false)}/metrics`)
  if (tries.length > 0) lines.push('', 'Try:', ...tries.map((text) => `  ${text}`), '')
  return `${lines.join('\n')}\n`
}

/** The lines `#   $ curl …` of the comment that a file opens with. */
export function triesIn(text: string): string[] {
  const tries: string[] = []
  for (const line of text.split('\n')) {
    if (!line.startsWith('#')) break
    const found = /^#\s*\$ (curl .*\S)\s*$/.exec(line)
    if (found !== null) tries.push(found[1]!)
  }
  return tries
}
