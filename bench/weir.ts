/** weir as the bench runs it: built, since that is what users get; one data thread against peers with one worker. */
import { existsSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { MODEL, root, type Setting } from './peers.ts'
import { BOTH_CORES, freePort, GATEWAY_CORE, ready, type Running, start } from './processes.ts'

export const SOURCE = join(root, 'gateway/main.ts')
export const BUILT = join(root, 'dist/gateway/main.js')

/** What `npm pack` would build, from the source as it is now. */
export function build(): void {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', 'gateway'], { cwd: root, stdio: 'inherit' })
  if (!existsSync(BUILT)) throw new Error('the build left no dist/gateway/main.js')
}

export interface Options {
  readonly main?: string
  readonly threads?: number
  readonly cores?: number | string
}

/** A route without plugins to the backend. */
export function proxyConfig(setting: Setting, admin: number, threads: number): string {
  return `listen: 127.0.0.1:${setting.port}
admin: 127.0.0.1:${admin}
threads: ${threads}
backends:
  up: { url: "http://127.0.0.1:${setting.upstream}" }
routes:
  - { name: all, match: { path: "/**" }, backend: up }
`
}

/** Models as routes of their own, and a plain proxy route for everything else. */
function modelsConfig(setting: Setting, admin: number, files: Readonly<Record<string, string>>, batching = true): string {
  const names = Object.keys(files)
  const option = batching ? '' : ', batching: off'
  return `listen: 127.0.0.1:${setting.port}
admin: 127.0.0.1:${admin}
threads: 1
inference: { threads: 1 }
backends:
${names.map((name) => `  ${name}: { onnx: "${files[name]}"${option} }`).join('\n')}
  up: { url: "http://127.0.0.1:${setting.upstream}" }
routes:
${names.map((name) => `  - { name: ${name}, match: { path: /v2/models/${name}/infer }, backend: ${name} }`).join('\n')}
  - { name: all, match: { path: "/**" }, backend: up }
`
}

export async function launch(setting: Setting, name: string, text: (admin: number) => string, { main = BUILT, cores = GATEWAY_CORE }: Options = {}): Promise<{ running: Running; ready_ms: number }> {
  const admin = await freePort()
  const file = join(setting.folder, `${name}.yaml`)
  writeFileSync(file, text(admin))
  const running = start(cores, process.execPath, [main, 'run', file])
  return { running, ready_ms: await ready(`http://127.0.0.1:${admin}/ready`) }
}

export const startProxy = (setting: Setting, options: Options = {}) => launch(setting, 'weir', (admin) => proxyConfig(setting, admin, options.threads ?? 1), options)
export const startInside = (setting: Setting) => launch(setting, 'weir-inside', (admin) => modelsConfig(setting, admin, { cancer: MODEL }))
export const startBatching = (setting: Setting, slow: string, batching: boolean) => launch(setting, `weir-batching-${batching}`, (admin) => modelsConfig(setting, admin, { slow }, batching))
export const startNeighbours = (setting: Setting, heavy: string) => launch(setting, 'weir-neighbours', (admin) => modelsConfig(setting, admin, { cancer: MODEL, heavy }), { cores: BOTH_CORES })

/** Sum over the series of a metric that have all these labels, written as in the exposition: `verdict="valid"`. */
export async function metric(admin: number, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
  const series = text.split('\n').filter((line) => line.startsWith(name) && /^[{ ]/.test(line.slice(name.length)) && line.includes(labels))
  return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
