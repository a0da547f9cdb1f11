import dns from "node:dns";
import net from "node:net";
import type { Incarnation } from "../incarnation.ts";
import { unknownHostError } from "../network/streams.ts";
import { addressOf, machineOf } from "./addresses.ts";
import { currentIncarnation } from "./identity.ts";
import { named, replace } from "./patch.ts";
import { startImmediate } from "./timeout.ts";

interface LookupOptions {
  readonly all?: boolean;
}

interface Address {
  readonly address: string;
  readonly family: number;
}

type Callback = (error: Error | null, address?: string | readonly Address[], family?: number) => void;

/** Lets `dns.lookup` find machines: each has an address, which connects to it. */
export function patchNames(): void {
  const realLookup = dns.lookup as (...args: unknown[]) => unknown;
  const realPromise = dns.promises.lookup as (...args: unknown[]) => unknown;
  const lookup = (host: string, ...rest: unknown[]): unknown => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realLookup(host, ...rest);
    const callback = rest.at(-1) as Callback;
    const options = rest.length > 1 ? rest[0] : undefined;
    startImmediate(incarnation, () => {
      const found = find(incarnation, host);
      if (!found) callback(unknownHostError(host));
      else if (wantsAll(options)) callback(null, [found]);
      else callback(null, found.address, found.family);
    });
    return {};
  };
  replace(dns, "lookup", named("lookup", lookup));
  replace(dns.promises, "lookup", (host: string, options?: unknown): unknown => {
    const incarnation = currentIncarnation();
    if (!incarnation) return realPromise(host, options);
    return new Promise((resolve, reject) => {
      startImmediate(incarnation, () => {
        const found = find(incarnation, host);
        if (found) resolve(wantsAll(options) ? [found] : found);
        else reject(unknownHostError(host));
      });
    });
  });
}

function wantsAll(options: unknown): boolean {
  return typeof options === "object" && (options as LookupOptions | null)?.all === true;
}

function find(incarnation: Incarnation, host: string): Address | undefined {
  const family = net.isIP(host);
  if (family !== 0) return { address: host, family };
  const machine = machineOf(incarnation, host);
  const address = machine === incarnation.name ? "127.0.0.1" : addressOf(incarnation, machine);
  return address === undefined ? undefined : { address, family: 4 };
}
