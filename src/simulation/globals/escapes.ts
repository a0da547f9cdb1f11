import childProcess from "node:child_process";
import cluster from "node:cluster";
import crypto from "node:crypto";
import dgram from "node:dgram";
import dns from "node:dns";
import fs from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import { isIP } from "node:net";
import tls from "node:tls";
import workers from "node:worker_threads";
import zlib from "node:zlib";
import { SimulationEscapeError } from "./escape-error.ts";
import type { Identity } from "./identity.ts";

type Functions = Record<string, unknown>;

/** What cannot be simulated, by module: the functions, and what to do instead. */
const escapes: readonly (readonly [name: string, module: Functions, functions: readonly string[], instead: string])[] =
  [
    [
      "node:child_process",
      childProcess as unknown as Functions,
      ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"],
      "run the other program as a node of the scenario",
    ],
    [
      "node:worker_threads",
      workers as unknown as Functions,
      ["Worker"],
      "do the work in the same thread, or as a node of the scenario",
    ],
    ["node:cluster", cluster as unknown as Functions, ["fork"], "give the node a count"],
    ["node:dgram", dgram as unknown as Functions, ["createSocket"], "use node.network.bind and send"],
    ["node:tls", tls as unknown as Functions, ["connect", "createServer"], "use plain connections in the simulation"],
    ["node:https", https as unknown as Functions, ["request", "get", "createServer"], "use http in the simulation"],
    [
      "node:http2",
      http2 as unknown as Functions,
      ["connect", "createServer", "createSecureServer"],
      "use http in the simulation",
    ],
    [
      "node:dns",
      dns as unknown as Functions,
      ["resolve", "resolve4", "resolve6", "resolveTxt", "resolveSrv", "reverse"],
      "machines are found by their names",
    ],
    [
      "node:zlib",
      zlib as unknown as Functions,
      [
        "deflate",
        "inflate",
        "gzip",
        "gunzip",
        "brotliCompress",
        "brotliDecompress",
        "unzip",
        "deflateRaw",
        "inflateRaw",
        ...Object.keys(zlib).filter((name) => name.startsWith("create")),
      ],
      "use the synchronous form: threads finish in any order",
    ],
    [
      "node:crypto",
      crypto as unknown as Functions,
      ["scrypt", "pbkdf2", "generateKeyPair", "hkdf", "generateKey", "generatePrime"],
      "use the synchronous form: threads finish in any order",
    ],
    [
      "crypto.subtle",
      Object.getPrototypeOf(crypto.webcrypto.subtle),
      Object.getOwnPropertyNames(Object.getPrototypeOf(crypto.webcrypto.subtle)).filter(
        (name) => name !== "constructor",
      ),
      "use the synchronous functions of node:crypto: threads finish in any order",
    ],
    [
      "WebAssembly",
      (globalThis as unknown as Record<string, Functions>)["WebAssembly"] ?? {},
      ["compile", "instantiate", "compileStreaming", "instantiateStreaming"],
      "use new WebAssembly.Module and Instance: threads finish in any order",
    ],
    [
      "",
      globalThis as unknown as Functions,
      ["CompressionStream", "DecompressionStream"],
      "use the synchronous functions of node:zlib: threads finish in any order",
    ],
    [
      "node:fs/promises",
      fs.promises as unknown as Functions,
      Object.keys(fs.promises),
      "use node.disk, which has the same functions, and outlives the process",
    ],
    [
      "node:fs",
      fs as unknown as Functions,
      [
        ...Object.keys(fs).filter((name) => `${name}Sync` in fs),
        ...["createWriteStream", "createReadStream", "openAsBlob", "watch", "watchFile"],
        ...["writeFileSync", "appendFileSync", "renameSync", "unlinkSync", "mkdirSync", "rmSync", "rmdirSync"],
        ...["truncateSync", "ftruncateSync", "copyFileSync", "cpSync", "linkSync", "symlinkSync", "mkdtempSync"],
        ...["chmodSync", "chownSync", "utimesSync"],
      ],
      "use node.disk, which has the functions of node:fs/promises, and outlives the process",
    ],
  ];

/** Whatever cannot be simulated throws, while a simulation runs, instead of doing something real. */
export function patchEscapes(identity: Identity): void {
  for (const [name, module, functions, instead] of escapes) {
    for (const each of functions) {
      const real = module[each];
      if (typeof real === "function") replace(module, each, guarded(identity, real, `${name} ${each}`.trim(), instead));
    }
  }
  const realExit = process.exit;
  process.exit = ((code?: number) => {
    if (identity.current)
      throw new SimulationEscapeError("process.exit", "throw an error, or let the node's start return");
    return realExit(code);
  }) as typeof process.exit;
  patchLookup(identity);
}

function guarded(identity: Identity, real: CallableFunction, api: string, instead: string): CallableFunction {
  const assertOutside = (): void => {
    if (identity.current) throw new SimulationEscapeError(api, instead);
  };
  return new Proxy(real, {
    apply: (target, self, given) => {
      assertOutside();
      return Reflect.apply(target, self, given);
    },
    construct: (target, given, newTarget) => {
      assertOutside();
      return Reflect.construct(target, given, newTarget) as object;
    },
  });
}

function replace(module: Functions, name: string, value: unknown): void {
  const { enumerable = true } = Object.getOwnPropertyDescriptor(module, name) ?? {};
  Object.defineProperty(module, name, { value, enumerable, writable: true, configurable: true });
}

/** Names of machines are their addresses. */
function patchLookup(identity: Identity): void {
  const realLookup = dns.lookup;
  type Done = (error: Error | null, address?: unknown, family?: number) => void;
  const answer = (owner: NonNullable<Identity["current"]>, name: string): Error | string => {
    const known = identity.surroundingsOf(owner)?.hosts() ?? [];
    if (known.includes(name) || name === "localhost" || isIP(name) !== 0) return name;
    return Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), {
      code: "ENOTFOUND",
      syscall: "getaddrinfo",
      hostname: name,
    });
  };
  dns.lookup = ((name: string, ...rest: unknown[]) => {
    const owner = identity.current;
    if (!owner) return (realLookup as unknown as (...given: unknown[]) => unknown)(name, ...rest);
    const done = rest.pop() as Done;
    const { all } = (typeof rest[0] === "object" && rest[0] !== null ? rest[0] : {}) as { all?: boolean };
    const found = answer(owner, name);
    owner.runtime.timers.immediate(() => {
      if (typeof found !== "string") done(found);
      else if (all) done(null, [{ address: found, family: 4 }]);
      else done(null, found, 4);
    });
    return {};
  }) as unknown as typeof dns.lookup;
  const realPromise = dns.promises.lookup;
  dns.promises.lookup = (async (name: string, options?: { all?: boolean }) => {
    const owner = identity.current;
    if (!owner) return await (realPromise as (...given: unknown[]) => unknown)(name, options);
    const found = answer(owner, name);
    if (typeof found !== "string") throw found;
    return options?.all ? [{ address: found, family: 4 }] : { address: found, family: 4 };
  }) as typeof dns.promises.lookup;
}
