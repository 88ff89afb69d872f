import { ConditionText, Defaulted, Duration, type Exchange, Percent, plugin, problem, type Reply, SinkName, Size, slot, Type, WeirError } from '../gateway/plugin.ts'
import { Capture, type Wanted } from '../gateway/records/capture/capture.ts'
import { keep } from '../gateway/records/capture/fields.ts'
import { parsePath, placesOf } from '../gateway/records/capture/paths.ts'
import { untilRoom } from '../gateway/records/capture/room.ts'
import { sampled } from '../gateway/stats/sample.ts'

const Names = (description: string) => Defaulted(Type.Array(Type.String({ description: 'A name, in any case.', minLength: 1, maxLength: 128 }), { description, default: [], maxItems: 100 }))

export default plugin({
  name: 'log',
  summary: 'Keeps requests and answers, or a sample of them, in a sink: whatever became of them, and without what must not be kept.',
  stability: 'beta',
  onError: 'open',
  config: Type.Object(
    {
      sink: SinkName({ description: 'Where the records go: a name under `sinks`.' }),
      sample: Defaulted(Percent({ description: 'Share of the exchanges that is kept.', default: '100%' })),
      by: Defaulted(
        Type.Enum(['request_id', 'inference_id'], {
          description:
            'Whose hash decides about `sample`. An id is kept when the first 53 bits of its SHA-256, as a fraction, are below the share: whoever has the id can tell, as `labels` and other gateways do.',
          default: 'request_id',
        }),
      ),
      when: Type.Optional(
        ConditionText({
          description:
            'Which exchanges, beside `sample`. It sees the request as it comes to this plugin. One that asks for `status` is judged at the end, on the answer the caller got, and bodies are copied until then; without an answer it is false. `output` cannot be asked for.',
        }),
      ),
      what: Defaulted(Type.Enum(['both', 'request', 'response', 'none'], { description: 'Which bodies are kept; `none` keeps the envelope alone.', default: 'both' })),
      max_body: Defaulted(Size({ description: 'Most bytes of one body that are kept; what is longer is cut and marked. Nothing is held back for it.', default: '64KiB' })),
      on_full: Defaulted(
        Type.Enum(['drop_newest', 'drop_oldest', 'block'], {
          description: 'What happens when the spool of the sink is full: the new record or the oldest ones are dropped and counted, or requests wait for room.',
          default: 'drop_newest',
        }),
      ),
      queue: Defaulted(Type.Integer({ description: 'With `block`: most requests that wait for room (503 beyond), per data thread.', minimum: 0, maximum: 1_000_000, default: 100 })),
      queue_wait: Defaulted(Duration({ description: 'With `block`: longest wait for room, and never beyond the deadline of the request (503 then). What is refused so leaves no record.', default: '1s' })),
      headers: Defaulted(
        Type.Object(
          { request: Names('Of the request, as it comes to this plugin.'), response: Names('Of the answer, as it goes to the caller.') },
          { description: 'Header fields that are kept; no others are.', additionalProperties: false, default: {} },
        ),
      ),
      redact: Defaulted(
        Type.Object(
          {
            paths: Defaulted(
              Type.Array(Type.String({ description: 'A path.', minLength: 1, maxLength: 256 }), {
                description:
                  'Values in bodies that become "[redacted]": `$.user.email`, `inputs[0].data`, `$.rows[*].email`, `$..email` at any depth; `input.card` and `output.score` are columns, in whichever format, of the request and the answer. ' +
                  'A body that is cut, or cannot be read as JSON (also in gzip or deflate, line by line, or as events), is then not kept at all, and the record carries the flag `unredactable`.',
                default: [],
                maxItems: 100,
              }),
            ),
            headers: Names('Fields of `headers` whose values become [redacted].'),
            query: Defaulted(Type.Array(Type.String({ description: 'A name, decoded.', minLength: 1, maxLength: 128 }), { description: 'Query parameters whose values become [redacted].', default: [], maxItems: 100 })),
          },
          { description: 'What must never reach a disk.', additionalProperties: false, default: {} },
        ),
      ),
    },
    { additionalProperties: false },
  ),
  example: { sink: 'lake', sample: '10%', headers: { request: ['user-agent'] }, redact: { paths: ['input.card', '$.user.email'], query: ['token'] } },
  metrics: {
    records_total: { type: 'counter', help: 'Records made, by whether the spool took them.', labels: { outcome: ['accepted', 'dropped'] } },
    truncated_total: { type: 'counter', help: 'Bodies of which not all was kept: longer than `max_body`, or broken off.' },
    unredactable_total: { type: 'counter', help: 'Bodies that were not kept because they could not be redacted.' },
    waiting: { type: 'gauge', help: 'Requests that wait for room in the spool.' },
    refused_total: { type: 'counter', help: 'Requests answered 503: too many waited for room in the spool (queue_full), or none came in time (queue_wait).', labels: { reason: ['queue_full', 'queue_wait'] } },
  },

  check({ redact, max_body }) {
    if (!(max_body >= 1)) return '`max_body` must be at least 1 byte: use `what: none` to keep no bodies'
    return redact.paths.map(parsePath).find((path) => typeof path === 'string') as string | undefined
  },

  build({ sink, sample, by, when, what, max_body, on_full, queue, queue_wait, headers, redact }, host) {
    const records = host.records(sink, on_full)
    const condition = when === undefined ? null : host.condition(when)
    if (condition?.answer === 'body') throw new Error('`when` asks for `output`: that would hold every answer back until it is whole. Ask for `status`, or for the request')
    const judgedAtEnd = condition?.answer === 'head'
    const judgedByBody = condition?.body === true
    const wanted: Wanted = {
      request: what === 'both' || what === 'request',
      response: what === 'both' || what === 'response',
      max: max_body,
      requestHeaders: keep(headers.request, redact.headers),
      responseHeaders: keep(headers.response, redact.headers),
      query: new Set(redact.query),
      inRequests: placesOf('input', redact.paths),
      inAnswers: placesOf('output', redact.paths),
    }
    const share = sample / 100
    const byRequest = by === 'request_id'
    const { records_total, truncated_total, unredactable_total, refused_total } = host.metrics
    const accepted = records_total({ outcome: 'accepted' })
    const dropped = records_total({ outcome: 'dropped' })
    const refused = { full: refused_total({ reason: 'queue_full' }), late: refused_total({ reason: 'queue_wait' }) }
    const waiting = host.metrics.waiting()
    const [truncated, unredactable] = [truncated_total(), unredactable_total()]
    const lacks = { truncated: () => truncated.add(), unredactable: () => unredactable.add() }
    // Two logs of a route have one each.
    const captures = host.provide(slot<Capture>(`log ${++built}`))
    let inLine = 0

    function write(x: Exchange, whole: boolean): void {
      const capture = captures.get(x)
      if (capture === undefined || capture.over) return
      // Where the body was never made whole, what asks for it is false.
      if (condition !== null && !capture.judged && !condition.test(x)) return void (capture.over = true)
      const duration = host.now() - x.started
      const record = capture.record(x, whole, host.wall() - duration, duration, lacks)
      if (records.append(record)) accepted.add()
      else dropped.add()
    }

    /** @returns the answer of a request for which no room came */
    async function blocked(x: Exchange): Promise<Reply | undefined> {
      if (inLine >= queue) return refusal(x, 'too many requests wait for room in the log', 'full')
      inLine++
      waiting.add()
      try {
        const ms = Math.min(queue_wait, x.leg.deadline - host.now())
        if (await untilRoom(records, x.leg, host.after, ms)) return undefined
      } catch {
        // The caller left, or its time is over: the exchange ends by that, and is logged so.
        return undefined
      } finally {
        inLine--
        waiting.add(-1)
      }
      return refusal(x, 'there was no room in the log in time', 'late')
    }

    function refusal(x: Exchange, message: string, why: 'full' | 'late'): Reply {
      captures.get(x)!.over = true
      refused[why].add()
      const error = new WeirError('OVERLOADED', message)
      error.retryAfter = 1
      x.error ??= error
      return problem(error, x.requestId)
    }

    return {
      request(x) {
        if (!sampled(byRequest ? x.requestId : x.inferenceId, share)) return undefined
        if (condition !== null && !judgedAtEnd && !judgedByBody && !condition.test(x)) return undefined
        const capture = new Capture(x, wanted)
        capture.judged = !judgedAtEnd && !judgedByBody
        captures.set(x, capture)
        return on_full === 'block' && records.room() !== null ? blocked(x) : undefined
      },
      ...(judgedByBody && {
        requestBody(x: Exchange) {
          const capture = captures.get(x)
          if (capture === undefined || judgedAtEnd) return
          capture.judged = true
          capture.over ||= !condition!.test(x)
        },
      }),
      ...(wanted.response && {
        response(x: Exchange) {
          const capture = captures.get(x)
          if (capture !== undefined && !capture.over) capture.answer(x)
        },
      }),
      finish: (x) => write(x, true),
      done: (x) => write(x, false),
    }
  },
})

/** Logs of this thread so far. */
let built = 0
