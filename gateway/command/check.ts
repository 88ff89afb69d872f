/** `weir check` and `weir explain`: what can be said without running anything; with `--connect`, whether what the file names answers. */
import type { BuildIssue, Config } from '../../config/config.ts'
import { explainConfig, explainRequest } from '../../config/explain.ts'
import { formatIssues } from '../../config/issues.ts'
import { loadConfig } from '../../config/load.ts'
import { systemClock } from '../clock.ts'
import type { Log } from '../plugin.ts'
import { readProfile } from '../profile/check.ts'
import { hasModels } from '../threads/grants.ts'
import type { AskedRequest } from './orders.ts'
import { profilesOf } from './profiles.ts'
import type { Terminal } from './run.ts'
import { parts } from './source.ts'

const QUIET: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** @returns 0: right; 1: right, and something that it names does not answer; 2: wrong */
export async function check({ file, connect }: { readonly file: string; readonly connect: boolean }, terminal: Terminal): Promise<number> {
  const { config, issues, locate } = await loadConfig({ file, env: terminal.env }, parts)
  const all = [...issues]
  if (config !== null && hasModels(config)) {
    const { loadForCheck } = await import('../models/repository/model_set.ts')
    for (const issue of await loadForCheck(config, { clock: systemClock, log: QUIET })) all.push({ ...locate(issue), severity: issue.severity })
  }
  if (config !== null) for (const issue of wrongProfiles(config)) all.push(locate(issue))
  const wrong = all.some(({ severity }) => severity === 'error')
  if (all.length > 0) terminal.error(formatIssues(all))
  if (wrong) return 2
  terminal.out(`${file} is right: ${config!.routes.length} routes, ${Object.keys(config!.backends).length} backends.\n`)
  return connect ? reach(config!, terminal) : 0
}

function wrongProfiles(config: Config): BuildIssue[] {
  return [...profilesOf(config)].flatMap(([path, at]): BuildIssue[] => {
    try {
      readProfile(path)
      return []
    } catch (error) {
      return [{ at, rule: 'bad-profile', message: (error as Error).message, help: 'Make one with `weir profile DATA -o FILE`.' }]
    }
  })
}

async function reach(config: Config, terminal: Terminal): Promise<number> {
  const { connectAll, foundText } = await import('./connect.ts')
  const found = await connectAll(config, { clock: systemClock, log: QUIET })
  terminal.out(foundText(found))
  return found.every(({ ok }) => ok) ? 0 : 1
}

export async function explain(file: string, request: AskedRequest | null, terminal: Terminal): Promise<number> {
  const { config, issues } = await loadConfig({ file, env: terminal.env }, parts)
  if (issues.length > 0) terminal.error(formatIssues(issues))
  if (config === null) return 2
  if (request === null) terminal.out(explainConfig(config))
  else terminal.out(explainRequest(config, { method: request.method, path: request.target, headers: Object.fromEntries(pairs(request.headers)) }, parts.plugins))
  return 0
}

function pairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, flat[i + 1]!]] : []))
}
