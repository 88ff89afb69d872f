/** A real Prometheus in a temp folder on a free port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../servers.ts'

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface Prometheus {
  /** An instant query. @throws with Prometheus' own complaint when it is not accepted */
  query(expr: string): Promise<Sample[]>
  /** Waits until every target was scraped well that many times within ten seconds. */
  scraped(times: number): Promise<void>
  close(): Promise<void>
}

/** What to scrape. */
export interface Target {
  /** Of the page: `http://127.0.0.1:9901/metrics`. */
  readonly url: string
  readonly token?: string | undefined
}

const SCRAPE_MS = 500
const START_MS = 25_000
const STOP_MS = 5_000

/** @param program path of the executable */
export async function startPrometheus(program: string, targets: readonly Target[]): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-prometheus-'))
  writeFileSync(join(folder, 'prometheus.yml'), configOf(targets))
  const port = await freePort()
  const child = spawn(program, [`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4000)))
  const base = `http://127.0.0.1:${port}`

  async function query(expr: string): Promise<Sample[]> {
    const response = await fetch(`${base}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: expr }) })
    const answer = (await response.json()) as { status: string; error?: string; data?: { result: { metric: Record<string, string>; value: [number, string] }[] } }
    if (answer.status !== 'success') throw new Error(`${expr}: ${answer.error}`)
    return answer.data!.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
  }

  async function scraped(times: number): Promise<void> {
    const expr = `count(sum_over_time(up[10s]) >= ${times})`
    await until(async () => (await query(expr))[0]?.value === targets.length, `${times} good scrapes within 10 s of ${targets.map(({ url }) => url).join(', ')}`, () => said)
  }

  async function close(): Promise<void> {
    await ended(child)
    rmSync(folder, { recursive: true, force: true })
  }

  try {
    await until(async () => (await fetch(`${base}/-/ready`)).ok, 'Prometheus to be ready', () => said)
  } catch (error) {
    await close()
    throw error
  }
  return { query, scraped, close }
}

function configOf(targets: readonly Target[]): string {
  const jobs = targets.map(({ url, token }, i) => {
    const { protocol, host, pathname } = new URL(url)
    return {
      job_name: `weir-${i}`, scheme: protocol.slice(0, -1), metrics_path: pathname, static_configs: [{ targets: [host] }],
      ...(token === undefined ? {} : { authorization: { credentials: token } }),
    }
  })
  // JSON is YAML.
  return JSON.stringify({ global: { scrape_interval: `${SCRAPE_MS}ms`, scrape_timeout: `${SCRAPE_MS}ms` }, scrape_configs: jobs })
}

async function until(good: () => Promise<boolean>, what: string, said: () => string): Promise<void> {
  const deadline = performance.now() + START_MS
  while (!(await good().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`waited ${START_MS} ms in vain for ${what}; it said: ${said()}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await gone
  clearTimeout(timer)
}
