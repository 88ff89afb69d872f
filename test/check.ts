/** `npm run check`: everything that can be judged without running weir. Prints each step and a summary; exit code 1 if one fails. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name: string) => join(root, 'node_modules/.bin', name)

interface Step {
  readonly name: string
  /** @returns a complaint, or null when all is well; the output of commands goes straight to the terminal */
  run(): string | null
}

function command(file: string, ...args: string[]): string | null {
  const done = spawnSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (done.error !== undefined) return done.error.message
  return done.status === 0 ? null : `exit code ${done.status ?? done.signal}`
}

/** An address in the lock file ties every install to the registry of whoever wrote it. */
function lockWithoutAddresses(): string | null {
  const lines = readFileSync(join(root, 'package-lock.json'), 'utf8').split('\n')
  const found = lines.findIndex((line) => line.includes('"resolved": "http'))
  return found < 0 ? null : `package-lock.json:${found + 1} holds a download address; install with the .npmrc of this project (omit-lockfile-registry-resolved=true)`
}

/** The five scripts and npm's own life cycle: a sixth has to argue for itself. */
function scripts(): string | null {
  const { scripts: found } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  const allowed = ['start', 'test', 'check', 'gen', 'bench', 'prepack']
  const extra = Object.keys(found).filter((name) => !allowed.includes(name))
  return extra.length === 0 ? null : `package.json: unexpected script ${extra.join(', ')}; use a flag of one of ${allowed.join(' ')}`
}

const steps: readonly Step[] = [
  { name: 'types', run: () => command(bin('tsc'), '--noEmit', '-p', root) },
  { name: 'lint', run: () => command(bin('oxlint'), '--deny-warnings') },
  { name: 'layering', run: () => command(process.execPath, join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=dot', 'test/layering.test.ts') },
  { name: 'generated files', run: () => command(process.execPath, join(root, 'config/generate.ts'), '--check') },
  { name: 'lock file', run: lockWithoutAddresses },
  { name: 'scripts', run: scripts },
]

const failed: string[] = []
for (const step of steps) {
  console.log(`— ${step.name}`)
  const complaint = step.run()
  if (complaint === null) continue
  failed.push(step.name)
  console.error(`  ${step.name} failed: ${complaint}`)
}
console.log(failed.length === 0 ? `\nall ${steps.length} checks passed` : `\n${failed.length} of ${steps.length} checks failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
