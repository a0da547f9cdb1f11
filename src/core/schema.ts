import { InvalidArgumentError } from "./errors.ts";

/**
 * A schema of any library that follows Standard Schema (standardschema.dev, version 1): zod, valibot, arktype and others. Only what Ashlar uses of it.
 */
export interface StandardSchema<Output = unknown, Input = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * The value as the schema gives it back, defaults filled in.
 * @param name of the value, for the message
 * @throws InvalidArgumentError it does not satisfy the schema; `details.issues` holds what is wrong, by path
 */
export async function validate<Output>(schema: StandardSchema<Output>, value: unknown, name: string): Promise<Output> {
  const result = await schema["~standard"].validate(value);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ message, path = [] }) => ({ path: path.map(partOf).join("."), message }));
  const shown = issues.slice(0, 5).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  throw new InvalidArgumentError(`${name} does not satisfy its schema: ${shown.join("; ")}`, {
    details: { name, issues },
  });
}

function partOf(part: PropertyKey | { readonly key: PropertyKey }): string {
  return String(typeof part === "object" ? part.key : part);
}
