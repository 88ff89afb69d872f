/** Event streams as servers of language models send them: shapes from the API references of OpenAI and Anthropic. */

const data = (value: unknown): string => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`
const named = (event: string, value: object = {}): string => `event: ${event}\ndata: ${JSON.stringify({ type: event, ...value })}\n\n`
const chunk = (delta: object, finish_reason: string | null = null): string => data({ id: 'c-1', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })

export const DONE = data('[DONE]')

/** OpenAI chat completions: a role, two tokens, the reason of the end, the end. */
export const openai = {
  role: chunk({ role: 'assistant', content: '' }),
  token: chunk({ content: 'Hello' }),
  second: chunk({ content: ' world' }),
  last: chunk({ content: '!' }, 'stop'),
  finish: chunk({}, 'stop'),
  usage: data({ id: 'c-1', object: 'chat.completion.chunk', choices: [], usage: { total_tokens: 9 } }),
  error: data({ error: { message: 'overloaded', type: 'server_error', code: 503 } }),
}

/** Anthropic's Messages. */
export const anthropic = {
  start: named('message_start', { message: { id: 'm-1', content: [] } }),
  block: named('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  ping: named('ping'),
  token: named('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'Hello' } }),
  stop: named('message_stop'),
  error: named('error', { error: { type: 'overloaded_error', message: 'Overloaded' } }),
}

/** OpenAI's Responses API. */
export const responses = {
  created: named('response.created', { response: { id: 'r-1' } }),
  token: named('response.output_text.delta', { delta: 'Hello' }),
  completed: named('response.completed', { response: { id: 'r-1' } }),
  incomplete: named('response.incomplete', { response: { id: 'r-1' } }),
  failed: named('response.failed', { response: { id: 'r-1' } }),
}

/** Comments that keep a connection open. */
export const HEARTBEAT = ': keep-alive\n\n'
