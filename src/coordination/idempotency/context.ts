import { hash } from "node:crypto";
import { encodeKey, type Key } from "../../core/index.ts";
import type { RunContext } from "./contract.ts";

/** A UUID of version 8 (RFC 9562, section 5.8) made from the record's key by SHA-256: the same wherever and whenever the key's function runs. */
function tokenOf(path: Key): string {
  const hex = hash("sha256", encodeKey(path));
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** What a function is told; the token is made when it is asked for. */
export function createContext(path: Key, key: string, attempt: number, signal: AbortSignal): RunContext {
  let token: string | undefined;
  return {
    key,
    attempt,
    signal,
    get token() {
      token ??= tokenOf(path);
      return token;
    },
  };
}
