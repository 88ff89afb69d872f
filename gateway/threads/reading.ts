/** A configuration as read, and the problems of bringing it to run. */
import { isDeepStrictEqual } from 'node:util'
import type { BuildIssue, Config, Issue } from '../../config/config.ts'
import type { Grant } from './grants.ts'

/** The file as it was just read. */
export interface Reading {
  /** null when there are errors. */
  readonly config: Config | null
  readonly issues: readonly Issue[]
  /** Gives a problem found by the data threads its place in the file. */
  locate(issue: BuildIssue): Issue
}

export interface Outcome {
  readonly ok: boolean
  readonly issues: readonly Issue[]
}

/** What a running process does not change. */
const FIXED = ['listen', 'admin', 'metrics', 'threads', 'state', 'timeouts', 'limits', 'access_log', 'inference', 'tracing', 'zone'] as const satisfies readonly (keyof Config)[]

export function failed(issues: readonly Issue[]): boolean {
  return issues.some(({ severity }) => severity === 'error')
}

/** Threads find the same problems; each is told once. */
export function located(reading: Reading, issues: readonly BuildIssue[]): Issue[] {
  return [...new Map(issues.map((issue) => [JSON.stringify(issue), issue])).values()].map((issue) => reading.locate(issue))
}

export function warnings(reading: Reading, grant: Grant): Issue[] {
  return grant.issues.filter(({ severity }) => severity === 'warning').map((issue) => ({ ...reading.locate(issue), severity: 'warning' }))
}

export function fixedChanges(before: Config, after: Config): BuildIssue[] {
  return FIXED.filter((key) => !isDeepStrictEqual(before[key], after[key])).map((key) => ({
    at: key,
    rule: 'needs-restart',
    message: `\`${key}\` cannot change while the gateway runs`,
    help: 'Restart it, or put the old value back to reload the rest.',
  }))
}

export function threadProblem(error: unknown): BuildIssue {
  return { at: '', rule: 'thread', message: message(error), help: 'See the log.' }
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
