/** Service registry: which instances of which services live, and live views of them. */
export type { RegistryMessage } from "./channels.ts";
export type {
  Address,
  ExternalOptions,
  ExternalRegistration,
  Health,
  Instance,
  InstanceChange,
  InstanceChanges,
  InstanceFilter,
  InstanceOptions,
  RegisterOptions,
  Registration,
  Registry,
  ServiceView,
  Stale,
  WatchServiceOptions,
} from "./contract.ts";
export type { RegistryOptions } from "./options.ts";
export { createRegistry } from "./registry.ts";
