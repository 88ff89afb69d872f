/** The two loads: as much as goes through (wrk), and a fixed rate whatever the answers do (open loop). */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LOAD_CORE, type Running } from './processes.ts'

const run = promisify(execFile)

/** Four rows of thirty numbers for the model `cancer`, 1.1 kB: a small multiplicative generator, so that every run sends the same. */
export function requestBody(): string {
  let seed = 12345
  const next = () => {
    seed = (seed * 48271) % 2147483647
    return Number(((seed / 2147483647) * 4 - 2).toFixed(5))
  }
  return JSON.stringify({ id: 'bench-1', inputs: [{ name: 'features', shape: [4, 30], datatype: 'FP32', data: Array.from({ length: 120 }, next) }] })
}

/** What the backend behind every proxy answers, 220 bytes: as a small classifier would. */
export const ANSWER_BODY =
  '{"model_name":"fraud","model_version":"3","outputs":[{"name":"probabilities","shape":[4,2],"datatype":"FP32","data":[0.91,0.09,0.12,0.88,0.77,0.23,0.5,0.5]},{"name":"label","shape":[4],"datatype":"INT64","data":[0,1,0,0]}]}'

/** Writes the script that makes wrk POST the body. @returns its path */
export function wrkScript(folder: string): string {
  const file = join(folder, 'post.lua')
  const lines = ['wrk.method = "POST"', `wrk.body = [==[${requestBody()}]==]`, 'wrk.headers["Content-Type"] = "application/json"', 'wrk.headers["User-Agent"] = "weir-bench"']
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

export interface WrkResult {
  readonly requests: number
  /** Answers that were not 2xx or 3xx, and sockets that failed. */
  readonly errors: number
}

/** Reads what wrk prints: `N requests in …`, `Non-2xx or 3xx responses: N`, `Socket errors: connect N, read N, write N, timeout N`. */
export function parseWrk(text: string): WrkResult {
  const requests = /(\d+) requests in/.exec(text)
  if (requests === null) throw new Error(`wrk printed no number of requests:\n${text}`)
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? []
  return { requests: Number(requests[1]), errors: bad + sockets.reduce((total, count) => total + count, 0) }
}

export async function wrk(script: string, url: string, seconds: number, connections = 64): Promise<WrkResult> {
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-s', script, url])
  return parseWrk(stdout)
}

/** Requests per CPU second of the gateway under full load; anything but good answers is an error, since a refusal is cheap. */
export async function perCpuSecond(script: string, url: string, gateway: Running, seconds: number): Promise<number> {
  await wrk(script, url, Math.min(2, seconds))
  const before = gateway.cpuSeconds()
  const { requests, errors } = await wrk(script, url, seconds)
  if (errors > 0) throw new Error(`${url}: ${errors} of ${requests} requests failed under load`)
  return requests / (gateway.cpuSeconds() - before)
}

export interface Latency {
  readonly p50_ms: number
  readonly p99_ms: number
}

/** Fixed rate from a process of its own on the load core; latency counts from the moment a request was due, not from when it was sent. */
export async function openLoop(url: string, perSecond: number, seconds: number): Promise<Latency> {
  const script = fileURLToPath(new URL('./open_loop.ts', import.meta.url))
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'nice', '-n', '10', process.execPath, script, url, String(perSecond), String(seconds)])
  return JSON.parse(stdout) as Latency
}
