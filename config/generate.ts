/**
 * Writes every generated file (`npm run gen`), or with `--check` names those that are stale and exits 1.
 * A producer gives contents by path; later ones may read what earlier ones wrote.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { generatePlugins } from '../plugins/generate.ts'

/** Contents by path relative to the project. */
type Producer = () => Promise<ReadonlyMap<string, string>>

const root = new URL('../', import.meta.url)

const registry: Producer = async () => new Map([...(await generatePlugins())].map(([name, content]) => [`plugins/${name}`, content]))

// From here on imports are made when needed: these modules read the registry that was just written.
const schema: Producer = async () => {
  const [{ builtIn }, { jsonSchema }] = await Promise.all([import('./registry.ts'), import('./json_schema.ts')])
  return new Map([['config/weir.schema.json', jsonSchema(builtIn.values())]])
}
const limits: Producer = async () => (await import('./generate_limits.ts')).generateLimits()
const readme: Producer = async () => (await import('../bench/readme.ts')).produceReadme()

const PRODUCERS: readonly Producer[] = [registry, schema, limits, readme]

async function run(check: boolean): Promise<number> {
  const stale: string[] = []
  for (const produce of PRODUCERS) {
    for (const [path, content] of await produce()) {
      const file = fileURLToPath(new URL(path, root))
      if ((await readFile(file, 'utf8').catch(() => null)) === content) continue
      stale.push(path)
      if (!check) await writeFile(file, content)
    }
  }
  for (const path of stale) console.log(check ? `stale: ${path} (run \`npm run gen\`)` : `wrote ${path}`)
  return check && stale.length > 0 ? 1 : 0
}

process.exitCode = await run(process.argv.includes('--check'))
