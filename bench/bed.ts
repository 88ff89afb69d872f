/** What every section stands on: how long things take, a folder, a backend, ports. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wrkScript } from './load.ts'
import { type Peer, type Setting, startBackend } from './peers.ts'
import { freePort, ready, type Running } from './processes.ts'

export interface Plan {
  /** Seconds of one measurement under full load. */
  readonly seconds: number
  readonly rounds: number
  readonly latency_seconds: number
  readonly latency_pairs: number
  readonly memory_seconds: number
  readonly starts: number
  /** Megabytes of the file that is profiled. */
  readonly profile_mb: number
}

export type Say = (line: string) => void

export const PROXIED = '/v2/models/fraud/infer'
export const INSIDE = '/v2/models/cancer/infer'
export const rounded = (value: number) => String(Math.round(value))
export const url = (setting: Setting, path: string) => `http://127.0.0.1:${setting.port}${path}`

export interface Bed {
  readonly folder: string
  /** Four rows of JSON for `cancer`. */
  readonly script: string
  setting(): Promise<Setting>
  stop(): Promise<void>
}

/** A temp folder with the backend running. */
export async function bed(): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'))
  const upstream = await freePort()
  const backend = startBackend({ folder, port: 0, upstream })
  await ready(`http://127.0.0.1:${upstream}/`)
  const stop = async () => {
    await backend.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return { folder, script: wrkScript(folder), setting: async () => ({ folder, port: await freePort(), upstream }), stop }
}

export async function startPeer(peer: Peer, setting: Setting): Promise<Running> {
  const running = peer.start(setting)
  await ready(url(setting, peer.health ?? PROXIED))
  return running
}
