/** Field numbers of onnx.proto (github.com/onnx/onnx, onnx/onnx.proto), as far as weir reads and writes graphs. */

export const MODEL = { irVersion: 1, graph: 7, opset: 8 } as const
export const OPSET = { domain: 1, version: 2 } as const
export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, valueInfo: 13 } as const
export const NODE = { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7 } as const
export const ATTRIBUTE = { name: 1, float: 2, int: 3, string: 4, tensor: 5, graph: 6, floats: 7, ints: 8, strings: 9, tensors: 10, graphs: 11, type: 20 } as const
/** AttributeProto.AttributeType */
export const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const
/** ValueInfoProto, and the types below it. */
export const VALUE = { name: 1, type: 2 } as const
export const TYPE = { tensor: 1 } as const
export const TENSOR_TYPE = { element: 1, shape: 2 } as const
export const SHAPE = { dimension: 1 } as const
export const DIMENSION = { value: 1, symbol: 2 } as const
/** TensorProto */
export const TENSOR = { dims: 1, type: 2, strings: 6, name: 8, raw: 9, external: 13, location: 14 } as const
/** StringStringEntryProto */
export const ENTRY = { key: 1, value: 2 } as const
/** TensorProto.DataType by the protocol's names. */
export const ELEMENT = {
  FP32: 1, UINT8: 2, INT8: 3, UINT16: 4, INT16: 5, INT32: 6, INT64: 7, BYTES: 8, BOOL: 9, FP16: 10, FP64: 11, UINT32: 12, UINT64: 13, BF16: 16,
} as const
