/** An inference thread that ends at the first model it is to load. */
import { parentPort } from 'node:worker_threads'

parentPort!.on('message', () => process.exit(1))
