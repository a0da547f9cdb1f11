import type { Incarnation } from "../incarnation.ts";
import { networkOf } from "../network/network.ts";

const own = new Set(["localhost", "127.0.0.1", "::1", "0.0.0.0", "::", ""]);

/** The address of a machine, which is 10.0 and its number; `undefined` if there is no such machine. */
export function addressOf(incarnation: Incarnation, name: string): string | undefined {
  const index = networkOf(incarnation)?.machines().indexOf(name) ?? -1;
  return index < 0 ? undefined : `10.0.${(index + 1) >> 8}.${(index + 1) & 255}`;
}

/** The name of the machine that a host name or an address means to this process. An unknown one is returned as it is. */
export function machineOf(incarnation: Incarnation, host: string): string {
  const plain = host.startsWith("[") ? host.slice(1, -1) : host.toLowerCase();
  if (own.has(plain)) return incarnation.name;
  const parts = /^10\.0\.(\d+)\.(\d+)$/.exec(plain);
  if (!parts) return plain;
  return networkOf(incarnation)?.machines()[Number(parts[1]) * 256 + Number(parts[2]) - 1] ?? plain;
}
