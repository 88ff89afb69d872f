/** Media types (RFC 9110, 8.3.1), so far as a JSON or CSV body has one. */
import { WeirError } from '../errors.ts'

/**
 * Type and subtype in lower case; null when the field is absent.
 * @throws WeirError `UNSUPPORTED_MEDIA_TYPE` for another charset than UTF-8, and for any other parameter, which could change the meaning
 */
export function mediaType(field: string | undefined): string | null {
  if (field === undefined) return null
  const [type = '', ...parameters] = field.split(';').map((part) => part.trim())
  for (const parameter of parameters) {
    if (parameter === '' || /^charset="?utf-?8"?$/i.test(parameter)) continue
    throw new WeirError('UNSUPPORTED_MEDIA_TYPE', `content-type: expected no parameter but charset=utf-8, found ${parameter.slice(0, 40)}`)
  }
  return type.toLowerCase()
}
