import { invalidArgument } from "./errors.ts";

/** @throws InvalidArgumentError `options` is no object, or has a name that is not allowed: an option that is spelt wrong would silently not be there */
export function refuseUnknown(options: object, allowed: readonly string[], name = "options"): void {
  if (typeof options !== "object" || options === null) throw invalidArgument(name, options, "an object of options");
  for (const field of Object.keys(options))
    if (!allowed.includes(field)) throw invalidArgument(`${name}.${field}`, "an unknown option", allowed.join(", "));
}
