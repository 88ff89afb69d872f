/** A backend that answers like the others until SIGUSR2 tells it to stall: connections are still accepted, requests read, nothing answered. `node stalling.ts PORT` */
import { createServer } from 'node:http'
import { ANSWER_BODY } from '../load.ts'

let stalled = false
process.on('SIGUSR2', () => (stalled = true))

createServer((request, response) => {
  request.resume().on('end', () => {
    if (stalled) return
    response.setHeader('content-type', 'application/json')
    response.end(ANSWER_BODY)
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
