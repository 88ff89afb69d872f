/** The inference thread as it is, but a word on a channel ends it: for tests of what happens then. */
import { BroadcastChannel } from 'node:worker_threads'
import '../../gateway/threads/inference.ts'

const channel = new BroadcastChannel('weir-test-end-inference')
channel.onmessage = () => process.exit(1)
channel.unref()
