/** Where `weir run` has its configuration from: a file or flags, and the flags that stand over a file. */
import { availableParallelism } from 'node:os'
import { formatAddress, isComplaint, parseAddress } from '../../config/addresses.ts'
import { exposure, isExposed } from '../../config/checks.ts'
import type { Address, BuildIssue, Config, Issue } from '../../config/config.ts'
import { configFromFlags } from '../../config/flags.ts'
import { type Loaded, type LoaderParts, loadConfig } from '../../config/load.ts'
import { builtIn, importUserPlugin } from '../../config/registry.ts'
import type { Source } from './orders.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const parts: LoaderParts = { plugins: builtIn, importUserPlugin, parallelism: availableParallelism() }

/** Reads the configuration; every call reads it anew. */
export async function read(source: Source, env: Environment): Promise<Loaded> {
  const { file, to, listen, admin } = source
  const loaded = await (file === null ? configFromFlags({ to: to!, ...(listen !== null && { listen }), ...(admin !== null && { admin }) }, parts) : loadConfig({ file, env }, parts))
  if (loaded.config === null) return loaded
  const wrong: Issue[] = []
  const config = overridden(loaded.config, source, (issue) => wrong.push(loaded.locate(issue)))
  return wrong.length > 0 ? { ...loaded, config: null, issues: [...loaded.issues, ...wrong] } : { ...loaded, config }
}

/** The flags win over the file, on a reload too. */
function overridden(config: Config, { file, listen, admin, threads }: Source, wrong: (issue: BuildIssue) => void): Config {
  const address = (text: string, at: string): Address | null => {
    const parsed = parseAddress(text, process.cwd())
    if (!isComplaint(parsed)) return parsed
    wrong({ at, ...parsed, help: parsed.help ?? '' })
    return null
  }
  const changed: { -readonly [K in 'listen' | 'admin' | 'threads']?: Config[K] } = {}
  if (file !== null && listen !== null) {
    const found = address(listen, '--listen')
    if (found !== null) changed.listen = [{ address: found, tls: config.listen[0]?.tls ?? null }]
  }
  if (file !== null && admin === 'off') changed.admin = null
  else if (file !== null && admin !== null) {
    const found = address(admin, '--admin')
    if (found !== null) changed.admin = { token: null, tls: null, ...config.admin, address: found }
    if (changed.admin != null && isExposed(changed.admin)) wrong({ at: '--admin', ...exposure(changed.admin) })
  }
  if (threads !== null && threads !== 'auto') {
    if (/^\d{1,3}$/.test(threads) && Number(threads) >= 1 && Number(threads) <= 256) changed.threads = Number(threads)
    else wrong({ at: '--threads', rule: 'bad-value', message: `expected a number from 1 to 256 or auto, found ${threads}`, help: '' })
  } else if (threads === 'auto') changed.threads = parts.parallelism
  return { ...config, ...changed }
}

/** The address for people: what they can put into a browser or curl. */
export function shownAddress(address: Address, secure: boolean): string {
  if ('unix' in address) return formatAddress(address)
  const host = address.host === '' || address.host === '0.0.0.0' || address.host === '::' ? '127.0.0.1' : address.host
  return `${secure ? 'https' : 'http'}://${formatAddress({ host, port: address.port })}`
}
