/** Made data for what looks at columns: the training data of a profile, a large file, and requests that look like them. */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { generator } from './load.ts'
import { GATEWAY_CORE } from './processes.ts'
import { BUILT } from './weir.ts'

/** Names of numeric columns. */
export const named = (width: number): string[] => Array.from({ length: width }, (_, i) => `x${i}`)

/** Numbers of requests, and their least and greatest value. */
export function trainingCsv(file: string, width: number, rows: number): void {
  const next = generator(1)
  const row = () => Array.from({ length: width }, next).join()
  const edge = (value: number) => new Array<number>(width).fill(value).join()
  writeFileSync(file, `${[named(width).join(), edge(-2), edge(2), ...Array.from({ length: rows }, row)].join('\n')}\n`)
}

/** A profile as its users make it. */
export function profiled(data: string, into: string): void {
  execFileSync(process.execPath, [BUILT, 'profile', data, '-o', into], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Objects with names, as many as there are rows. */
export function rowsBody(seed: number, rows: number, width: number): string {
  const next = generator(seed)
  return JSON.stringify(Array.from({ length: rows }, () => Object.fromEntries(named(width).map((name) => [name, next()]))))
}

/** One tensor without names of columns. */
export function tensorBody(seed: number, rows: number, width: number): string {
  return JSON.stringify({ inputs: [{ name: 'features', shape: [rows, width], datatype: 'FP32', data: Array.from({ length: rows * width }, generator(seed)) }] })
}

const PIECE_ROWS = 5000
const REGIONS = ['north', 'east', 'south', 'west', 'abroad']

/** A table as companies have it: an id, a time, 24 numbers, whole numbers with holes, categories. @returns bytes */
export function largeCsv(file: string, bytes: number): number {
  const next = generator(7)
  const numbers = named(24)
  const out = openSync(file, 'w')
  writeSync(out, `id,time,${numbers.join()},visits,region,plan\n`)
  for (let written = 0, id = 0; written < bytes; ) {
    let text = ''
    for (let i = 0; i < PIECE_ROWS; i++, id++) {
      const time = new Date(1.7e12 + 1000 * id).toISOString()
      const visits = id % 50 === 0 ? '' : Math.floor((next() + 2) * 10)
      text += `c${id},${time},${numbers.map(next).join()},${visits},${REGIONS[id % 5]},p${Math.floor((next() + 2) * 25)}\n`
    }
    written += writeSync(out, text)
  }
  closeSync(out)
  return statSync(file).size
}

/** One run of `weir profile` on a core of its own. */
export async function profileRun(data: string, into: string): Promise<{ readonly seconds: number; readonly peak_mib: number }> {
  const begun = performance.now()
  const child = spawn('taskset', ['-c', String(GATEWAY_CORE), process.execPath, BUILT, 'profile', data, '-o', into], { stdio: 'ignore' })
  let peak_mib = 0
  const watch = setInterval(() => (peak_mib = peakOf(child.pid!) ?? peak_mib), 20)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearInterval(watch)
  if (code !== 0) throw new Error(`weir profile ended with code ${code}`)
  return { seconds: (performance.now() - begun) / 1000, peak_mib }
}

/** VmHWM of proc(5), MiB; null when the process is over. */
function peakOf(pid: number): number | null {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kib === undefined ? null : Number(kib) / 1024
  } catch {
    return null
  }
}
