/** Errors that weir answers pass the `response` hooks of the route: a CORS header belongs on a 503 too. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freePort } from '../servers.ts'
import { startWeir, type Weir } from './weir.ts'

let weir: Weir
beforeAll(async () => {
  weir = await startWeir(`
backends: { gone: { url: "http://127.0.0.1:${await freePort()}" } }
routes:
  - { name: all, match: { path: "/**" }, backend: gone, plugins: [{ headers: { answer: { set: { access-control-allow-origin: "*" } } } }] }
`)
})
afterAll(() => weir.stop())

it('a backend that is not there: its 503 has the header of the plugin', async () => {
  const answer = await weir.exchange('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(answer.status).toBe(503)
  expect(answer.head.one('access-control-allow-origin')).toBe('*')
  expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 'CONNECT_FAILED' })
})
