/**
 * Runs a file of config/examples as its reader would, on ports of this test's own: the folder is copied, the addresses in configuration and
 * commands are replaced by free ones, `openssl` lines of its head are run, the gateway is started, and the `curl` lines are run.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadConfig } from '../../config/load.ts'
import { formatIssues } from '../../config/issues.ts'
import { parts } from '../../gateway/command/source.ts'
import { freePort } from '../servers.ts'
import { root } from './imports.ts'

const run = promisify(execFile)
const MAIN = join(root, 'gateway/main.ts')
/** Ports the examples use: traffic, admin, metrics, three servers, one https server. */
const PORTS = [8080, 9901, 9902, 8501, 8502, 8503, 8443] as const

export interface Example {
  /** The copy of the project's config folder is in here. */
  readonly folder: string
  readonly file: string
  /** The port that stands for one of `PORTS`. */
  port(written: (typeof PORTS)[number]): number
  /** The lines `#   $ curl …` of the head, rewritten. */
  readonly curls: readonly string[]
  /** @param cwd default: `folder` */
  shell(command: string, cwd?: string): Promise<string>
  /** Errors and warnings of the loader, '' if there are none. */
  complaints(): Promise<string>
  start(): Promise<void>
  close(): Promise<void>
}

/** @param name path below config/ */
export async function example(name: string, change: (text: string) => string = (text) => text): Promise<Example> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-example-'))
  await cp(join(root, 'config'), join(folder, 'config'), { recursive: true, filter: (path) => !/\/config\/[^/]+\.ts$/.test(path) })
  // Plugins of users import the contract from where they stand in the project.
  await symlink(join(root, 'gateway'), join(folder, 'gateway'))
  const free = new Map<number, number>()
  for (const port of PORTS) free.set(port, await freePort())
  const rewrite = (text: string) =>
    text.replace(/(127\.0\.0\.1|0\.0\.0\.0|localhost):(\d{4})\b/g, (all, host: string, port: string) => (free.has(Number(port)) ? `${host}:${free.get(Number(port))}` : all)).replaceAll('/tmp/', `${folder}/`)

  const file = join(folder, 'config', name)
  const text = rewrite(change(await readFile(join(root, 'config', name), 'utf8')))
  await writeFile(file, text)
  const commands = [...text.matchAll(/^#   \$ (.*)$/gm)].map((match) => match[1]!)
  const shell = async (command: string, cwd = folder) => (await run('sh', ['-c', command], { cwd })).stdout
  for (const line of commands) if (line.startsWith('openssl ')) await shell(line, join(file, '..'))

  let gateway: ChildProcess | null = null
  let told = ''
  return {
    folder,
    file,
    port: (written) => free.get(written)!,
    curls: commands.filter((line) => line.startsWith('curl ')),
    shell,
    async complaints() {
      // A user's plugin is loaded by Node's own import, which a test cannot stand in for.
      if (/^ *- use:/m.test(text)) return run(process.execPath, [MAIN, 'check', file]).then(({ stderr }) => stderr, (error: { stderr: string }) => error.stderr)
      const { config, issues } = await loadConfig({ file, env: {} }, parts)
      return formatIssues(issues) + (config === null ? 'no configuration' : '')
    },
    async start() {
      gateway = spawn(process.execPath, [MAIN, 'run', file, '--threads', '1'], { stdio: ['ignore', 'pipe', 'pipe'] })
      const listen = (chunk: Buffer) => (told = (told + chunk).slice(-8000))
      gateway.stdout!.on('data', listen)
      gateway.stderr!.on('data', listen)
      await untilReady(free.get(9901)!, gateway, () => told)
    },
    async close() {
      if (gateway !== null && gateway.exitCode === null) {
        const ended = new Promise((resolve) => gateway!.once('exit', resolve))
        // The second signal does not wait for the drain.
        gateway.kill('SIGTERM')
        gateway.kill('SIGTERM')
        const hard = setTimeout(() => gateway!.kill('SIGKILL'), 3000)
        await ended
        clearTimeout(hard)
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function untilReady(admin: number, gateway: ChildProcess, told: () => string): Promise<void> {
  for (let i = 0; i < 1500; i++) {
    if (gateway.exitCode !== null) throw new Error(`weir ended with ${gateway.exitCode}:\n${told()}`)
    const answer = await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => null)
    if (answer?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`weir was not ready within 30 s:\n${told()}`)
}
