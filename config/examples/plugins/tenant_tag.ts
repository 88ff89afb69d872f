/**
 * A plugin of one's own, to start from. It reads which tenant a request belongs to, tells the backend, counts by tenant and refuses strangers.
 *
 *   routes:
 *     - name: score
 *       match: { path: /score }
 *       backend: up
 *       plugins:
 *         - use: ./plugins/tenant_tag.ts
 *           options: { by: header.x-api-key, tenants: { key-of-acme: acme, key-of-globex: globex } }
 *
 * What to know:
 *   - The one module a plugin imports is `gateway/plugin.ts` of weir.
 *   - `config` is the schema of the options. Every option has a description; what it cannot say, `check` says. Both are asked by `weir check`.
 *   - `build` runs once for every route that uses the plugin, when the configuration is loaded. It works everything out
 *     beforehand and returns hooks. A hook that is not there costs nothing.
 *   - `request` returns nothing to go on, or an answer to turn the exchange round. `done` runs exactly once, whatever happened.
 *   - Labels of metrics are closed: they come from the configuration, never from a caller.
 *   - A throw is counted in `weir_plugin_errors_total`. `onError` says what the exchange does then: this plugin decides who
 *     may pass, so it fails closed.
 */
import { type Exchange, headers, plugin, type Reply, reply, SelectorText, Type } from '../../../gateway/plugin.ts'

export default plugin({
  name: 'tenant_tag',
  summary: 'Tells backends which tenant a request belongs to, and refuses requests of none.',
  stability: 'experimental',
  onError: 'closed',
  config: Type.Object(
    {
      by: SelectorText({ description: 'Where the key of the caller is.' }),
      tenants: Type.Record(Type.String(), Type.String({ minLength: 1, maxLength: 64 }), { description: 'Key of a caller: name of its tenant.', minProperties: 1, maxProperties: 1000 }),
    },
    { additionalProperties: false },
  ),
  example: { by: 'header.x-api-key', tenants: { 'key-of-acme': 'acme' } },
  metrics: {
    requests_total: { type: 'counter', help: 'Requests by tenant.', labels: { tenant: 'config' } },
    strangers_total: { type: 'counter', help: 'Requests refused because their key belongs to no tenant.' },
  },

  check({ tenants }) {
    const odd = Object.values(tenants).find((tenant) => !/^[\w.-]+$/.test(tenant))
    return odd === undefined ? undefined : `\`tenants\` has a name "${odd}" that cannot be a header value: use letters, digits, \`.\`, \`_\` and \`-\``
  },

  build({ by, tenants }, host) {
    const key = host.selector(by)
    const strangers = host.metrics.strangers_total()
    const known = new Map(Object.entries(tenants).map(([id, tenant]) => [id, { tenant, counter: host.metrics.requests_total({ tenant }) }]))

    function tag(x: Exchange): Reply | undefined {
      const found = known.get(key.read(x) ?? '')
      if (found === undefined) {
        strangers.add()
        return reply(403, { error: 'The key of this request belongs to no tenant.' })
      }
      found.counter.add()
      headers.set(x.headers, 'x-tenant', found.tenant)
      return undefined
    }

    // A key in the body can only be read when the body is whole.
    return key.body ? { requestBody: tag } : { request: tag }
  },
})
