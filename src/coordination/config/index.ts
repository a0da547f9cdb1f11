/** Configuration: one value that all processes watch, with its schema, its versions and their history. */
export type { ConfigMessage } from "./channels.ts";
export { createConfig } from "./config.ts";
export type { ChangeOptions, Config, Current, Invalid, Revision, Stale } from "./contract.ts";
export type { ConfigOptions } from "./options.ts";
