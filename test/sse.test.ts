/** Events as the WHATWG's interpretation of an event stream has them; its own examples are among the cases. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Answer } from '../gateway/exchange.ts'
import { content, EVENT_BYTES, EventStreamScanner, type EventScanner, FirstContent, isError, JsonLinesScanner, kindOfEvent, scannerOf, type StreamEvent } from '../gateway/sse.ts'

function read(scanner: EventScanner, chunks: readonly (string | Buffer)[]): StreamEvent[] {
  const events: StreamEvent[] = []
  for (const chunk of chunks) {
    // A chunk is the receiver's during the call only.
    const lent = Buffer.from(chunk)
    scanner.push(lent, (event) => events.push(event))
    lent.fill(0)
  }
  scanner.end((event) => events.push(event))
  return events
}

const stream = (...chunks: (string | Buffer)[]) => read(new EventStreamScanner(), chunks).map(({ event, data }) => [event, data])
const lines = (...chunks: (string | Buffer)[]) => read(new JsonLinesScanner(), chunks).map(({ data }) => data)

describe('text/event-stream', () => {
  test.each<[string, string, [string, string][]]>([
    ['one line', 'data: a\n\n', [['', 'a']]],
    ['lines are joined by LF (WHATWG: YHOO)', 'data: YHOO\ndata: +2\ndata: 10\n\n', [['', 'YHOO\n+2\n10']]],
    ['comment, id, name (WHATWG: test stream)', ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n', [['', 'first event'], ['', 'second event'], ['', ' third event']]],
    ['empty data (WHATWG: two events, the third has no end)', 'data\n\ndata\ndata\n\ndata:', [['', ''], ['', '\n']]],
    ['one optional space (WHATWG: the same event twice)', 'data:test\n\ndata: test\n\n', [['', 'test'], ['', 'test']]],
    ['CR', 'event: e\rdata: a\r\r', [['e', 'a']]],
    ['CRLF', 'event: e\r\ndata: a\r\n\r\n', [['e', 'a']]],
    ['all three at once', 'data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r', [['', 'a\nb\nc'], ['', 'd']]],
    ['byte order mark', '\ufeffdata: a\n\n', [['', 'a']]],
    ['only one of them', '\ufeff\ufeffdata: a\n\n', []],
    ['a name without data is no event, and is forgotten', 'event: e\n\ndata: a\n\n', [['', 'a']]],
    ['a name lasts for one event', 'event: e\ndata: a\n\ndata: b\n\n', [['e', 'a'], ['', 'b']]],
    ['field names are exact', 'Data: a\ndata : b\ndatas: c\ndata: d\n\n', [['', 'd']]],
    ['UTF-8', 'data: \u00e9\u2028\u{1f600}\n\n', [['', '\u00e9\u2028\u{1f600}']]],
    ['retry, unknown fields', 'retry: 10\nfoo: bar\ndata: a\n\n', [['', 'a']]],
  ])('%s', (_name, text, events) => {
    expect(stream(text)).toEqual(events)
    expect(stream(...[...Buffer.from(text)].map((byte) => Buffer.of(byte)))).toEqual(events)
  })

  test('an event is there with the end of its empty line, not with the next byte', () => {
    const scanner = new EventStreamScanner()
    let events = 0
    scanner.push(Buffer.from('data: a\r\n\r'), () => events++)
    expect(events).toBe(1)
    scanner.push(Buffer.from('\n'), () => events++)
    expect(events).toBe(1)
  })

  test('long events and lines are kept in part and say so', () => {
    const [one, two] = read(new EventStreamScanner(), ['data: ', ...Array<string>(100).fill('x'.repeat(1000)), '\n\ndata: short\n\n'])
    expect([one!.truncated, one!.data.length]).toEqual([true, EVENT_BYTES - 'data: '.length])
    expect(two).toEqual({ event: '', data: 'short', truncated: false })
    const [many] = read(new EventStreamScanner(), [...Array<string>(EVENT_BYTES).fill('data: yy\n'), '\n'])
    expect([many!.truncated, many!.data.length]).toEqual([true, EVENT_BYTES])
    const exact = 'z'.repeat(EVENT_BYTES - 'data: '.length)
    expect(read(new EventStreamScanner(), [`data: ${exact}\n\n`])).toEqual([{ event: '', data: exact, truncated: false }])
  })
})

describe('newline-delimited JSON', () => {
  test.each<[string, string, string[]]>([
    ['a line, an event', '{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']],
    ['the last needs no end', '{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']],
    ['CRLF, empty lines', '\r\n{"a":1}\r\n\n\n', ['{"a":1}']],
    ['nothing', '', []],
  ])('%s', (_name, text, events) => {
    expect(lines(text)).toEqual(events)
    expect(lines(...[...Buffer.from(text)].map((byte) => Buffer.of(byte)))).toEqual(events)
  })

  test('a long line is kept in part and says so', () => {
    expect(read(new JsonLinesScanner(), ['x'.repeat(EVENT_BYTES + 1), '\ny']).map(({ truncated, data }) => [truncated, data.length])).toEqual([[true, EVENT_BYTES], [false, 1]])
  })
})

test('whatever the cuts, the events are the same', () => {
  const piece = fc.constantFrom('data', 'event', ':', ' ', 'a', '\u00e9', '\u{1f600}', '\r', '\n', '\r\n', '\n\n', '\ufeff', '{"a":1}', 'data: x\n\n')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.array(fc.nat(400), { maxLength: 20 }), (pieces, cuts) => {
      const whole = Buffer.from(pieces.join(''))
      const at = [0, ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length]
      const chunks = at.slice(1).map((to, i) => whole.subarray(at[i], to))
      for (const make of [() => new EventStreamScanner(), () => new JsonLinesScanner()]) expect(read(make(), chunks)).toEqual(read(make(), [whole]))
    }),
    { numRuns: 500 },
  )
})

test.each<[string | undefined, string | undefined, string | undefined]>([
  ['text/event-stream', undefined, 'EventStreamScanner'],
  ['Text/Event-Stream; charset=utf-8', 'identity', 'EventStreamScanner'],
  ['application/x-ndjson', undefined, 'JsonLinesScanner'],
  ['application/ndjson;a=b', undefined, 'JsonLinesScanner'],
  ['text/event-stream', 'gzip', undefined],
  ['text/event-streams', undefined, undefined],
  ['application/json', undefined, undefined],
  [undefined, undefined, undefined],
])('%s in coding %s is read by %s', (type, coding, name) => {
  const headers = [...(type === undefined ? [] : ['content-type', type]), ...(coding === undefined ? [] : ['Content-Encoding', coding])]
  expect(scannerOf(new Answer(200, headers, null))?.constructor.name).toBe(name)
})

const chunk = (delta: unknown, finish_reason: string | null = null) => JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })

// Events as the APIs' references show them: OpenAI chat completions, completions and responses; Anthropic messages; Ollama; Gemini.
test.each<[string, Partial<StreamEvent>, string]>([
  ['role alone', { data: chunk({ role: 'assistant' }) }, 'none'],
  ['role with empty content', { data: chunk({ role: 'assistant', content: '', refusal: null }) }, 'none'],
  ['empty delta', { data: chunk({}) }, 'none'],
  ['text', { data: chunk({ content: 'Hi' }) }, 'content'],
  ['a tool call', { data: chunk({ tool_calls: [{ index: 0, id: 'x' }] }) }, 'content'],
  ['no tool calls', { data: chunk({ content: null, tool_calls: [] }) }, 'none'],
  ['reasoning', { data: chunk({ role: 'assistant', reasoning_content: 'hm' }) }, 'content'],
  ['finish', { data: chunk({}, 'stop') }, 'end'],
  ['text with finish', { data: chunk({ content: 'x' }, 'stop') }, 'content'],
  ['no choices: usage or filter results', { data: '{"choices":[],"usage":{"total_tokens":3}}' }, 'none'],
  ['completions', { data: '{"choices":[{"text":"a","index":0,"finish_reason":null}]}' }, 'content'],
  ['completions, empty', { data: '{"choices":[{"text":"","index":0,"finish_reason":null}]}' }, 'none'],
  ['the second choice speaks', { data: '{"choices":[{"delta":{}},{"delta":{"content":"a"}}]}' }, 'content'],
  ['odd choices', { data: '{"choices":[1]}' }, 'content'],
  ['[DONE]', { data: '[DONE]' }, 'end'],
  ['error object', { data: '{"error":{"message":"overloaded","code":503}}' }, 'error'],
  ['error text (Ollama)', { data: '{"error":"model not found"}' }, 'error'],
  ['no error', { data: '{"error":null,"choices":[{"delta":{"content":"a"}}]}' }, 'content'],
  ['error by name (Anthropic)', { event: 'error', data: '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}' }, 'error'],
  ['ping by name', { event: 'ping', data: '{"type": "ping"}' }, 'none'],
  ['ping by type', { data: '{"type":"ping"}' }, 'none'],
  ['message_start', { event: 'message_start', data: '{"type":"message_start","message":{"content":[]}}' }, 'none'],
  ['content_block_start', { event: 'content_block_start', data: '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}' }, 'none'],
  ['content_block_delta', { event: 'content_block_delta', data: '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}' }, 'content'],
  ['message_stop', { event: 'message_stop', data: '{"type":"message_stop"}' }, 'end'],
  ['response.created', { event: 'response.created', data: '{"type":"response.created","response":{}}' }, 'none'],
  ['response.output_text.delta', { event: 'response.output_text.delta', data: '{"type":"response.output_text.delta","delta":"In"}' }, 'content'],
  ['response.failed', { event: 'response.failed', data: '{"type":"response.failed"}' }, 'error'],
  ['Gemini', { data: '{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}' }, 'content'],
  ['empty', { data: '' }, 'none'],
  ['blank', { data: ' \n' }, 'none'],
  ['plain text', { data: 'hello' }, 'content'],
  ['a number', { data: '0' }, 'content'],
  ['a list', { data: '[0.1,0.2]' }, 'content'],
  ['cut JSON', { data: '{"choices":[{"de' }, 'malformed'],
  ['JSON longer than is kept', { data: '{"choices":[{"de', truncated: true }, 'content'],
  ['blanks longer than are kept', { data: '', truncated: true }, 'content'],
])('%s: %j is %s', (_name, parts, kind) => {
  const event = { event: '', data: '', truncated: false, ...parts }
  expect(kindOfEvent(event)).toBe(kind)
  expect(content(event)).toBe(kind === 'content' || kind === 'malformed')
  expect(isError(event)).toBe(kind === 'error')
})

describe('the first content', () => {
  const follow = (chunks: readonly string[], scanner: EventScanner = new EventStreamScanner()) => {
    const first = new FirstContent(scanner)
    const decided = chunks.map((text) => first.push(Buffer.from(text)))
    return { first, decided }
  }

  test('comments, roles and pings pass; the chunk with the first content decides', () => {
    const { first, decided } = follow([': hi\n\n', 'event: ping\ndata: {}\n\n', `data: ${chunk({ role: 'assistant' })}\n\n`, `data: ${chunk({ content: 'a' })}`, '\n\n', `data: ${chunk({ content: 'b' })}\n\n`])
    expect(decided).toEqual([false, false, false, false, true, true])
    expect([first.kind, first.event!.data]).toEqual(['content', chunk({ content: 'a' })])
  })

  test('the first one decides, not the last of a chunk', () => {
    const { first } = follow([`data: {"error":"x"}\n\ndata: a\n\ndata: [DONE]\n\n`])
    expect([first.kind, first.event!.data]).toEqual(['error', '{"error":"x"}'])
  })

  test('an end without content decides too', () => {
    expect(follow(['data: [DONE]\n\n']).first.kind).toBe('end')
    expect(follow(['data: a']).first.end()).toBe(false)
    const open = follow(['{"a":1}'], new JsonLinesScanner())
    expect([open.decided, open.first.end(), open.first.kind]).toEqual([[false], true, 'content'])
  })
})
