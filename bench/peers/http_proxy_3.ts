/** http-proxy-3, the maintained http-proxy, with kept connections. `node http_proxy_3.ts PORT UPSTREAM` */
import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const [port, upstream] = process.argv.slice(2)
const proxy = createProxyServer({ target: upstream!, agent: new Agent({ keepAlive: true, maxSockets: 128 }) })
createServer((request, response) => proxy.web(request, response)).listen(Number(port), '127.0.0.1', 4096)
