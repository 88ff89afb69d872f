/**
 * Clients of other people, unchanged, against a running weir with models inside. Each script has `test_` functions; Python is
 * started once a script and says what became of each of them.
 *
 * WEIR_TEST_PYTHON names a Python that has tritonclient[http], kserve, ovmsclient, mlflow-skinny and pandas.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWeir, type Weir } from '../blackbox/weir.ts'
import { identity } from '../models/graphs.ts'
import { fixtures, temporary } from '../models/setup.ts'
import { describeWithFound } from '../servers.ts'

const python = process.env['WEIR_TEST_PYTHON'] ?? null
/** A script imports its client, which takes a while on a busy machine. */
const SCRIPT_MS = 90_000

/** A copy of the fixtures, since tests load and unload, and what they have no model for. */
function everything(folder: string): void {
  cpSync(fixtures, folder, { recursive: true })
  for (const [name, model] of [['identity_fp16', identity('FP16', ['N', 'M'])], ['identity_text', identity('BYTES', ['N'])]] as const) {
    mkdirSync(join(folder, name, '1'), { recursive: true })
    writeFileSync(join(folder, name, '1/model.onnx'), model)
  }
}

function onlyIris(folder: string): void {
  cpSync(join(fixtures, 'iris'), join(folder, 'iris'), { recursive: true })
}

describe.each([
  ['tritonclient_http', everything],
  ['kserve_rest', everything],
  ['ovmsclient_http', everything],
  ['mlflow_scoring', onlyIris],
] as const)('%s', (name, fill) => {
  const script = join(import.meta.dirname, `${name}.py`)
  const tests = [...readFileSync(script, 'utf8').matchAll(/^def test_(\w+)\(/gm)].map(([, test]) => test!)

  describeWithFound(python, 'a Python of WEIR_TEST_PYTHON', `${name} against a running weir`, (program) => {
    const models = temporary()
    let weir: Weir
    let results: Readonly<Record<string, string | null>>
    beforeAll(async () => {
      fill(models.path)
      weir = await startWeir(`models: { path: ${models.path}, control: explicit }\n`, { threads: 2 })
      const { stdout } = await promisify(execFile)(program, [script, `127.0.0.1:${weir.port}`, models.path], { timeout: SCRIPT_MS })
      results = JSON.parse(stdout.trim().split('\n').at(-1)!)
    }, SCRIPT_MS + 20_000)
    afterAll(async () => {
      await weir?.stop()
      models.remove()
    })

    it.each(tests)('%s', (test) => {
      expect(Object.keys(results)).toContain(test)
      expect(results[test]).toBeNull()
    })
  })
})
