import { createCloser, createIds, type Ids, refuseUnknown } from "../../core/index.ts";
import type { Engine } from "../../engine/index.ts";
import type {
  ExternalOptions,
  ExternalRegistration,
  Instance,
  InstanceFilter,
  RegisterOptions,
  Registration,
  Registry,
  ServiceView,
  WatchServiceOptions,
} from "./contract.ts";
import { External } from "./external.ts";
import { toPredicate } from "./filter.ts";
import { type Host, hostOf } from "./host.ts";
import {
  checkFilter,
  checkInstance,
  checkText,
  externalNames,
  type RegistryOptions,
  registerNames,
  toRegistrySettings,
  toTtl,
} from "./options.ts";
import { liveInstances, liveServices } from "./reading.ts";
import { describe } from "./record.ts";
import { OwnRegistration } from "./registration.ts";
import { View } from "./view.ts";

/**
 * A registry of services and their instances on the engine.
 * @param name different registries on one engine know nothing of each other. 1 to 200 characters. Default "default"
 * @throws InvalidArgumentError an option that is not allowed
 */
export function createRegistry(engine: Engine, name = "default", options: RegistryOptions = {}): Registry {
  checkText("name", name);
  return new EngineRegistry(engine, name, toRegistrySettings(options));
}

class EngineRegistry implements Registry {
  readonly #host: Host;
  readonly #settings: { readonly ttl: number; readonly staleAfter: number };
  readonly #ids: Ids;
  readonly #registrations = new Set<OwnRegistration>();
  readonly #views = new Set<View>();
  readonly #closer = createCloser(async () => {
    await Promise.all([...this.#views, ...this.#registrations].map((each) => each.close()));
  }, "the registry");

  constructor(engine: Engine, name: string, settings: { readonly ttl: number; readonly staleAfter: number }) {
    this.#host = hostOf(engine, name);
    this.#settings = settings;
    this.#ids = createIds(engine.runtime);
  }

  async register(service: string, options: RegisterOptions): Promise<Registration> {
    this.#closer.assertOpen();
    checkText("service", service);
    checkInstance(options, registerNames);
    const { id, reregister = true, signal } = options;
    if (id !== undefined) checkText("id", id);
    const ttl = options.ttl === undefined ? this.#settings.ttl : toTtl(options.ttl);
    signal?.throwIfAborted();
    const { entries } = this.#host;
    const registrationId = this.#ids.next();
    const lease = await entries.leases.acquire(ttl, { ...(signal && { signal }) });
    const registration = new OwnRegistration(entries, lease, {
      place: { service, id: id ?? registrationId, registration: registrationId },
      described: describe(options),
      ttl,
      reregister,
      onEnd: (ended) => {
        this.#registrations.delete(ended);
        this.#host.delete(ended);
      },
    });
    this.#registrations.add(registration);
    await registration.begin(id === undefined, signal);
    // Closed meanwhile: taken back already, or about to be.
    if (this.#closer.closed) await registration.close();
    this.#closer.assertOpen();
    this.#host.add(registration);
    return registration;
  }

  async registerExternal(service: string, options: ExternalOptions): Promise<ExternalRegistration> {
    this.#closer.assertOpen();
    checkText("service", service);
    checkInstance(options, externalNames);
    const { id, signal } = options;
    checkText("id", id);
    const ttl = options.ttl === undefined ? undefined : toTtl(options.ttl, 1000);
    signal?.throwIfAborted();
    const place = { service, id, registration: this.#ids.next() };
    const external = new External(this.#host.entries, place);
    const since = this.#host.entries.root.runtime.clock.now();
    await external.begin(
      {
        ...describe(options),
        registration: place.registration,
        revision: 1,
        ...(ttl !== undefined && { ttl }),
        since,
      },
      signal,
    );
    return external;
  }

  async remove(service: string, id: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    this.#closer.assertOpen();
    checkText("service", service);
    checkText("id", id);
    return await this.#host.entries.remove({ service, id }, { signal: options.signal });
  }

  async instances(
    service: string,
    filter: InstanceFilter = {},
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly Instance[]> {
    this.#closer.assertOpen();
    checkText("service", service);
    checkFilter(filter);
    const instances = await liveInstances(this.#host.entries, service, options);
    return instances.filter(toPredicate(filter));
  }

  async services(options: { readonly signal?: AbortSignal } = {}): Promise<readonly string[]> {
    this.#closer.assertOpen();
    return await liveServices(this.#host.entries, options);
  }

  watch(service: string, options: WatchServiceOptions = {}): ServiceView {
    this.#closer.assertOpen();
    checkText("service", service);
    refuseUnknown(options, ["filter", "signal"]);
    if (options.filter !== undefined) checkFilter(options.filter);
    options.signal?.throwIfAborted();
    const { staleAfter } = this.#settings;
    const view: View = new View(this.#host, service, {
      ...options,
      staleAfter,
      onClose: () => this.#views.delete(view),
    });
    this.#views.add(view);
    return view;
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
