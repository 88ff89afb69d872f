/** `--where`: a condition, as in the configuration, over a request of a file and the answer it got. */
import type { FormatName } from '../../../config/config.ts'
import { Answer, type Backend, Exchange, Leg } from '../../exchange.ts'
import { compileCondition } from '../../expression/condition.ts'
import { format } from '../../payload/formats.ts'
import type { Item } from './item.ts'

const MAX_BODY_BYTES = 64 << 20
const NOBODY: Backend = { name: '', kind: 'answer', send: () => new Answer(204, [], null) }

/** @throws Error whose message is a complaint about `text` */
export function whereOf(text: string): (item: Item) => boolean {
  const condition = compileCondition(text)
  return (item) => condition.test(exchangeOf(item))
}

function exchangeOf(item: Item): Exchange {
  const x = new Exchange({
    method: item.method, target: item.target, headers: [...item.headers], body: item.body,
    caller: { address: '', port: 0, tls: false, inform: () => undefined },
    route: { name: item.route, format: item.format === '' ? null : format(item.format as FormatName), maxBodyBytes: MAX_BODY_BYTES },
    minor: 1, upgrade: '', requestId: item.id, inferenceId: '', started: 0, leg: new Leg(NOBODY), slots: 0,
  })
  if (item.before !== null) x.answer = new Answer(item.before.status, ['content-type', 'application/json'], item.before.body)
  return x
}
