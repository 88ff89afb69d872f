/** Our words make the very schemas that TypeBox makes. */
import { Type as TypeBox } from 'typebox'
import { describe, expect, test } from 'vitest'
import { Type } from '../../gateway/schema.ts'

type Words = typeof Type

const declarations: Readonly<Record<string, (T: Words) => object>> = {
  'an object': (T) => T.Object({ a: T.String({ description: 'x' }), b: T.Optional(T.Number({ minimum: 1 })) }, { additionalProperties: false }),
  'an object of options': (T) => T.Object({ a: T.Optional(T.Boolean()), b: T.Optional(T.Integer()) }),
  'an empty object': (T) => T.Object({}),
  arrays: (T) => T.Array(T.Array(T.Unknown()), { minItems: 1 }),
  unions: (T) => T.Union([T.Literal('a'), T.Literal(1), T.Literal(true), T.Enum(['x', 'y'])], { description: 'one of' }),
  records: (T) => T.Record(T.String(), T.Number({ maximum: 3 }), { minProperties: 1 }),
  'records with a pattern': (T) => T.Record(T.String({ pattern: '^[a-z]+$' }), T.Boolean()),
  unsafe: (T) => T.Unsafe<number>({ type: 'string', pattern: '^a$', 'x-weir': 'duration' }),
  'an option that is an object': (T) => T.Object({ a: T.Optional(T.Object({ b: T.String() })), c: T.Unsafe<number>({ type: 'string' }) }),
}

describe('the words of schemas', () => {
  test.each(Object.entries(declarations))('%s', (_name, declare) => {
    expect(JSON.parse(JSON.stringify(declare(Type)))).toEqual(JSON.parse(JSON.stringify(declare(TypeBox as unknown as Words))))
  })

  test('and mix with those of TypeBox', () => {
    const mixed = TypeBox.Object({ a: Type.Optional(Type.String()), b: TypeBox.String() })
    expect(mixed).toMatchObject({ required: ['b'] })
    const other = Type.Object({ a: TypeBox.Optional(TypeBox.String()), b: Type.String() })
    expect(other).toMatchObject({ required: ['b'] })
  })
})
