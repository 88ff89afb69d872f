/** The package as its users get it: packed, installed in an empty folder (npm's cache is asked first), run by Node from JavaScript. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from './helpers/imports.ts'
import { freePort } from './servers.ts'

const run = promisify(execFile)
const MINUTES = 60_000

let folder: string
let weir: string

/** npm as people have it: without the variables a surrounding `npm test` sets, and with a Node that the package supports. */
function cleanEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_(config|package|lifecycle|command|execpath|node)/i.test(name) && name !== 'INIT_CWD')
  return { ...Object.fromEntries(kept), PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` }
}

const npm = (cwd: string, ...args: string[]) => run('npm', args, { cwd, env: cleanEnv(), maxBuffer: 1 << 24 })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-package-'))
  await npm(root, 'pack', '--silent', '--pack-destination', folder)
  const [tarball] = await readdir(folder)
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  await npm(folder, 'install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', `./${tarball}`)
  weir = join(folder, 'node_modules/.bin/weir')
}, 4 * MINUTES)

afterAll(() => rm(folder, { recursive: true, force: true }))

interface Outcome {
  readonly code: number
  readonly output: string
}

async function command(...args: string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await run(weir, args, { cwd: folder, env: cleanEnv() })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** Waits until the gateway answers on its admin listener. */
async function ready(admin: number, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (child.exitCode !== null) throw new Error(`weir ended with ${child.exitCode}`)
    const answer = await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => null)
    if (answer?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error('weir was not ready within 10 s')
}

describe('the installed package', () => {
  test('says its version', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    const { code, output } = await command('--version')
    expect(code).toBe(0)
    expect(output).toContain(version)
  })

  test('holds JavaScript, declarations and examples, and neither sources nor tests', async () => {
    const files = await readdir(join(folder, 'node_modules/weir'), { recursive: true })
    expect(files).toEqual(expect.arrayContaining(['dist/gateway/main.js', 'dist/gateway/plugin.d.ts', 'config/weir.schema.json', 'config/examples/proxy.yaml', 'LICENSE', 'README.md']))
    expect(files.filter((file) => /^(gateway|test|bench|plugins\/.*\.ts|config\/[^/]*\.ts)/.test(file))).toEqual([])
  })

  test('checks a good file and a bad one', async () => {
    await writeFile(join(folder, 'good.yaml'), 'backends: { up: { url: "http://127.0.0.1:1" } }\nroutes: [{ name: all, match: { path: "/**" }, backend: up }]\n')
    await writeFile(join(folder, 'bad.yaml'), 'backends: { up: { urll: "http://127.0.0.1:1" } }\n')
    expect((await command('check', 'good.yaml')).code).toBe(0)
    const bad = await command('check', 'bad.yaml')
    expect(bad.code).toBe(2)
    expect(bad.output).toContain('bad.yaml:1:')
  })

  test('runs with a plugin of its user in TypeScript, answers a request, drains on SIGTERM', async () => {
    const [port, admin] = [await freePort(), await freePort()]
    await writeFile(
      join(folder, 'greet.ts'),
      `import { headers, plugin, Type } from 'weir/plugin'
export default plugin({
  name: 'greet', summary: 'Greets.', stability: 'experimental', onError: 'open',
  config: Type.Object({ name: Type.String({ description: 'Whom.' }) }, { additionalProperties: false }),
  example: { name: 'you' },
  build: ({ name }) => ({ response: (x) => headers.set(x.answer!.headers, 'x-greeting', 'hello ' + name) }),
})
`,
    )
    await writeFile(
      join(folder, 'run.yaml'),
      `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${admin}\nthreads: 1\nbackends: { here: { answer: { body: "from the package" } } }
routes: [{ name: all, match: { path: "/**" }, backend: here, plugins: [{ use: ./greet.ts, options: { name: package } }] }]\n`,
    )
    const child = spawn(weir, ['run', 'run.yaml'], { cwd: folder, env: cleanEnv(), stdio: 'ignore' })
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    try {
      await ready(admin, child)
      const answer = await fetch(`http://127.0.0.1:${port}/anything`)
      expect(await answer.text()).toBe('from the package')
      expect(answer.headers.get('x-greeting')).toBe('hello package')
    } finally {
      child.kill('SIGTERM')
    }
    expect(await ended).toBe(0)
  })

  test('its declarations type-check a plugin', async () => {
    await writeFile(
      join(folder, 'typed.ts'),
      `import { type Exchange, plugin, Type } from 'weir/plugin'
export default plugin({
  name: 'typed', summary: 'Typed.', stability: 'experimental', onError: 'open',
  config: Type.Object({ size: Type.Number({ description: 'Size.' }) }),
  example: { size: 1 },
  build({ size }) {
    const exact: number = size
    // @ts-expect-error size is a number
    const wrong: string = size
    return { done: (x: Exchange) => void [exact, wrong, x.requestId] }
  },
})
`,
    )
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
    const { stdout } = await run(join(root, 'node_modules/.bin/tsc'), ['--ignoreConfig', ...flags, 'typed.ts'], { cwd: folder }).catch((error: { stdout: string }) => error)
    expect(stdout).toBe('')
  }, MINUTES)
})
