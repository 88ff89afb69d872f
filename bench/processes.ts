/** Starts what is measured, each on its core, and reads from /proc what it used. Linux only, as is the whole bench. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'

/** The gateway runs alone on the first core; load and backend share the second. */
export const GATEWAY_CORE = 0
export const LOAD_CORE = 1
/** Where nothing else runs beside the gateway: as its users start it. */
export const BOTH_CORES = '0,1'

export interface Running {
  readonly pid: number
  /** CPU seconds of the process and all its children so far. */
  cpuSeconds(): number
  /** CPU seconds so far of the process's own threads of this name (the kernel keeps 15 characters of it). */
  threadSeconds(name: string): number
  /** Resident memory of the process and all its children, MiB. */
  residentMib(): number
  stop(): Promise<void>
}

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }))

/** Fields of /proc/PID/stat from the state on (the command before it may hold spaces and parentheses), or null if it is gone. */
function stat(pid: number): string[] | null {
  return statOf(`/proc/${pid}`)?.fields ?? null
}

/** @param folder of a process, or of one of its threads */
function statOf(folder: string): { readonly name: string; readonly fields: string[] } | null {
  try {
    const line = readFileSync(`${folder}/stat`, 'latin1')
    const end = line.lastIndexOf(')')
    return { name: line.slice(line.indexOf('(') + 1, end), fields: line.slice(end + 2).split(' ') }
  } catch {
    return null
  }
}

function threadTicks(pid: number, name: string): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => statOf(`/proc/${pid}/task/${thread}`)).filter((thread) => thread?.name === name)
  if (threads.length === 0) throw new Error(`process ${pid} has no thread "${name}"`)
  return threads.reduce((total, thread) => total + ticks(thread!.fields), 0)
}

/** The process and everything below it. */
function tree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = stat(Number(name))?.[1]
    if (parent !== undefined) children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)])
  }
  const below = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(below)]
  return below(root)
}

/** Sum of a reading over the process tree; utime and stime are fields 14 and 15 of proc(5), rss is 24, counted here from field 3. */
function sum(root: number, read: (fields: string[]) => number): number {
  return tree(root).reduce((total, pid) => total + read(stat(pid) ?? []), 0)
}

const number = (text: string | undefined) => Number(text ?? 0)
const ticks = (fields: readonly string[]) => number(fields[11]) + number(fields[12])

export function start(core: number | string, file: string, args: readonly string[], options: { env?: Record<string, string>; cwd?: string; nice?: number } = {}): Running {
  const niced = options.nice === undefined ? [file] : ['nice', '-n', String(options.nice), file]
  const child = spawn('taskset', ['-c', String(core), ...niced, ...args], { stdio: ['ignore', 'ignore', 'pipe'], cwd: options.cwd, env: { ...process.env, ...options.env } })
  let complaint = ''
  child.stderr!.on('data', (chunk: Buffer) => (complaint = (complaint + chunk).slice(-4000)))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  children.set(child, () => complaint)
  const pid = child.pid!
  return {
    pid,
    cpuSeconds: () => sum(pid, ticks) / TICKS_PER_SECOND,
    threadSeconds: (name) => threadTicks(pid, name) / TICKS_PER_SECOND,
    residentMib: () => (sum(pid, (fields) => number(fields[21])) * PAGE_BYTES) / 2 ** 20,
    async stop() {
      child.kill('SIGTERM')
      const hard = setTimeout(() => killAll(pid), 5000)
      await ended
      clearTimeout(hard)
      children.delete(child)
    },
  }
}

const children = new Map<ChildProcess, () => string>()

/** Whatever happens to the bench, nothing it started outlives it. */
export function stopAll(): void {
  for (const child of children.keys()) killAll(child.pid!)
}

/** The workers of a server that is killed would go on without it. */
function killAll(root: number): void {
  for (const pid of tree(root)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended by itself meanwhile.
    }
  }
}

/** Waits until `url` answers 2xx. @returns milliseconds from the call */
export async function ready(url: string, within_ms = 20_000): Promise<number> {
  const begun = performance.now()
  for (;;) {
    const answer = await fetch(url).catch(() => null)
    await answer?.arrayBuffer()
    const took = performance.now() - begun
    if (answer?.ok === true) return took
    if (took > within_ms) {
      const told = [...children.values()].map((text) => text()).filter((text) => text !== '')
      throw new Error(`${url} did not answer within ${within_ms} ms\n${told.join('\n')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Path of a program, or null. nginx and haproxy live in sbin, which is not on everybody's PATH. */
export function find(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? null
}

/** First line a program prints of itself (some print it to standard error). */
export function versionOf(file: string, ...args: string[]): string {
  try {
    return execFileSync('sh', ['-c', '"$0" "$@" 2>&1', file, ...args], { encoding: 'utf8' }).split('\n')[0]!.trim()
  } catch {
    return 'unknown version'
  }
}
