import type { Statement } from "./connection.ts";
import { nowMicros } from "./functions.ts";
import type { Names } from "./names.ts";

/** Every statement that the engine sends again and again. */
export interface Statements {
  readonly write: Statement;
  readonly checkedWrite: Statement;
  readonly commit: Statement;
  readonly verify: Statement;
  readonly settle: Statement;
  readonly get: Statement;
  readonly getMany: Statement;
  readonly list: Statement;
  readonly revision: Statement;
  readonly now: Statement;
  readonly readLog: Statement;
  readonly bounds: Statement;
  readonly trim: Statement;
  readonly expire: Statement;
  readonly forget: Statement;
  readonly notify: Statement;
}

export function statementsOf({ schema, quoted: s }: Names): Statements {
  // The name holds the schema: a pooler may lend a connection on which another program prepared its own.
  const call = (fn: string, parameters: number, from = ""): Statement => {
    const list = Array.from({ length: parameters }, (_, i) => `$${i + 1}`).join(", ");
    return { name: `ashlar_${schema}_${fn}`, text: `SELECT ${from}${s}.${fn}(${list})` };
  };
  return {
    write: call("write_1", 12),
    checkedWrite: call("checked_write_1", 14),
    commit: call("commit_1", 29),
    verify: call("verify_1", 6),
    settle: call("settle_1", 2),
    // No function, whose call would cost half as much as the look-up. Its plan is by index as long as the table has some pages; see `schema.ts`.
    get: {
      name: `ashlar_${schema}_get_1`,
      text: `SELECT value, revision, expires - ${nowMicros} FROM ${s}.kv WHERE key = $1 AND (expires IS NULL OR expires > ${nowMicros})`,
    },
    getMany: call("get_many_1", 1, "* FROM "),
    list: call("list_1", 4, "* FROM "),
    revision: {
      name: `ashlar_${schema}_revision_1`,
      text: `SELECT revision FROM ${s}.changes ORDER BY revision DESC LIMIT 1`,
    },
    now: { name: "ashlar_now_1", text: `SELECT ${nowMicros}` },
    readLog: call("read_log_1", 4, "* FROM "),
    bounds: call("bounds_1", 1, "* FROM "),
    trim: call("trim_1", 3),
    expire: call("expire_1", 1),
    forget: call("forget_1", 0),
    notify: { name: "ashlar_notify_1", text: "SELECT count(pg_notify($1, p)) FROM unnest($2::text[]) p" },
  };
}
