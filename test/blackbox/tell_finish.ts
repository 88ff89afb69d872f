/** A plugin that writes down, synchronously, when its hooks run. `reply` turns the exchange round for targets that begin so. */
import { appendFileSync } from 'node:fs'
import { type Exchange, isFlow, plugin, reply, Type } from '../../gateway/plugin.ts'

export default plugin({
  name: 'tell_finish',
  summary: 'Writes down when finish and done run.',
  stability: 'experimental',
  onError: 'closed',
  config: Type.Object({ file: Type.String(), name: Type.String(), reply: Type.String(), throws: Type.Boolean() }, { additionalProperties: false }),
  example: { file: '/dev/null', name: 'a', reply: '/none', throws: false },
  build(config) {
    function tell(hook: string, x: Exchange): void {
      const { answer } = x
      const body = answer === null || answer.body === null ? 'none' : isFlow(answer.body) ? 'flow' : `${answer.body.length} bytes`
      appendFileSync(config.file, `${JSON.stringify([x.target, `${config.name} ${hook}`, x.status, hook === 'done' ? (x.error?.code ?? '') : body])}\n`)
      if (config.throws && hook === 'finish') throw new Error('on purpose')
    }
    return {
      request: (x) => (x.target.startsWith(config.reply) ? reply(429, 'no') : undefined),
      finish: (x) => tell('finish', x),
      done: (x) => tell('done', x),
    }
  },
})
