import { UnavailableError, UnsupportedError } from "../../core/index.ts";
import type { Guarantees } from "../contract.ts";
import type { Lease } from "./connection.ts";

/** What the engine must know of the server that it is on. */
export interface ServerFacts {
  /** What an acknowledged commit survives, by the server's settings. */
  readonly durability: Guarantees["durability"];
  /** What a user should know about these settings. */
  readonly notes: readonly string[];
  /** Whether the connection leads to the server itself and not to a pooler, so that a session can listen. */
  readonly direct: boolean;
}

/**
 * Looks at version, role and settings of the server.
 * @throws UnsupportedError the server, or a setting of it, does not allow what the engine promises
 * @throws UnavailableError a standby
 */
export async function checkServer(lease: Lease, where: string): Promise<ServerFacts> {
  const settings = [
    "server_version_num",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "default_transaction_isolation",
    "bytea_output",
  ];
  const columns = settings.map((name) => `current_setting('${name}')`);
  const [row] = await lease.simple(`SELECT ${columns.join(", ")}, pg_is_in_recovery(), pg_backend_pid()`);
  const [version, fsync, synchronousCommit, fullPageWrites, isolation, byteaOutput, standby, pid] = row as string[];
  if (Number(version) < oldestVersion * 10_000) {
    throw new UnsupportedError(
      `${where} has version ${Math.floor(Number(version) / 10_000)}; the postgres engine needs ${oldestVersion} or later`,
    );
  }
  if (standby === "t") throw new UnavailableError(`${where} is a standby that only reads; connect to the primary`);
  if (isolation !== "read committed") {
    throw new UnsupportedError(
      `${where}: default_transaction_isolation is "${isolation}", the postgres engine needs "read committed": ALTER ROLE … SET default_transaction_isolation = 'read committed'`,
    );
  }
  if (byteaOutput !== "hex")
    throw new UnsupportedError(`${where}: bytea_output is "${byteaOutput}", the postgres engine needs "hex"`);
  const direct = lease.client.processID === Number(pid);
  return { ...durabilityOf(fsync, synchronousCommit, fullPageWrites), direct };
}

function durabilityOf(
  fsync: string | undefined,
  synchronousCommit: string | undefined,
  fullPageWrites: string | undefined,
): Pick<ServerFacts, "durability" | "notes"> {
  if (synchronousCommit === "off") {
    return {
      durability: "none",
      notes: [
        "synchronous_commit is off: a crash of the server loses commits of its last moments that were acknowledged.",
      ],
    };
  }
  if (fsync === "off")
    return {
      durability: "process-crash",
      notes: ["fsync is off: power loss loses commits that were acknowledged and may corrupt the database."],
    };
  if (fullPageWrites === "off") {
    return {
      durability: "process-crash",
      notes: [
        "full_page_writes is off: unless the file system writes pages atomically, power loss may corrupt the database.",
      ],
    };
  }
  return { durability: "power-loss", notes: [] };
}

const oldestVersion = 13;
