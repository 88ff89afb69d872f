import { Defaulted, type Exchange, headers, plugin, type TSchema, Type } from '../gateway/plugin.ts'

const TOKEN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
/** Visible characters, inner spaces and tabs, latin1: what RFC 9110 section 5.5 lets a field value be. */
const VALUE = '^(?:[\\x21-\\x7E\\x80-\\xFF](?:[\\t \\x21-\\x7E\\x80-\\xFF]*[\\x21-\\x7E\\x80-\\xFF])?)?$'

const Name = (description: string) => Type.String({ description, pattern: TOKEN, maxLength: 128 })
const Named = (description: string, value: TSchema) =>
  Defaulted(Type.Record(Type.String({ pattern: TOKEN }), Type.Unsafe<string>(value), { description, default: {}, additionalProperties: false, maxProperties: 100 }))
const Values = (description: string) => Named(description, Type.String({ pattern: VALUE, maxLength: 4096 }))

const Changes = (whose: string) => {
  const changes = {
    rename: Named(`Fields of the ${whose} that get another name, old: new; the values stay.`, Name('The new name.')),
    remove: Defaulted(Type.Array(Name('The name, in any case.'), { description: `Fields that are taken out of the ${whose}.`, default: [], maxItems: 100 })),
    set: Values(`Fields that the ${whose} has once, with this value, whatever was there.`),
    add: Values(`Fields that are put behind those the ${whose} has.`),
  }
  return Defaulted(Type.Object(changes, { additionalProperties: false, default: {}, description: `Changes to the ${whose}, in the order rename, remove, set, add.` }))
}

/** Fields weir writes or frames messages with; a plugin that changed them would break what the wire promises. */
const REFUSED: Readonly<Record<string, string>> = {
  'content-length': 'weir frames messages itself',
  'transfer-encoding': 'weir frames messages itself',
  trailer: 'weir frames messages itself',
  connection: 'it belongs to one connection',
  'keep-alive': 'it belongs to one connection',
  te: 'it belongs to one connection',
  upgrade: 'it belongs to one connection',
  expect: 'weir answers it itself',
  'proxy-connection': 'it belongs to one connection',
  'proxy-authenticate': 'it belongs to one connection',
  'proxy-authorization': 'it belongs to one connection',
  host: 'it is set by `host` of the backend',
}

type Settings = {
  readonly rename: Readonly<Record<string, string>>
  readonly remove: readonly string[]
  readonly set: Readonly<Record<string, string>>
  readonly add: Readonly<Record<string, string>>
}

export default plugin({
  name: 'headers',
  summary: 'Sets, adds, removes and renames header fields of the request and of the answer.',
  stability: 'stable',
  onError: 'closed',
  config: Type.Object({ request: Changes('request'), answer: Changes('answer') }, { additionalProperties: false }),
  example: {
    request: { set: { 'x-tenant': 'acme' }, remove: ['x-debug'] },
    answer: { rename: { 'x-served-by': 'x-model-host' }, add: { 'cache-control': 'no-store' } },
  },

  check({ request, answer }) {
    return complaint('request', request) ?? complaint('answer', answer)
  },

  build({ request, answer }) {
    const toRequest = changer(request)
    const toAnswer = changer(answer)
    return {
      ...(toRequest !== null && { request: (x: Exchange) => toRequest(x.headers) }),
      ...(toAnswer !== null && { response: (x: Exchange) => toAnswer(x.answer!.headers) }),
    }
  },
})

function complaint(whose: string, { rename, remove, set, add }: Settings): string | undefined {
  for (const name of [...Object.entries(rename).flat(), ...remove, ...Object.keys(set), ...Object.keys(add)]) {
    const reason = REFUSED[name.toLowerCase()]
    if (reason !== undefined) return `\`${whose}\` cannot change "${name}": ${reason}`
  }
  return undefined
}

/** @returns null when there is nothing to do */
function changer({ rename, remove, set, add }: Settings): ((fields: string[]) => void) | null {
  const renames = new Map(Object.entries(rename).map(([from, to]) => [from.toLowerCase(), to]))
  const removes = remove.map((name) => name.toLowerCase())
  const sets = Object.entries(set)
  const adds = Object.entries(add)
  if (renames.size + removes.length + sets.length + adds.length === 0) return null
  return function change(fields) {
    if (renames.size > 0) for (let i = 0; i < fields.length; i += 2) fields[i] = renames.get(fields[i]!.toLowerCase()) ?? fields[i]!
    for (const name of removes) headers.remove(fields, name)
    for (const [name, value] of sets) headers.set(fields, name, value)
    for (const [name, value] of adds) headers.add(fields, name, value)
  }
}
