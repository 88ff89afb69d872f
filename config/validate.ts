/**
 * Checks a tree against a JSON Schema and says what is wrong as a person would.
 *
 * The walk over objects, lists and alternatives is here, because a good message needs to know which alternative was meant
 * and where a key stands; every other keyword is TypeBox's, whose errors are put into words.
 */
import { Check, Errors } from 'typebox/schema'
import type { Tree } from './document.ts'
import { type Issues, join, nearest, suggestion } from './issues.ts'
import { type Data, fits, isData, isScalar, type JsonSchema, schemaOf } from './shape.ts'
import { BOUNDS, describeAll, describeValue, KINDS, list, shorten } from './words.ts'

export class Validator {
  readonly #tree: Tree
  readonly #issues: Issues

  constructor(tree: Tree, issues: Issues) {
    this.#tree = tree
    this.#issues = issues
  }

  /** Reports everything wrong at and below `path`. Values that came whole from the environment become numbers or booleans where those are expected. */
  check(schema: JsonSchema, value: unknown, path: string, holder: Data | null = null, key: string | number = ''): void {
    if (this.#issues.wrong(path)) return
    const settled = this.#typed(schema, value, path, holder, key)
    if (schema.anyOf !== undefined) this.#alternatives(schema, schema.anyOf, settled, path)
    else if (schema.type === 'object' && isData(settled)) this.#object(schema, settled, path)
    else if (schema.type === 'array' && Array.isArray(settled)) this.#list(schema, settled, path)
    else this.#leaf(schema, settled, path)
  }

  // ---------------------------------------------------------------- containers

  #object(schema: JsonSchema, value: Data, path: string): void {
    const unknown: string[] = []
    for (const [key, item] of Object.entries(value)) {
      const below = schemaOf(schema, key)
      if (below === null) unknown.push(key)
      else this.check(below, item, join(path, key), value, key)
    }
    const missing = (schema.required ?? []).filter((key) => !Object.hasOwn(value, key))
    // A misspelt key that is required is one mistake, not two.
    const meant = new Set(unknown.slice(0, 100).map((key) => nearest(key, missing)))
    for (const key of unknown) this.#unknownKey(schema, key, path, value)
    for (const key of missing) if (!meant.has(key)) this.#missingKey(schema, key, path)
    this.#leaf(schema, value, path)
  }

  #unknownKey(schema: JsonSchema, key: string, path: string, value: Data): void {
    const at = join(path, key)
    if (this.#issues.wrong(at)) return
    const patterns = Object.keys(schema.patternProperties ?? {})
    if (patterns.length > 0) {
      this.#issues.error(at, this.#tree.places.key(at), { rule: 'bad-name', message: `\`${shorten(key)}\` cannot be used as a name here`, help: `Expected ${schema.expected ?? `names like ${patterns.join(', ')}`}; letters, digits, \`_\`, \`.\` and \`-\`.` })
      return
    }
    const valid = Object.keys(schema.properties ?? {})
    const free = valid.filter((name) => !Object.hasOwn(value, name))
    this.#issues.error(at, this.#tree.places.key(at), { rule: 'unknown-key', message: `unknown key \`${shorten(key)}\``, help: this.#issues.full ? '' : suggestion(key, nearest(key, free) === null ? valid : free) })
  }

  #missingKey(schema: JsonSchema, key: string, path: string): void {
    const about = schema.properties?.[key]?.description
    this.#issues.error(path, this.#tree.places.key(path), { rule: 'missing-key', message: `the key \`${key}\` is missing`, help: about ?? '' })
  }

  #list(schema: JsonSchema, value: readonly unknown[], path: string): void {
    const { items } = schema
    if (items !== undefined) value.forEach((item, i) => this.check(items, item, join(path, i), value as unknown as Data, i))
    this.#leaf(schema, value, path)
  }

  // ---------------------------------------------------------------- alternatives

  #alternatives(schema: JsonSchema, branches: readonly JsonSchema[], value: unknown, path: string): void {
    // Exact, so that what is right is silent; the choice below only serves the message.
    if (Check(schema as never, value)) return
    const candidates = branches.filter((branch) => fits(branch, value))
    const objects = candidates.filter((branch) => branch.type === 'object')
    if (objects.length > 0 && isData(value)) this.#chooseObject(schema, objects, value, path)
    else if (candidates.length === 1 && typeof value !== 'string' && schema['x-weir'] === undefined) this.check(candidates[0]!, value, path)
    else this.#mismatch(schema, value, path, branches)
  }

  /** The alternative whose own key is there. */
  #chooseObject(schema: JsonSchema, branches: readonly JsonSchema[], value: Data, path: string): void {
    const chosen = branches.filter((branch) => (branch.required ?? []).some((key) => Object.hasOwn(value, key)))
    const [first, second] = chosen
    if (branches.length === 1) this.#object(branches[0]!, value, path)
    else if (first === undefined) this.#noAlternative(schema, branches, value, path)
    else if (second !== undefined) this.#conflict(chosen, value, path)
    else this.#object(first, value, path)
  }

  #noAlternative(schema: JsonSchema, branches: readonly JsonSchema[], value: Data, path: string): void {
    const valid = [...new Set(branches.flatMap((branch) => branch.required ?? []))]
    const known = new Set(branches.flatMap((branch) => Object.keys(branch.properties ?? {})))
    const noun = schema.noun ?? 'key'
    const stray = Object.keys(value).find((key) => !known.has(key))
    if (stray === undefined) {
      this.#issues.error(path, this.#tree.places.key(path), { rule: 'missing-key', message: `expected one of ${list(valid)}, found ${Object.keys(value).length === 0 ? 'none' : 'none of them'}`, help: schema.description ?? '' })
      return
    }
    const at = join(path, stray)
    const rule = noun === 'plugin' ? 'unknown-plugin' : 'unknown-key'
    this.#issues.error(at, this.#tree.places.key(at), { rule, message: `unknown ${noun} \`${shorten(stray)}\``, help: suggestion(stray, valid) })
  }

  #conflict(chosen: readonly JsonSchema[], value: Data, path: string): void {
    const [first, ...others] = chosen.flatMap((branch) => branch.required ?? []).filter((key) => Object.hasOwn(value, key))
    const at = join(path, others[0]!)
    this.#issues.error(at, this.#tree.places.key(at), { rule: 'conflicting-keys', message: `\`${others[0]}\` does not go with \`${first}\``, help: `Keep one of ${list([first!, ...others])}.` })
  }

  // ---------------------------------------------------------------- single values

  #leaf(schema: JsonSchema, value: unknown, path: string): void {
    const own = { ...schema } as Record<string, unknown>
    for (const key of ['properties', 'patternProperties', 'additionalProperties', 'items', 'required', 'anyOf']) delete own[key]
    const [, errors] = Errors(own as never, value)
    const [first] = errors
    if (first === undefined) return
    const { keyword } = first
    if (keyword === 'type' || keyword === 'const' || keyword === 'enum' || keyword === 'pattern') return this.#mismatch(schema, value, path, [schema])
    const at = this.#tree.places.value(path)
    const bound = BOUNDS[keyword]?.((first.params as { limit?: number }).limit ?? 0)
    const message = bound === undefined ? `${shorten(first.message)}, found ${this.#found(schema, value, path)}` : `expected ${bound}, found ${this.#found(schema, value, path)}`
    this.#issues.error(path, at, { rule: bound === undefined ? 'bad-value' : 'out-of-range', message, help: schema.description ?? '' })
  }

  #mismatch(schema: JsonSchema, value: unknown, path: string, branches: readonly JsonSchema[]): void {
    const right = branches.some((branch) => fits(branch, value))
    const complaint = {
      rule: right ? 'bad-value' : 'wrong-type',
      message: `expected ${schema.expected ?? KINDS[schema['x-weir'] ?? ''] ?? describeAll(branches)}, found ${this.#found(schema, value, path)}`,
      help: this.#help(schema, branches, value, path),
    }
    this.#issues.error(path, this.#tree.places.value(path), complaint)
  }

  #help(schema: JsonSchema, branches: readonly JsonSchema[], value: unknown, path: string): string {
    const words = branches.flatMap((branch) => branch.enum ?? (branch.const === undefined ? [] : [branch.const])).filter((word) => typeof word === 'string')
    const meant = typeof value === 'string' && !this.#tree.written.has(path) ? nearest(value, words) : null
    if (meant !== null) return `Did you mean \`${meant}\`?`
    if (schema['x-weir'] === 'duration' && typeof value === 'number') return `Write the unit: \`${value}ms\` or \`${value}s\`.`
    if (typeof value === 'number' && branches.some((branch) => branch.type === 'string')) return `${schema.description ?? ''} Put a text that looks like a number in quotes.`.trim()
    return schema.description ?? ''
  }

  /** What was found, as written; what came from the environment is named and never shown. */
  #found(schema: JsonSchema, value: unknown, path: string): string {
    const written = this.#tree.written.get(path)
    if (written !== undefined) return `what \`${shorten(written)}\` holds`
    if (schema.secret === true && isScalar(value)) return 'another one'
    return describeValue(value)
  }

  #typed(schema: JsonSchema, value: unknown, path: string, holder: Data | null, key: string | number): unknown {
    if (holder === null || typeof value !== 'string' || !/^\$\{[^}]*\}$/.test(this.#tree.written.get(path) ?? '') || Check(schema as never, value)) return value
    const meant = value === 'true' ? true : value === 'false' ? false : /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
    if (!Check(schema as never, meant)) return value
    ;(holder as Record<string | number, unknown>)[key] = meant
    return meant
  }
}
