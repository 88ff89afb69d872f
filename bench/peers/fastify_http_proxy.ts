/** @fastify/http-proxy with undici's pool. `node fastify_http_proxy.ts PORT UPSTREAM` */
import proxy from '@fastify/http-proxy'
import fastify from 'fastify'

const [port, upstream] = process.argv.slice(2)
const server = fastify()
await server.register(proxy, { upstream: upstream!, undici: { connections: 128, pipelining: 1 } })
await server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
