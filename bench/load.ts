/** The two loads: as much as goes through (wrk), and a fixed rate whatever the answers do (open loop). */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LOAD_CORE, type Running } from './processes.ts'

const run = promisify(execFile)

/** A small multiplicative generator, so that every run has the same numbers, between -2 and 2. */
export function generator(seed = 12345): () => number {
  let state = seed
  return () => {
    state = (state * 48271) % 2147483647
    return Number(((state / 2147483647) * 4 - 2).toFixed(5))
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, generator())
}

/** Open Inference Protocol JSON; what is said of nothing is four rows of thirty numbers for the model `cancer`, 1.1 kB. */
export function requestBody(rows = 4, width = 30): string {
  return JSON.stringify({ id: 'bench-1', inputs: [{ name: 'features', shape: [rows, width], datatype: 'FP32', data: numbers(rows * width) }] })
}

/** What wrk sends. */
export interface Message {
  readonly body: string | Buffer
  readonly headers: Readonly<Record<string, string>>
}

export const json = (body: string): Message => ({ body, headers: { 'Content-Type': 'application/json' } })

/** The same with the protocol's binary extension, outputs too. */
export function binaryMessage(rows: number, width = 30): Message {
  const data = Float32Array.from(numbers(rows * width))
  const head = JSON.stringify({
    id: 'bench-1', parameters: { binary_data_output: true },
    inputs: [{ name: 'features', shape: [rows, width], datatype: 'FP32', parameters: { binary_data_size: data.byteLength } }],
  })
  return { body: Buffer.concat([Buffer.from(head), Buffer.from(data.buffer)]), headers: { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': String(head.length) } }
}

/** What the backend behind every proxy answers, 220 bytes: as a small classifier would. */
export const ANSWER_BODY =
  '{"model_name":"fraud","model_version":"3","outputs":[{"name":"probabilities","shape":[4,2],"datatype":"FP32","data":[0.91,0.09,0.12,0.88,0.77,0.23,0.5,0.5]},{"name":"label","shape":[4],"datatype":"INT64","data":[0,1,0,0]}]}'

/** Writes the script that makes wrk POST the message. @param name of the script, one a message @returns its path */
export function wrkScript(folder: string, name = 'post', { body, headers }: Message = json(requestBody())): string {
  const [script, bytes] = [join(folder, `${name}.lua`), join(folder, `${name}.body`)]
  writeFileSync(bytes, body)
  const fields = Object.entries({ ...headers, 'User-Agent': 'weir-bench' }).map(([key, value]) => `wrk.headers["${key}"] = "${value}"`)
  writeFileSync(script, ['wrk.method = "POST"', `wrk.body = io.open("${bytes}", "rb"):read("*a")`, ...fields, ''].join('\n'))
  return script
}

export interface Latency {
  readonly p50_ms: number
  readonly p99_ms: number
}

export interface WrkResult {
  readonly requests: number
  /** Answers that were not 2xx or 3xx, and sockets that failed. */
  readonly errors: number
  readonly seconds: number
  readonly latency: Latency
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 }

/** Out of what `--latency` prints: `99%    1.23ms`. */
function percentile(text: string, percent: number): number {
  const [, value, unit] = new RegExp(`^ *${percent}% +([\\d.]+)(us|ms|s|m) *$`, 'm').exec(text) ?? []
  if (value === undefined) throw new Error(`wrk printed no ${percent}% of the latency:\n${text}`)
  return Number(value) * UNIT_MS[unit!]!
}

/** Reads what wrk prints: `N requests in 5.00s`, `Non-2xx or 3xx responses: N`, `Socket errors: connect N, read N, write N, timeout N`. */
export function parseWrk(text: string): WrkResult {
  const [, requests, seconds] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? []
  if (requests === undefined) throw new Error(`wrk printed no number of requests:\n${text}`)
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? []
  return { requests: Number(requests), errors: bad + sockets.reduce((total, count) => total + count, 0), seconds: Number(seconds), latency: { p50_ms: percentile(text, 50), p99_ms: percentile(text, 99) } }
}

export async function wrk(script: string, url: string, seconds: number, connections = 64): Promise<WrkResult> {
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, url])
  return parseWrk(stdout)
}

/** One measurement of a gateway under full load. */
export interface Load extends Latency {
  readonly per_second: number
  readonly per_cpu_second: number
}

/** After a short warm-up; anything but good answers is an error, since a refusal is cheap. */
export async function underLoad(script: string, url: string, gateway: Running, seconds: number, connections = 64): Promise<Load> {
  await wrk(script, url, Math.min(2, seconds), connections)
  const before = gateway.cpuSeconds()
  const { requests, errors, seconds: took, latency } = await wrk(script, url, seconds, connections)
  if (errors > 0) throw new Error(`${url}: ${errors} of ${requests} requests failed under load`)
  return { per_second: requests / took, per_cpu_second: requests / (gateway.cpuSeconds() - before), ...latency }
}

/** Requests per CPU second of the gateway under full load. */
export async function perCpuSecond(script: string, url: string, gateway: Running, seconds: number): Promise<number> {
  return (await underLoad(script, url, gateway, seconds)).per_cpu_second
}

/**
 * Fixed rate from a process of its own on the load core; latency counts from the moment a request was due, not from when it was sent.
 * @param nice for a backend on the same core that is to go first, since high rates spin; 0 where a busy gateway may have that core too
 */
export async function openLoop(url: string, perSecond: number, seconds: number, nice = 10): Promise<Latency> {
  const script = fileURLToPath(new URL('./open_loop.ts', import.meta.url))
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'nice', '-n', String(nice), process.execPath, script, url, String(perSecond), String(seconds)])
  return JSON.parse(stdout) as Latency
}
