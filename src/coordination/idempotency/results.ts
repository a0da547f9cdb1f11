import { decodeValue, encodeValue, limitExceeded, type StandardSchema, validate } from "../../core/index.ts";

/** A result as it is stored and as it is returned. */
export interface Prepared {
  readonly stored: unknown;
  readonly value: unknown;
}

/**
 * A fresh result goes the way that a replayed one will go, so the first caller gets what all others get.
 * @throws InvalidArgumentError it cannot be stored, or does not satisfy the schema
 * @throws LimitError it is too large
 */
export async function prepare(
  result: unknown,
  options: { readonly maxResultBytes: number; readonly schema: StandardSchema<unknown> | undefined },
): Promise<Prepared> {
  if (result === undefined) return { stored: undefined, value: await read(undefined, options.schema) };
  const bytes = encodeValue(result, "result");
  if (bytes.length > options.maxResultBytes)
    throw limitExceeded("result", bytes.length, options.maxResultBytes, "bytes");
  const stored = decodeValue(bytes);
  // The caller gets the copy that is stored only when it has been; a schema may change what it is given before.
  return { stored, value: options.schema ? await read(decodeValue(bytes), options.schema) : stored };
}

/** @throws InvalidArgumentError what is stored does not satisfy the schema (any more) */
export async function read(stored: unknown, schema: StandardSchema<unknown> | undefined): Promise<unknown> {
  return schema ? await validate(schema, stored, "result") : stored;
}
