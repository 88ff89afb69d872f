/**
 * Open Inference Protocol v2 over REST
 * (open-inference-protocol, specification/protocol/inference_rest.md, "Inference Request JSON Object" and "… Response …")
 * with the binary tensor data extension (`binary.ts`). Bodies are read in `oip_read.ts` and written in `oip_write.ts`.
 */
import type { Format } from '../exchange.ts'
import { readAnswer, readRequest } from './oip_read.ts'
import { writeAnswer, writeRequest } from './oip_write.ts'

export const oip: Format = { name: 'oip', typed: true, readRequest, readAnswer, writeRequest, writeAnswer }
