import { type Action, type Finding, inspect, mended, type OutputRule, RULES } from '../gateway/monitor/guard/guard.ts'
import { type Answer, type Counter, Defaulted, type Exchange, hold, isFlow, type Leg, plugin, problem, type Reply, Type, WeirError } from '../gateway/plugin.ts'

/** Findings told in a message. */
const MAX_TOLD = 4
const DONE: Readonly<Record<Action, string>> = { clamp: 'clamped', replace: 'replaced', reject: 'rejected', fallback: 'fallback' }
const Value = Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean()], { description: 'A value.' })

const Output = Type.Object(
  {
    min: Type.Optional(Type.Number({ description: 'Least value.' })),
    max: Type.Optional(Type.Number({ description: 'Greatest value.' })),
    finite: Defaulted(Type.Boolean({ description: 'NaN, infinities and null are wrong.', default: true })),
    values: Type.Optional(Type.Array(Value, { description: 'The only values there are: labels.', minItems: 1, maxItems: 100_000 })),
    sum_to: Type.Optional(Type.Number({ description: 'Sum of the values of a row: 1 for probabilities.' })),
    tolerance: Defaulted(Type.Number({ description: 'How far a sum may be off.', minimum: 0, default: 0.001 })),
    length: Type.Optional(Type.Array(Type.Integer({ description: 'Values a row.', minimum: 0 }), { description: 'Values a row, at least and at most.', minItems: 2, maxItems: 2 })),
    action: Defaulted(
      Type.Enum(['clamp', 'replace', 'reject', 'fallback'], {
        description: '`clamp` puts the nearest bound in, `replace` what `replace_with` says, `reject` answers 502, `fallback` leaves it to a `fallback` of the route that lists `invalid`. What cannot be clamped is replaced where `replace_with` is given. What cannot be replaced either (a sum, a length, an output that is missing) is rejected.',
        default: 'reject',
      }),
    ),
    replace_with: Type.Optional(Value),
  },
  { description: 'What an output has to be.', additionalProperties: false },
)

export default plugin({
  name: 'guard',
  summary: 'Keeps answers of models within bounds: range, finite numbers, known labels, sums and lengths.',
  stability: 'beta',
  onError: 'closed',
  readsColumns: true,
  nesting: 'output',
  config: Type.Object(
    {
      outputs: Type.Record(Type.String({ maxLength: 256 }), Output, { description: 'Rules by output, as answers name it; `predictions` where they name none.', minProperties: 1, maxProperties: 1000 }),
      mode: Defaulted(Type.Enum(['enforce', 'observe'], { description: '`observe` counts and marks the access log, and changes nothing.', default: 'enforce' })),
    },
    { additionalProperties: false },
  ),
  example: { outputs: { score: { min: 0, max: 1, action: 'clamp', replace_with: 0.5 } } },
  metrics: {
    violations_total: {
      type: 'counter',
      help: 'Values of answers (or rows, of sums and lengths) that broke a rule, by output, rule and what was done.',
      labels: { output: 'config', rule: RULES, action: ['observed', ...Object.values(DONE)] },
    },
    unreadable_total: { type: 'counter', help: 'Answers with status 2xx that could not be checked: they stream, or are not in the format of the route.' },
  },

  check({ outputs }) {
    for (const [name, { min = -Infinity, max = Infinity, length, action, replace_with }] of Object.entries(outputs)) {
      if (min > max || (length !== undefined && length[0]! > length[1]!)) return `output "${name}": the lower bound is above the upper one`
      if (action === 'replace' && replace_with === undefined) return `output "${name}": \`replace\` needs \`replace_with\``
      if (action === 'clamp' && min === -Infinity && max === Infinity) return `output "${name}": \`clamp\` needs \`min\` or \`max\``
      if (typeof replace_with === 'number' && (replace_with < min || replace_with > max)) return `output "${name}": \`replace_with\` is out of range itself`
    }
    return undefined
  },

  build({ outputs, mode }, host) {
    const observes = mode === 'observe'
    const rules = Object.entries(outputs).map(([name, rule]): OutputRule => ({
      name, min: rule.min ?? -Infinity, max: rule.max ?? Infinity, finite: rule.finite, values: rule.values === undefined ? null : new Set(rule.values),
      sumTo: rule.sum_to ?? null, tolerance: rule.tolerance, length: rule.length === undefined ? null : [rule.length[0]!, rule.length[1]!], action: rule.action, replaceWith: rule.replace_with ?? null,
    }))
    // What another target is to answer is looked at before the answer goes back; the rest on the answer as the caller would get it.
    const before = observes ? [] : rules.filter(({ action }) => action === 'fallback')
    const behind = observes ? rules : rules.filter(({ action }) => action !== 'fallback')
    const mends = !observes && behind.some(({ action }) => action !== 'reject')
    const unreadable = host.metrics.unreadable_total()
    const counters = new Map<string, Counter>()

    function count({ output: { name }, rule, action, count: values }: Finding): void {
      const done = observes ? 'observed' : DONE[action]
      const key = `${name} ${rule} ${done}`
      const counter = counters.get(key) ?? host.metrics.violations_total({ output: name, rule, action: done })
      counters.set(key, counter)
      counter.add(values)
    }

    function tell(x: Exchange, findings: readonly Finding[]): void {
      for (const finding of findings) count(finding)
      const [{ output, rule }] = findings as [Finding]
      ;(x.flags ??= []).push(`guard:${rule};${output.name}${findings.length > 1 ? `+${findings.length - 1}` : ''}`)
    }

    /** @returns null when nothing is wrong, or nothing can be said @throws WeirError what the answer cannot be read by */
    function findingsOf(x: Exchange, answer: Answer, among: readonly OutputRule[]): Finding[] | null {
      if (answer.status < 200 || answer.status > 299 || answer.code !== null || answer.body === null || answer.tunnel !== null) return null
      if (x.route.format === null || isFlow(answer.body)) {
        unreadable.add()
        return null
      }
      return inspect(among, answer === x.answer ? x.output : x.readAnswer(answer), x.route.format.typed ? askedOf(x) : null)
    }

    function passed(x: Exchange, answer: Answer): Answer {
      const findings = readable(() => findingsOf(x, answer, before))
      if (findings instanceof WeirError) throw findings
      if (findings === null) return answer
      tell(x, findings)
      throw new WeirError('INVALID_ANSWER', sentence(findings))
    }

    /** An answer that cannot be read is counted; what it means is for the caller of this to say. */
    function readable(look: () => Finding[] | null): Finding[] | null | WeirError {
      try {
        return look()
      } catch (error) {
        if (!(error instanceof WeirError)) throw error
        unreadable.add()
        return error
      }
    }

    function keep(x: Exchange): Reply | undefined {
      const findings = readable(() => findingsOf(x, x.answer!, behind))
      if (findings === null) return undefined
      if (findings instanceof WeirError) return observes ? undefined : refused(x, findings)
      tell(x, findings)
      if (observes) return undefined
      if (findings.some(({ action }) => action === 'reject')) return refused(x, new WeirError('INVALID_ANSWER', sentence(findings)))
      x.output = mended(x.output, findings)
      return undefined
    }

    return {
      // An answer is written again in the shape of its request, which has to be there then.
      ...(mends && { requestBody: () => undefined }),
      ...(behind.length > 0 && { responseBody: keep }),
      ...(before.length > 0 && {
        send: (next) => (x: Exchange, leg: Leg) => {
          leg.held = true
          const answer = next(x, leg)
          return answer instanceof Promise ? answer.then((one) => held(x, one, leg)) : held(x, answer, leg)
        },
      }),
    }

    function held(x: Exchange, answer: Answer, leg: Leg): Answer | Promise<Answer> {
      const whole = hold(answer, leg, x.route.maxBodyBytes)
      return whole instanceof Promise ? whole.then((one) => passed(x, one)) : passed(x, whole)
    }
  },
})

/** Outputs that the caller wants alone. */
function askedOf(x: Exchange): readonly string[] | null {
  if (x.body === null || isFlow(x.body)) return null
  try {
    return x.input.outputs ?? null
  } catch {
    return null
  }
}

function sentence(findings: readonly Finding[]): string {
  const parts = findings.slice(0, MAX_TOLD).map(({ output, row, expected, found }) => `output ${JSON.stringify(output.name)} in row ${row}: expected ${expected}, found ${found}`)
  return `${parts.join('; ')}${findings.length > MAX_TOLD ? ` and ${findings.length - MAX_TOLD} more` : ''}`
}

function refused(x: Exchange, error: WeirError): Reply {
  x.error ??= error
  return problem(error, x.requestId)
}
