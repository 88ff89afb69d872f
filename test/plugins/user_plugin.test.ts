/** The plugin that is shipped as an example. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import tenant_tag from '../../config/examples/plugins/tenant_tag.ts'
import { get } from '../../gateway/headers.ts'
import { pluginTest } from '../plugin_test.ts'

const FILE = fileURLToPath(new URL('../../config/examples/plugins/tenant_tag.ts', import.meta.url))
const options = { by: 'header.x-api-key', tenants: { 'key-of-acme': 'acme', 'key-of-globex': 'globex' } }

describe('tenant_tag', () => {
  test('tells the backend the tenant, whatever the caller claimed, and counts', async () => {
    const bench = await pluginTest(tenant_tag, options)
    const { x, answer } = await bench.run({ headers: ['x-api-key', 'key-of-globex', 'X-Tenant', 'acme'] })
    expect([answer.status, get(x.headers, 'x-tenant')]).toEqual([200, 'globex'])
    expect(bench.metric('weir_tenant_tag_requests_total', { route: 'test', tenant: 'globex' })).toBe(1)
    await bench.close()
  })

  test('refuses strangers', async () => {
    const bench = await pluginTest(tenant_tag, options)
    expect((await bench.run()).answer.status).toBe(403)
    expect((await bench.run({ headers: ['x-api-key', 'constructor'] })).answer.status).toBe(403)
    expect(bench.metric('weir_tenant_tag_strangers_total')).toBe(2)
  })

  test('refuses a tenant that cannot be a header value, at load', async () => {
    await expect(pluginTest(tenant_tag, { ...options, tenants: { k: 'a\nb' } })).rejects.toThrow('cannot be a header value')
  })

  test('is what `use:` finds in its file', async () => {
    // In a Node of its own: the test runner has another loader.
    const script = `const { importUserPlugin } = await import(process.argv[1]); console.log((await importUserPlugin(process.argv[2])).name)`
    const registry = new URL('../../config/registry.ts', import.meta.url).href
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, registry, FILE])
    expect(stdout).toBe('tenant_tag\n')
  })

  test('the text above it shows how to use it', async () => {
    const text = await readFile(FILE, 'utf8')
    expect(text).toContain('use: ./plugins/tenant_tag.ts')
    expect(text).toContain('options: { by: header.x-api-key')
  })
})
