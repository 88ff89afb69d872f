/** A plugin that keeps a record of every exchange under the id that its caller gave it. */
import { type Exchange, headers, type LogRecord, type OnFull, plugin, Type } from '../../gateway/plugin.ts'

export default plugin({
  name: 'keep',
  summary: 'Keeps a record of every exchange.',
  stability: 'experimental',
  onError: 'closed',
  config: Type.Object(
    { sink: Type.String({ description: 'Where to.' }), on_full: Type.String({ description: 'When the spool is full.' }), bytes: Type.Integer({ description: 'Of a body.' }) },
    { additionalProperties: false },
  ),
  example: { sink: 'lake', on_full: 'drop_newest', bytes: 10 },
  build({ sink, on_full, bytes }, host) {
    const records = host.records(sink, on_full as OnFull)
    const body = { bytes: Buffer.alloc(bytes, 'x'), length: bytes, truncated: false, type: 'text/plain', encoding: '' }
    const record = (x: Exchange): LogRecord => ({
      record_id: headers.get(x.headers, 'x-id') ?? '', inference_id: x.inferenceId, request_id: x.requestId, time: host.wall(), route: host.route, backend: '', arm: '', model: '', version: '', method: x.method, target: x.target,
      status: x.answer?.status ?? 0, reason: '', flags: [], attempts: 0, fallback: '', duration_ms: 0, backend_ms: 0, format: '', request_headers: [], response_headers: [], request: body, sent: null, response: null,
    })
    return {
      request(x) {
        if (x.target === '/die') process.exit(1)
      },
      finish(x) {
        records.append(record(x))
      },
    }
  },
})
