#!/usr/bin/env node
/** The command line. The only reader of `process.argv` and `process.env`; everything else is given what it needs. */
import { readFileSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'
import { nodeComplaint } from './command/node_version.ts'
import type { Command } from './command/orders.ts'
import type { Terminal } from './command/run.ts'

refuseOldNode()
keepCompiled()
const { parseCommand, UsageError } = await import('./command/arguments.ts')
const { nearest } = await import('../config/issues.ts')

/** Exit code 1, like a program that cannot run at all. */
function refuseOldNode(): void {
  const complaint = nodeComplaint(process.versions.node)
  if (complaint === null) return
  process.stderr.write(complaint)
  process.exit(1)
}

/**
 * Run from source, every thread strips the types of every file, which is most of the time a start takes. The results are kept beside
 * the packages; workers learn where by the environment. A package that is built needs none of it.
 */
function keepCompiled(): void {
  if (!import.meta.url.endsWith('.ts')) return
  process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('../node_modules/.cache/weir', import.meta.url))
  module.enableCompileCache(process.env['NODE_COMPILE_CACHE'])
}

const terminal: Terminal = {
  env: process.env,
  version: versionOf(new URL('../package.json', import.meta.url)) ?? versionOf(new URL('../../package.json', import.meta.url)) ?? 'unknown',
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  interactive: process.stderr.isTTY === true,
  on: (signal, handle) => void process.on(signal, handle),
}

/** Of the project: beside `gateway/`, or one further up from where it is built. */
function versionOf(file: URL): string | null {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  } catch {
    return null
  }
}

async function carryOut(command: Command): Promise<number> {
  switch (command.name) {
    case 'help':
      terminal.out((await import('./command/help.ts')).helpText(command.topic))
      return 0
    case 'version':
      terminal.out(`weir ${terminal.version}\n`)
      return 0
    case 'run':
      // What a stop found half built (an admin listener, a model on its way) must not keep the process.
      return process.exit(await (await import('./command/run.ts')).run(command, terminal))
    case 'check':
      // What did not answer in its time may still hold a socket.
      return process.exit(await (await import('./command/check.ts')).check(command, terminal))
    case 'explain':
      return (await import('./command/check.ts')).explain(command.file, command.request, terminal)
    case 'profile':
      return (await import('./command/profile.ts')).profile(command, terminal)
    case 'replay':
      return (await import('./command/replay.ts')).replay(command, terminal)
    case 'backtest':
      return (await import('./command/backtest.ts')).backtest(command, terminal)
  }
}

try {
  process.exitCode = await carryOut(parseCommand(process.argv.slice(2), nearest))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  terminal.error(`weir: ${error.message}\n  ${error.help}\n`)
  process.exitCode = 2
}
