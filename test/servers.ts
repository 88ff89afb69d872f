/**
 * Programs of other people that tests run against (Prometheus, nginx, …). What a machine lacks is left out and named:
 * `npm test` prints the list, and with WEIR_REQUIRE_ALL=1 anything left out fails.
 */
import { accessSync, appendFileSync, constants, statSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

/** Absolute path of a program, or null. Looks through PATH and where Debian keeps what only root runs. */
export function installed(program: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']
  return folders.filter((folder) => folder !== '').map((folder) => join(folder, program)).find(isProgram) ?? null
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** A group of tests that needs a program. Without it they are not run, the program is noted, or the group fails. @param tests given the program's path */
export function describeWith(program: string, name: string, tests: (path: string) => void): void {
  describeWithFound(installed(program), program, name, tests)
}

/** The same for what is not a program of the PATH. @param path null: it is not here */
export function describeWithFound(path: string | null, program: string, name: string, tests: (path: string) => void): void {
  if (path !== null) return void describe(name, () => tests(path))
  leaveOut(program, name)
  if (process.env['WEIR_REQUIRE_ALL'] === '1') it(name, () => Promise.reject(new Error(`"${program}" is not installed, and WEIR_REQUIRE_ALL=1 allows no test to be left out`)))
  else describe.skip(`${name} (left out: "${program}" is not installed)`, () => void it('needs it', () => undefined))
}

/** Notes what was left out and why, for the list at the end. */
export function leaveOut(what: string, why: string): void {
  const file = process.env['WEIR_LEFT_OUT']
  if (file !== undefined && file !== '') appendFileSync(file, `${JSON.stringify({ what, why })}\n`)
}

/** A port of 127.0.0.1 that was free a moment ago, for programs that cannot be told 0. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
